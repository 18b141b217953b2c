//! Addresses: a program can have the same ones as with QEMU registered directly, except in the last
//! terabyte.

use std::path::PathBuf;

use crate::support::{Foreign, Observation, Release, Scratch, Way, need};

/// The architectures with 64-bit addresses.
const WIDE: [Foreign; 3] = if cfg!(target_arch = "aarch64") {
    [Foreign::X86_64, Foreign::Riscv64, Foreign::S390x]
} else if cfg!(target_arch = "riscv64") {
    [Foreign::Aarch64, Foreign::X86_64, Foreign::S390x]
} else {
    [Foreign::Aarch64, Foreign::Riscv64, Foreign::S390x]
};

/// Runs `script` both ways, and asserts that it does the same.
#[track_caller]
fn both(release: Release, script: &str) -> Observation {
    let run = |way| release.registered(way).run(&Scratch::new(), script);
    let ours = run(Way::Ours);
    ours.agrees_with(&run(Way::Direct));
    ours
}

#[test]
fn all_terabytes_but_the_last_are_a_programs() {
    need!(Namespace, BothQemus, CrossCompilers);
    for release in Release::ALL {
        for foreign in WIDE {
            let program = foreign.build("tests/kernel/addresses/addresses.c");
            let seen = both(release, &program.display().to_string());
            let lines: Vec<&str> = seen.succeeded().out().lines().collect();
            assert_eq!(lines.len(), 126, "{seen}");
            // These calls show that the test works: memory that is not mapped is reported as such.
            let free = lines.iter().filter(|line| line.contains("msync:12 munlock:12 mprotect:12 mremap:14"));
            assert!(free.count() > 100, "{seen}");
        }
    }
}

/// The program with `ThreadSanitizer`, whose library some cross compilers lack.
fn sanitized(foreign: Foreign) -> PathBuf {
    let library = foreign.thread_sanitizer();
    let library = library.to_str().expect("a plain name");
    let options =
        ["-fsanitize=thread", "-nodefaultlibs", "-Wl,--no-as-needed,--allow-shlib-undefined", library, "-lc", "-lgcc"];
    foreign.build_as("threads", "tests/kernel/addresses/threads.c", &options)
}

#[test]
fn thread_sanitizer_finds_its_addresses() {
    need!(Namespace, BothQemus, CrossCompilers, Sanitizer);
    // Other combinations do not run directly either: ThreadSanitizer does not know the addresses
    // that such a QEMU gives it. QEMU 7.2 takes seconds for each start.
    for (foreign, release, starts) in [(Foreign::Riscv64, Release::Trixie, 5), (Foreign::Aarch64, Release::Bookworm, 1)]
    {
        let (program, root) = (sanitized(foreign), foreign.sanitizer());
        let start = format!("{} || exit\n", program.display()).repeat(starts);
        let script = format!("export QEMU_LD_PREFIX={}\n{start}", root.display());
        both(release, &script).printed(&"200\n".repeat(starts));
    }
}
