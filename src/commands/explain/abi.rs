//! What the ELF header and the GNU properties say about a program's ABI, beyond its machine.

use std::collections::BTreeSet;

use dispatch_core::Guest;

/// `e_machine` values (the psABIs).
const EM_MIPS: u16 = 8;
const EM_PPC64: u16 = 21;
const EM_ARM: u16 = 40;
const EM_X86_64: u16 = 62;
const EM_RISCV: u16 = 243;
const EM_LOONGARCH: u16 = 258;

/// `GNU_PROPERTY_X86_ISA_1_NEEDED` (the x86-64 psABI): bit N is level N + 1.
const ISA_NEEDED: u32 = 0xc000_8002;

/// The x86-64 level that a program says it needs, from 1 on; `properties` is its note of GNU
/// properties.
pub(super) fn x86_64_level(guest: &Guest, properties: &[u8]) -> Option<u32> {
    let bits = guest.property(properties, ISA_NEEDED).filter(|_| guest.header.machine.0 == EM_X86_64)?;
    Some(u32::BITS - bits.leading_zeros()).filter(|level| *level > 0)
}

/// The flags in /proc/cpuinfo that each x86-64 level adds, from level 2 on (the x86-64 psABI,
/// "Processor Architecture").
const LEVELS: [&[&str]; 3] = [
    &["cx16", "popcnt", "sse4_1", "sse4_2", "ssse3"],
    &["abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"],
    &["avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"],
];

/// The x86-64 level of a CPU that /proc/cpuinfo describes so; `None` for another machine.
pub(super) fn level_of(cpuinfo: &str) -> Option<u32> {
    let (_, flags) = cpuinfo.lines().find(|line| line.starts_with("flags"))?.split_once(':')?;
    let flags: BTreeSet<&str> = flags.split_whitespace().collect();
    let has = |level: &&&[&str]| level.iter().all(|flag| flags.contains(flag));
    Some(1 + LEVELS.iter().take_while(has).count() as u32)
}

/// The ABI in words, each a piece of its own; empty if nothing says it. `properties` is the
/// program's note of GNU properties.
pub(super) fn words(guest: &Guest, properties: &[u8]) -> Vec<String> {
    let header = &guest.header;
    let flags = header.flags;
    let mut words = Vec::new();
    let mut say = |word: &str| words.push(word.to_owned());
    match header.machine.0 {
        // ELF for the Arm Architecture, 5.2 "ELF header".
        EM_ARM => {
            match flags >> 24 {
                0 => say("old ABI"),
                version => say(&format!("EABI {version}")),
            }
            match flags & 0x600 {
                0x400 => say("hard float (armhf)"),
                0x200 => say("soft float (armel)"),
                _ => {}
            }
            if flags & 0x0080_0000 != 0 {
                say("BE8");
            }
        }
        // binutils, include/elf/mips.h.
        EM_MIPS => {
            say(match (flags & 0x20 != 0, header.class) {
                (true, _) => "ABI n32",
                (false, dispatch_core::elf::Class::Elf64) => "ABI n64",
                (false, dispatch_core::elf::Class::Elf32) => "ABI o32",
            });
            say(match flags >> 28 {
                0..=4 => "MIPS I to V",
                5 => "MIPS32",
                6 => "MIPS64",
                7 => "MIPS32 R2",
                8 => "MIPS64 R2",
                9 => "MIPS32 R6",
                10 => "MIPS64 R6",
                _ => "unknown level",
            });
            say(if flags & 0x400 != 0 { "NaN 2008" } else { "legacy NaN" });
        }
        // ELFv2 ABI, 3.1.
        EM_PPC64 => match flags & 3 {
            0 => {}
            version => say(&format!("ELFv{version}")),
        },
        // RISC-V ELF psABI, "File Header".
        EM_RISCV => {
            say(match flags >> 1 & 3 {
                0 => "soft float",
                1 => "single float",
                2 => "double float",
                _ => "quad float",
            });
            if flags & 1 != 0 {
                say("compressed instructions");
            }
            if flags & 8 != 0 {
                say("RVE, which Linux does not have");
            }
        }
        // LoongArch ELF psABI, "e_flags".
        EM_LOONGARCH => {
            say(match flags & 7 {
                1 => "soft float",
                2 => "single float",
                3 => "double float",
                _ => "unknown float",
            });
            say(if flags & 0x40 != 0 { "new world" } else { "old world" });
        }
        EM_X86_64 => match x86_64_level(guest, properties) {
            None | Some(1) => {}
            Some(level) => say(&format!("needs x86-64-v{level}")),
        },
        _ => {}
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(row: &str, flags: u32) -> String {
        let table = dispatch_table::ArchTable::builtin();
        let probe = table.find(row).unwrap().probe_elf();
        let mut guest = Guest::identify(&probe).unwrap();
        guest.header.flags = flags;
        words(&guest, &[]).join(", ")
    }

    #[test]
    fn flags_have_names() {
        assert_eq!(of("arm", 0x0500_0400), "EABI 5, hard float (armhf)");
        assert_eq!(of("arm", 0x0500_0200), "EABI 5, soft float (armel)");
        assert_eq!(of("mips", 0x7000_1000), "ABI o32, MIPS32 R2, legacy NaN");
        assert_eq!(of("mips64el", 0xa000_0400), "ABI n64, MIPS64 R6, NaN 2008");
        assert_eq!(of("ppc64le", 2), "ELFv2");
        assert_eq!(of("riscv64", 5), "double float, compressed instructions");
        assert_eq!(of("loongarch64", 0x43), "double float, new world");
        assert_eq!(of("s390x", 0), "");
    }

    #[test]
    fn the_level_of_a_cpu_is_that_of_all_its_flags() {
        let of = |flags: &[&[&str]]| level_of(&format!("processor : 0\nflags\t\t: fpu {}\n", flags.concat().join(" ")));
        assert_eq!(level_of("processor : 0\nBogoMIPS : 50\nFeatures : fp\n"), None);
        assert_eq!(of(&[]), Some(1));
        assert_eq!(of(&LEVELS[..1]), Some(2));
        assert_eq!(of(&LEVELS[1..]), Some(1), "those of level 2 are missing");
        assert_eq!(of(&[LEVELS[0], &LEVELS[1][1..]]), Some(2));
        assert_eq!(of(&LEVELS), Some(4));
    }

    #[test]
    fn the_level_is_that_of_the_highest_bit() {
        let table = dispatch_table::ArchTable::builtin();
        let guest = Guest::identify(&table.find("x86_64").unwrap().probe_elf()).unwrap();
        let note = |bits: u32| {
            let words = [4, 16, 5, u32::from_le_bytes(*b"GNU\0"), ISA_NEEDED, 4, bits, 0];
            words.iter().flat_map(|word: &u32| word.to_le_bytes()).collect::<Vec<u8>>()
        };
        for (bits, expected) in
            [(1, ""), (3, "needs x86-64-v2"), (15, "needs x86-64-v4"), (4, "needs x86-64-v3"), (0, "")]
        {
            assert_eq!(words(&guest, &note(bits)).join(", "), expected);
        }
    }
}
