//! What the ELF header says about a program's ABI, beyond its machine.

use dispatch_core::elf::Header;

/// `e_machine` values (the psABIs).
const EM_MIPS: u16 = 8;
const EM_PPC64: u16 = 21;
const EM_ARM: u16 = 40;
const EM_RISCV: u16 = 243;
const EM_LOONGARCH: u16 = 258;

/// The ABI in words, each a piece of its own; empty if the header says nothing.
pub(super) fn words(header: &Header) -> Vec<String> {
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
        _ => {}
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use dispatch_core::Guest;

    fn of(row: &str, flags: u32) -> String {
        let table = dispatch_table::ArchTable::builtin();
        let probe = table.find(row).unwrap().probe_elf();
        let mut header = Guest::identify(&probe).unwrap().header;
        header.flags = flags;
        words(&header).join(", ")
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
}
