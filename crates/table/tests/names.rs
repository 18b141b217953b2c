//! The names by which other tools know architectures, each with its row, and names that no row may
//! answer to.

use std::process::Command;

use dispatch_core::elf::{Class, Data};
use dispatch_table::{ArchTable, Architecture};
use proptest::prelude::*;

/// The name of the row that answers to `name`.
fn row<'t>(table: &'t ArchTable, name: &str) -> Option<&'t str> {
    table.find(name).map(|row| row.name.as_str())
}

/// Fails with all names that another row answers to, or none.
#[track_caller]
fn expect(names: &[(&str, &str)]) {
    let table = ArchTable::builtin();
    let names = names.iter().flat_map(|(name, names)| names.split_whitespace().map(move |other| (*name, other)));
    let wrong: Vec<_> = names.filter(|(name, other)| row(&table, other) != Some(name)).collect();
    let found: Vec<_> = wrong.iter().map(|(name, other)| (other, name, row(&table, other))).collect();
    assert!(found.is_empty(), "name, expected row, row that answers: {found:?}");
}

/// No row may answer to these.
#[track_caller]
fn expect_none(names: &str) {
    let table = ArchTable::builtin();
    let found: Vec<_> = names.split_whitespace().filter_map(|name| Some((name, row(&table, name)?))).collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn debian() {
    // dpkg-architecture -L, those for Linux; DEB_HOST_GNU_TYPE and DEB_HOST_MULTIARCH.
    expect(&[
        ("aarch64", "arm64 aarch64-linux-gnu musl-linux-arm64 uclibc-linux-arm64 aarch64-linux-musl"),
        ("alpha", "alpha alpha-linux-gnu"),
        (
            "arm",
            "armhf armel arm arm-linux-gnueabihf arm-linux-gnueabi arm-linux-gnu musl-linux-armhf uclibc-linux-armel",
        ),
        ("arm", "arm-linux-musleabihf arm-linux-uclibceabi arm-linux-uclibc uclibc-linux-arm"),
        ("armeb", "armeb armeb-linux-gnu"),
        ("hppa", "hppa hppa-linux-gnu"),
        ("i386", "i386 i686-linux-gnu i386-linux-gnu"),
        ("loongarch64", "loong64 loongarch64-linux-gnu"),
        ("m68k", "m68k m68k-linux-gnu"),
        ("mips", "mips mipsr6 mips-linux-gnu mipsisa32r6-linux-gnu"),
        ("mips64", "mips64 mips64r6 mips64-linux-gnuabi64 mipsisa64r6-linux-gnuabi64 uclibc-linux-mips64"),
        ("mips64el", "mips64el mips64r6el mips64el-linux-gnuabi64 mipsisa64r6el-linux-gnuabi64"),
        ("mipsel", "mipsel mipsr6el mipsel-linux-gnu mipsisa32r6el-linux-gnu"),
        ("mipsn32", "mipsn32 mipsn32r6 mips64-linux-gnuabin32 mipsisa64r6-linux-gnuabin32"),
        ("mipsn32el", "mipsn32el mipsn32r6el mips64el-linux-gnuabin32 mipsisa64r6el-linux-gnuabin32"),
        ("or1k", "or1k or1k-linux-gnu"),
        ("ppc", "powerpc powerpcspe powerpc-linux-gnu powerpc-linux-gnuspe"),
        ("ppc64", "ppc64 powerpc64-linux-gnu"),
        ("ppc64le", "ppc64el powerpc64le-linux-gnu"),
        ("riscv64", "riscv64 riscv64-linux-gnu"),
        ("s390x", "s390x s390x-linux-gnu"),
        ("sh4", "sh4 sh4-linux-gnu"),
        ("sh4eb", "sh4eb sh4eb-linux-gnu"),
        ("sparc", "sparc sparc-linux-gnu"),
        ("sparc64", "sparc64 sparc64-linux-gnu"),
        ("x86_64", "amd64 x86_64-linux-gnu musl-linux-amd64 x86_64-linux-musl amd64v3"),
    ]);
    // Other ABIs, other CPUs, other kernels.
    expect_none(
        "x32 x86_64-linux-gnux32 arm64ilp32 aarch64-linux-gnu_ilp32 arc avr32 ia64 m32r nios2 powerpcel s390 sh3",
    );
    expect_none("sh3eb tilegx powerpcle-linux-gnu s390-linux-gnu kfreebsd-amd64 hurd-i386 freebsd-arm64 uclinux-armel");
}

#[test]
fn go_and_docker() {
    // `go tool dist list`, those for Linux, with GOARM, GOAMD64, GOMIPS and the like as variants.
    expect(&[
        ("aarch64", "arm64 linux/arm64 linux/arm64/v8 linux/arm64/v9 linux/arm64/v8.2"),
        ("arm", "arm linux/arm linux/arm/v5 linux/arm/v6 linux/arm/v7 linux/arm/v8 linux/arm/7 arm/v7 arm/6"),
        ("i386", "386 linux/386 linux/386/sse2 linux/386/softfloat"),
        ("loongarch64", "loong64 linux/loong64"),
        ("mips", "mips linux/mips linux/mips/softfloat linux/mips/hardfloat"),
        ("mips64", "mips64 linux/mips64 linux/mips64/softfloat"),
        ("mips64el", "mips64le linux/mips64le linux/mips64le/hardfloat"),
        ("mipsel", "mipsle linux/mipsle linux/mipsle/softfloat"),
        ("ppc64", "ppc64 linux/ppc64 linux/ppc64/power8"),
        ("ppc64le", "ppc64le linux/ppc64le linux/ppc64le/power9"),
        ("riscv64", "riscv64 linux/riscv64 linux/riscv64/rva20u64 linux/riscv64/rva22u64"),
        ("s390x", "s390x linux/s390x"),
        ("x86_64", "amd64 linux/amd64 linux/amd64/v1 linux/amd64/v2 linux/amd64/v3 linux/amd64/v4"),
    ]);
    // The prefixes of Docker's official images.
    expect(&[
        ("aarch64", "arm64v8"),
        ("arm", "arm32v5 arm32v6 arm32v7"),
        ("i386", "i386"),
        ("mips64el", "mips64le"),
        ("ppc64le", "ppc64le"),
        ("riscv64", "riscv64"),
        ("s390x", "s390x"),
        ("x86_64", "amd64"),
    ]);
    expect_none("windows/amd64 darwin/arm64 linux/ linux linux/linux/arm64 linux/wasm arm64/windows");
}

#[test]
fn fedora_and_uname() {
    expect(&[
        ("aarch64", "aarch64"),
        ("arm", "armhfp armv5tel armv6hl armv6l armv7hl armv7hnl armv7l armv5tejl armv4tl armv7ml armv8l"),
        ("armeb", "armv4b armv4tb armv5tb armv5teb armv5tejb armv6b armv7b"),
        ("aarch64_be", "aarch64_be"),
        ("hppa", "parisc parisc64"),
        ("i386", "i386 i486 i586 i686 i686-redhat-linux"),
        ("mips64el", "mips64el mips64r6el"),
        ("ppc64", "ppc64 ppc64p7"),
        ("ppc64le", "ppc64le ppc64le-redhat-linux"),
        ("riscv64", "riscv64"),
        ("s390x", "s390x s390x-redhat-linux"),
        ("x86_64", "x86_64 x86_64_v2 x86_64_v3 x86_64-redhat-linux"),
    ]);
}

#[test]
fn people_and_others() {
    expect(&[
        (
            "aarch64",
            "ARM64 AArch64 aarch64-linux aarch64-linux-gnu- aarch64-none-linux-gnu arm64-linux-android linux-arm64",
        ),
        ("aarch64", "aarch64-alpine-linux-musl qemu-aarch64 qemu-aarch64-static linux-aarch64 linux_aarch64"),
        ("aarch64_be", "aarch64-be aarch64_be-none-linux-gnu arm64be qemu-aarch64_be"),
        ("arm", "ARMv7 armv7a armv6 armv5te armv7-a armv7l-linux arm-none-linux-gnueabihf thumbv7 qemu-arm"),
        ("i386", "x86 IA32 i686-pc-linux-gnu linux-x86"),
        ("ppc64le", "PPC64LE ppc64le-linux powerpc64le"),
        ("riscv64", "rv64 RISCV64 riscv64gc riscv64-buildroot-linux-gnu"),
        (
            "x86_64",
            "x86-64 X86_64 x64 AMD64 x86-64-v3 x86_64_v4 x86_64-pc-linux-gnu x86_64-linux linux-x64 x86-64-pc-linux-gnu",
        ),
    ]);
    // ARM's version 8 is 64-bit to some and 32-bit to others; the rest is no architecture, or none for Linux.
    expect_none(
        "armv8 armv9 armv8a sparcv9 arm-none-eabi x86_64-w64-mingw32 aarch64-apple-darwin v7 v linux-gnu _ - /",
    );
    expect_none("mips_le_linux arm_be_linux aarch64_32 x86_64_32 qemu- qemu-static all");
    let table = ArchTable::builtin();
    assert_eq!(row(&table, ""), None);
}

#[test]
fn rust() {
    // A reader of its own: what a target's programs are comes from rustc's configuration, not from the name.
    let rustc = |arguments: &[&str]| {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let output = Command::new(rustc).args(["--print"]).args(arguments).output().expect("rustc is there");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("rustc prints text")
    };
    let table = ArchTable::builtin();
    let targets = rustc(&["target-list"]);
    let (mut wrong, mut covered) = (Vec::new(), 0);
    for target in targets.lines().filter(|target| target.contains("-linux-")) {
        let cfg = rustc(&["cfg", "--target", target]);
        let expected = built_for(&table, &cfg);
        covered += usize::from(expected.is_some());
        if row(&table, target) != expected {
            wrong.push((target, expected, row(&table, target)));
        }
    }
    assert!(wrong.is_empty(), "target, expected row, row that answers: {wrong:?}");
    assert!(covered >= 50, "{covered} targets have a row");
}

/// The row for programs of a target of Rust, by what rustc says of it.
fn built_for<'t>(table: &'t ArchTable, cfg: &str) -> Option<&'t str> {
    let value = |key: &str| {
        let values = |line: &str| Some(line.strip_prefix(key)?.strip_prefix("=\"")?.strip_suffix('"')?.to_owned());
        cfg.lines().find_map(values).unwrap_or_default()
    };
    let machine = match value("target_arch").as_str() {
        "aarch64" => 183,
        "arm" => 40,
        "hexagon" => 164,
        "loongarch64" => 258,
        "m68k" => 4,
        "mips" | "mips32r6" | "mips64" | "mips64r6" => 8,
        "powerpc" => 20,
        "powerpc64" => 21,
        "riscv32" | "riscv64" => 243,
        "s390x" => 22,
        "sparc" => 2,
        "sparc64" => 43,
        "x86" => 3,
        "x86_64" => 62,
        "csky" | "wasm32" => return None,
        other => panic!("rustc has a new architecture, {other}: add its machine number here"),
    };
    let class = if value("target_pointer_width") == "64" { Class::Elf64 } else { Class::Elf32 };
    let data = if value("target_endian") == "big" { Data::Big } else { Data::Little };
    // Rust has no target for n32, the one ABI that another row of the same machine stands for.
    let plain = |row: &&Architecture| row.flags.is_none_or(|flags| flags.value == 0);
    let has = |row: &&Architecture| row.machine.iter().any(|found| found.number == machine);
    let mut rows = table.architectures().iter().filter(has).filter(plain);
    rows.find(|row| row.class == class && row.data == data).map(|row| row.name.as_str())
}

