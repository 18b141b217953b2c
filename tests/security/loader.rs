//! Variables that steer dynamic linkers and C libraries: the emulator's own, which is static, and
//! the guest's.

use std::path::PathBuf;

use crate::lab::Directly::{Fails, Succeeds};
use crate::lab::{Attack, CPU, Lab, attack};
use crate::support::{Foreign, Release, need};

#[test]
fn variables_for_libraries_do_not_reach_the_program() {
    need!(Namespace, Root, Compiler, CrossCompilers, BothQemus);
    let removed = [Fails("the libc of a static QEMU removes them from its environment, which the guest gets"); 2];
    let harm = "grep -q '^variable [A-Z_]*=chosen' out";
    let attacks = [
        (
            "LD_*",
            "LD_PRELOAD=chosen LD_LIBRARY_PATH=chosen LD_AUDIT=chosen LD_DEBUG_OUTPUT=chosen LD_PROFILE=chosen",
            harm,
            removed,
        ),
        ("GLIBC_TUNABLES", "GLIBC_TUNABLES=chosen", harm, removed),
        ("others", "TMPDIR=chosen GCONV_PATH=chosen LOCPATH=chosen NLSPATH=chosen MALLOC_TRACE=chosen", harm, removed),
        ("behind QEMU_SET_ENV", "QEMU_SET_ENV=GLIBC_TUNABLES=chosen,LD_PRELOAD=chosen", harm, [Succeeds; 2]),
    ];
    let scripts = attacks.map(|(_, settings, ..)| format!("(export {settings}; victim)"));
    let attacks = attacks.iter().zip(&scripts);
    attack(attacks.map(|(&(name, _, harm, directly), script)| Attack { name, script, harm, directly }));
}

/// A program with a libc, which is where the cross compiler has it, and a library of the
/// attacker's.
pub fn ordinary() -> (PathBuf, PathBuf) {
    let libraries = format!("/usr/{CPU}-linux-gnu/lib");
    let linker = match Foreign::USUAL {
        Foreign::Riscv64 => "ld-linux-riscv64-lp64d.so.1",
        _ => "ld-linux-aarch64.so.1",
    };
    let linker = format!("-Wl,--dynamic-linker={libraries}/{linker}");
    let search = format!("-Wl,--enable-new-dtags,-rpath,{libraries}");
    let program = Foreign::USUAL.build_as("ordinary", "tests/security/programs/ordinary.c", &[&linker, &search]);
    let library = Foreign::USUAL.build_as("library", "tests/security/programs/library.c", &["-shared", "-fPIC"]);
    (program, library)
}

#[test]
fn no_library_of_the_callers_is_loaded() {
    need!(Namespace, Root, Compiler, CrossCompilers, BothQemus);
    let (program, library) = ordinary();
    let attacker = "for program in ../unprivileged ../privileged; do
            LD_PRELOAD=/mnt/library.so $program
            LD_LIBRARY_PATH=/mnt/attacker LD_AUDIT=/mnt/library.so $program
            GLIBC_TUNABLES=glibc.rtld.optional_static_tls=x LD_SHOW_AUXV=1 LD_DEBUG=all $program 2>&1 | tail -n 2
        done";
    for release in Release::ALL {
        let lab = Lab::ours(release);
        lab.scratch.write("unprivileged", std::fs::read(&program).unwrap());
        lab.scratch.write("privileged", std::fs::read(&program).unwrap());
        lab.scratch.write("library.so", std::fs::read(&library).unwrap());
        let seen = lab.run("chmod 4755 ../privileged", attacker);
        // The attack works on a program without privileges.
        let (unprivileged, privileged) = seen.out().split_at(seen.out().find("euid 0").unwrap_or(0));
        assert!(unprivileged.contains("library loaded\n"), "{seen}");
        assert_eq!(privileged, "euid 0\nend\n".repeat(3), "{seen}");
    }
}
