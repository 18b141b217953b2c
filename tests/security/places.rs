//! Emulators that the attacker puts at an expected path, in a root directory or in a namespace of
//! the attacker's own.

use dispatch_table::ArchTable;

use crate::lab::{CPU, Lab, direct};
use crate::support::{Namespace, Observation, Release, native, need};

/// A root directory that belongs to the attacker. It has the victim, and the attacker's program at
/// every path where an emulator may be looked for. A command that is run there as the attacker
/// writes to `out`.
fn jail(lab: &Lab, emulators: &[&str]) -> Observation {
    lab.scratch.write("planted", native("tests/security/programs/planted.c"));
    let plant: String = emulators
        .iter()
        .map(|path| format!("install -D planted jail/{path}; install -D planted jail/{path}-static\n"))
        .collect();
    let root = format!(
        "cd ..; mkdir jail; {plant} cp secret jail; chown -R 1000:1000 jail; chown 0:0 jail/secret
        cp -p victim jail; chmod 4755 jail/victim
        exec chroot --userspec=1000:1000 --groups= jail /victim"
    );
    lab.run(&root, "")
}

/// The usual place of the emulator.
fn installed() -> String {
    format!("/usr/bin/qemu-{CPU}")
}

fn taken_over(seen: &Observation) -> bool {
    seen.out().starts_with("program the attacker's\n") && seen.out().contains("password-of-root")
}

fn ran_with_privileges(seen: &Observation) -> bool {
    seen.out().starts_with("program the victim\n") && seen.out().contains("\neuid 0\n") && seen.code() == 0
}

#[test]
fn planted_in_a_root_directory() {
    need!(Namespace, Root, Compiler, CrossCompilers, BothQemus);
    for release in Release::ALL {
        let emulator = release.qemu(CPU);
        let emulator = emulator.to_str().unwrap();
        // Without flag F the kernel looks for the emulator in that root directory.
        let lab = Lab::with_flags("POC", |scratch| direct(scratch, emulator));
        let seen = jail(&lab, &[emulator]);
        assert!(taken_over(&seen), "{seen}");
        // With flag F the kernel has the file open already. All generated lines have the flag.
        let seen = jail(&Lab::direct(release), &[emulator]);
        assert!(ran_with_privileges(&seen), "{seen}");
        let lab = Lab::ours(release);
        let image = lab.scratch.at("image");
        let seen = jail(&lab, &[emulator, &image, &installed(), "/usr/libexec/binfmt-dispatch/binfmt-dispatch"]);
        assert!(ran_with_privileges(&seen), "{seen}");
    }
}

#[test]
fn an_image_without_the_emulator_takes_none_from_there() {
    need!(Namespace, Root, Compiler, CrossCompilers, BothQemus);
    let lab = Lab::with(|scratch| Namespace::with_image(scratch, &["--no-emulators"]));
    let line = format!(
        "/victim: this start is privileged (set-ID, capabilities, or differing real and effective IDs), and \
         the emulator for {CPU} is not embedded in the image: register without flag C, or drop the privileges \
         first"
    );
    jail(&lab, &[&installed()]).not_started(126, &line);
}

#[test]
fn every_generated_line_has_flag_f() {
    for arguments in
        [&["generate", "--format", "register"][..], &["generate", "--format", "register", "--direct", "--all"]]
    {
        let lines = String::from_utf8(crate::support::tool(arguments)).unwrap();
        assert!(lines.lines().count() > 30, "{lines}");
        let without: Vec<_> = lines.lines().filter(|line| !line.rsplit(':').next().unwrap().contains('F')).collect();
        assert!(without.is_empty(), "{without:?}");
    }
}

#[test]
fn planted_in_a_namespace() {
    need!(Namespace, Root, Compiler, CrossCompilers, BothQemus, Kernel(6, 7));
    // As root of a namespace, the attacker mounts a program over the emulator and over the image,
    // and registers it. The kernel gives no privileges of ids that do not exist in the namespace,
    // whatever is registered there.
    for release in Release::ALL {
        let emulator = release.qemu(CPU);
        for lab in [Lab::direct(release), Lab::ours(release)] {
            lab.scratch.write("planted", native("tests/security/programs/planted.c"));
            let hidden =
                if lab.scratch.path().join("image").exists() { "../image" } else { emulator.to_str().unwrap() };
            let machine = ArchTable::builtin().find(CPU).unwrap().machine[0].number;
            let line = format!(r":mine:M:18:\x{machine:02x}\x00::/mnt/planted:POCF");
            let attack = format!(
                "unshare -Urm bash -c '
                    mount --bind ../planted {hidden} && ../victim >hidden
                    mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
                    echo \"{line}\" >/proc/sys/fs/binfmt_misc/register && ../victim >registered'
                cat hidden registered"
            );
            let seen = lab.run("", &attack);
            let registered = seen.out().contains("program the attacker's\n");
            assert!(registered && !seen.out().contains("password-of-root"), "{seen}");
        }
    }
}