#[test]
fn names_that_are_the_same_to_a_reader_are_taken() {
    for alias in ["ARM64", "x86-64", "AARCH64-BE", "mips64-unknown-linux-gnuabin32", "arm64-v8"] {
        let json = format!(r#"{{"version": 1, "architectures": [{{"name": "s390x", "aliases": ["{alias}"]}}]}}"#);
        let merged = ArchTable::builtin().merge(&json);
        // A vendor belongs to what is looked up, not to what a table says.
        let taken = alias != "mips64-unknown-linux-gnuabin32";
        assert_eq!(merged.is_err(), taken, "{alias}: {merged:?}");
        assert!(merged.err().is_none_or(|error| error.to_string().contains("is taken by architecture")));
    }
    // A table of one's own comes before what is derived.
    let json = r#"{"version": 1, "architectures": [{"name": "s390x", "aliases": ["armv7"]}]}"#;
    let table = ArchTable::builtin().merge(json).unwrap();
    assert_eq!(
        ["armv7", "ARMv7", "linux/arm/v7"].map(|name| row(&table, name)),
        [Some("s390x"), Some("s390x"), Some("arm")]
    );
}

#[test]
fn near_misses() {
    let table = ArchTable::builtin();
    for (name, expected) in [
        ("aarch65", &["aarch64"][..]),
        ("arm46", &["arm64"]),
        ("armv8", &["arm/v8", "arm64/v8"]),
        ("s390", &["s390x"]),
        ("Risc-V64", &["riscv64"]),
        ("linux/amd46", &["amd64"]),
        ("powerpc64el-linux-gnu", &["powerpc64le", "powerpc64"]),
        ("qemu-arch64", &["aarch64"]),
        ("z80", &[]),
        ("", &[]),
        ("./program", &[]),
    ] {
        assert_eq!(table.similar(name), expected, "{name}");
    }
}

proptest! {
    #[test]
    fn every_string_is_looked_up(name in ".{0,40}") {
        let table = ArchTable::builtin();
        let found = table.find(&name);
        prop_assert!(table.similar(&name).len() <= 3);
        prop_assert_eq!(found, table.find(&name.to_ascii_uppercase()));
    }

    #[test]
    fn separators_and_case_do_not_matter(name in "(linux[/_-])?(arm|x86_64|aarch64-be|mips64)([/_-](v[5-7]|linux|pc|gnu)){0,3}") {
        let table = ArchTable::builtin();
        let found = table.find(&name);
        prop_assert_eq!(found, table.find(&name.replace(['/', '-'], "_")));
        prop_assert_eq!(found, table.find(&name.replace(['_', '/'], "-").to_ascii_uppercase()));
    }
}
