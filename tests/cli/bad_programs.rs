//! Files that are no programs or that cannot be run: one line, the remedy, and the documented exit
//! code.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::explain::dynamic;
use crate::support::{Namespace, Observation, Scratch, TOOL, need, probe};
use crate::table::aarch64;

const INCOMPLETE: &str = "check that the file is a complete Linux program";

/// The probe of aarch64 with some bytes changed.
fn changed(changes: &[(usize, &[u8])]) -> Vec<u8> {
    let mut file = probe("aarch64");
    for (offset, bytes) in changes {
        file[*offset..offset + bytes.len()].copy_from_slice(bytes);
    }
    file
}

/// Asserts the output of `explain` and of `run` for a file.
#[track_caller]
fn both(file: &[u8], code: i32, problem: &str, remedy: &str) {
    // `explain` knows more about these than that they are incomplete.
    let advice = match problem {
        "an object file, not a program" => "link it",
        "a core dump, not a program" => "open it with a debugger",
        _ => remedy,
    };
    let scratch = Scratch::new();
    scratch.write("p", file);
    Namespace::empty().tool(&scratch, ["explain", "./p"]).verdict(&format!("it does not run: {problem}"), advice);
    scratch.tool(["run", "./p"]).refused(code, &format!("./p: {problem}: {remedy}"));
    let json = Namespace::empty().tool(&scratch, ["explain", "--json", "./p"]);
    let verdict = &json.exited(1).json()["verdict"];
    assert!(
        *verdict
            == json!({"runs": false, "certain": true, "exit_code": code, "reason": problem, "remedy": advice, "now": null}),
        "{json}"
    );
}

/// Asserts a problem that only `explain` reports. Without it the emulator, or nothing, would report
/// it later.
#[track_caller]
fn explained(file: &[u8], problem: &str, remedy: &str) {
    let scratch = Scratch::new();
    scratch.write("p", file);
    Namespace::empty().tool(&scratch, ["explain", "./p"]).verdict(&format!("it does not run: {problem}"), remedy);
}

#[test]
fn headers() {
    need!(Namespace);
    both(&probe("aarch64")[..40], 126, "ELF header cut short at 40 of 64 bytes", INCOMPLETE);
    both(b"\x7fEL", 126, "ELF header cut short at 3 of 52 bytes", INCOMPLETE);
    both(&changed(&[(4, b"\x03")]), 126, "ELF class 3 is neither 1 (32-bit) nor 2 (64-bit)", INCOMPLETE);
    both(
        &changed(&[(5, b"\x03")]),
        126,
        "ELF byte order 3 is neither 1 (little-endian) nor 2 (big-endian)",
        INCOMPLETE,
    );
    both(&changed(&[(6, b"\x02")]), 126, "ELF version 2 is not 1", INCOMPLETE);
    both(&changed(&[(16, b"\x07")]), 126, "ELF type 7 is neither 2 nor 3 (a program)", INCOMPLETE);
    both(&changed(&[(16, b"\x01")]), 126, "an object file, not a program", INCOMPLETE);
    both(&changed(&[(16, b"\x04")]), 126, "a core dump, not a program", INCOMPLETE);
    both(&changed(&[(52, b"\x3f")]), 126, "ELF header size 63 is not 64", INCOMPLETE);
    both(&changed(&[(54, b"\x37")]), 126, "ELF program header size 55 is not 56", INCOMPLETE);
}

/// The kernel and QEMU do not look at `e_version`.
#[test]
fn any_version_of_the_object_file_will_do() {
    let scratch = Scratch::new();
    scratch.write("p", changed(&[(20, b"\x07")]));
    let [option, table] = aarch64(&scratch, "/bin/true", json!({}));
    scratch.tool([&*option, &table, "run", "./p"]).wrote("").exited(0);
    let json = scratch.tool(["explain", "--json", "./p"]).json();
    assert_eq!(json["header"]["machine"], 183, "{json}");
}

#[test]
fn machines() {
    need!(Namespace);
    both(&changed(&[(18, b"\x0f\x27")]), 127, "no emulator is known for ELF machine 9999", "see binfmt-dispatch list");
    let mut x32 = probe("i386");
    x32[18] = 62;
    both(
        &x32,
        127,
        "no emulator runs 32-bit little-endian programs of this machine with flags 0x0",
        "rebuild the program for x86_64",
    );
}

#[test]
fn machines_that_are_not_in_the_table_have_names() {
    need!(Namespace);
    let scratch = Scratch::new();
    scratch.write("p", changed(&[(18, b"\x32\x00")]));
    let run = Namespace::empty().tool(&scratch, ["explain", "./p"]);
    run.has("machine     EM_IA_64 = 50, flags 0x0: no row of the table takes it").exited(1);
}

#[test]
fn thirty_two_bit_aarch64() {
    need!(Namespace);
    let scratch = Scratch::new();
    let mut ilp32 = probe("arm");
    ilp32[18] = 183;
    ilp32[36..40].fill(0); // e_flags
    scratch.write("p", ilp32);
    let run = scratch.tool(["run", "./p"]);
    let problem = "binfmt-dispatch: ./p: no emulator runs 32-bit little-endian programs of this machine with flags 0x0: rebuild the \
                   program for aarch64\n";
    assert!(run.err() == problem, "{run}");
    run.exited(127);
}

#[test]
fn other_systems() {
    need!(Namespace);
    both(&changed(&[(7, b"\x09")]), 126, "a program for FreeBSD, not for Linux", "get its Linux build");
    both(&changed(&[(7, b"\x0c")]), 126, "a program for OpenBSD, not for Linux", "get its Linux build");
    // PT_NOTE in place of the code's segment.
    let note = [&7_u32.to_le_bytes()[..], &4_u32.to_le_bytes(), &1_u32.to_le_bytes(), b"NetBSD\0\0", &[0, 0, 1, 2]];
    let note = note.concat();
    let mut file = changed(&[(64, b"\x04"), (64 + 8, &120_u64.to_le_bytes()), (64 + 32, &24_u64.to_le_bytes())]);
    file.truncate(120);
    explained(&[&file[..], &note].concat(), "a program for NetBSD, not for Linux", "get its Linux build");
}

#[test]
fn damage_behind_the_header() {
    need!(Namespace);
    let again = "get the file again";
    explained(&changed(&[(56, b"\xff\xff")]), "its 65535 program headers are not inside the file", again);
    explained(&changed(&[(32, &[0xff; 8])]), "its 1 program headers are not inside the file", again);
    // The header is checked first.
    let unknown = changed(&[(56, b"\x00"), (18, b"\x0f\x27")]);
    both(&unknown, 127, "no emulator is known for ELF machine 9999", "see binfmt-dispatch list");
    explained(&changed(&[(56, b"\x00")]), "it has no program headers", again);
    let size = 64 + 32;
    let cut = changed(&[(size, &5000_u64.to_le_bytes())]);
    explained(&cut, &format!("the file is cut short: it has {} bytes and needs 5000", cut.len()), again);
    let mut far = dynamic("aarch64", "/lib/ld.so", 0);
    far[64 + 8..64 + 16].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    explained(&far, "the name of its dynamic linker is not inside the file", again);
    far[64 + 8..64 + 16].copy_from_slice(&u64::MAX.to_le_bytes());
    explained(&far, "the name of its dynamic linker is not inside the file", again);
}

#[test]
fn files_that_are_no_programs() {
    need!(Namespace);
    explained(b"", "the file is empty", "get it again");
    explained(b"hello\n", "a text without #! in its first line", "begin it with #! and the interpreter's path");
    explained(b"MZ\x90\0", "a program for Windows, not for Linux", "get its Linux build, or use wine");
    explained(b"\xff\xfe\x01", "not an ELF file", INCOMPLETE);
    let scratch = Scratch::new();
    scratch.write("p", "");
    scratch.tool(["run", "./p"]).refused(126, &format!("./p: not an ELF file: {INCOMPLETE}"));
}

/// Asserts the message of both commands for a path that cannot be opened.
#[track_caller]
fn unopened(scratch: &Scratch, name: &str, code: i32, error: &str) {
    for command in ["explain", "run", "--explain"] {
        let code = if command == "run" { code } else { 1 };
        scratch.tool([command, name]).refused(code, &format!("{name}: cannot be opened: {error}"));
    }
}

#[test]
fn files_that_cannot_be_opened() {
    let scratch = Scratch::new();
    unopened(&scratch, "./absent", 127, "no such file or directory");
    unopened(&scratch, "./a/b", 127, "no such file or directory");
    fs::create_dir(scratch.path().join("d")).unwrap();
    for command in ["explain", "run"] {
        let code = if command == "run" { 127 } else { 1 };
        scratch
            .tool([command, "./a\x1b\nb"])
            .refused(code, r"./a\x1b\x0ab: cannot be opened: no such file or directory");
    }
    unopened(&scratch, "./d", 126, "is a directory");
    scratch.shell("mkfifo f").succeeded();
    unopened(&scratch, "./f", 126, "not a regular file");
    unopened(&scratch, "/dev/null", 126, "not a regular file");
    scratch.shell("ln -s loop loop").succeeded();
    unopened(&scratch, "./loop", 126, "it leads to ./loop: too many symbolic links encountered");
}

#[test]
fn files_that_one_may_not_read() {
    let scratch = Scratch::new();
    scratch.write("tool", fs::read(TOOL).unwrap());
    scratch.probe("p", "aarch64");
    fs::set_permissions(scratch.path().join("p"), fs::Permissions::from_mode(0o111)).unwrap();
    let explain = |arguments: &[&str]| {
        let mut command = if nix::unistd::geteuid().is_root() {
            let mut command = scratch.command("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "./tool"]);
            command
        } else {
            scratch.command("./tool")
        };
        Observation::of(command.arg("explain").args(arguments))
    };
    explain(&["./p"]).refused(1, "./p: cannot be opened: make it readable or become root: permission denied");
    // The kernel may run it nevertheless: an interpreter gets it open.
    let runs = || explain(&["--json", "./p"]).exited(1).json()["verdict"]["runs"].clone();
    assert_eq!(runs(), json!(null));
    fs::set_permissions(scratch.path().join("p"), fs::Permissions::from_mode(0o000)).unwrap();
    assert_eq!(runs(), json!(false));
}

#[test]
fn files_that_are_not_executable() {
    need!(Namespace);
    let scratch = Scratch::new();
    fs::set_permissions(scratch.probe("a p", "aarch64"), fs::Permissions::from_mode(0o644)).unwrap();
    let run = Namespace::empty().tool(&scratch, ["explain", "./a p"]);
    run.verdict("it does not run: ./a p is not executable", "chmod +x './a p'");
    scratch.tool(["run", "./a p"]).refused(126, "./a p: ./a p is not executable: chmod +x './a p'");
    scratch.write("stub", b"\x7fELF");
    fs::set_permissions(scratch.path().join("stub"), fs::Permissions::from_mode(0o644)).unwrap();
    let problem = "ELF header cut short at 4 of 52 bytes";
    Namespace::empty()
        .tool(&scratch, ["explain", "./stub"])
        .verdict(&format!("it does not run: {problem}"), INCOMPLETE);
    scratch.tool(["run", "./stub"]).refused(126, &format!("./stub: {problem}: {INCOMPLETE}"));
    scratch.probe("p", "aarch64");
    let script = "mkdir m; mount -t tmpfs -o noexec none m; cp p m; $TOOL run m/p";
    let mount = scratch.at("m");
    let noexec =
        format!("m/p: the mount {mount} of m/p has the option noexec: copy it elsewhere, or mount that without");
    Namespace::empty().run(&scratch, script).refused(126, &noexec);
    // Another mount of the same file system.
    let script = "mkdir d; mount --bind d d; cp p d; mount -o remount,bind,noexec d; $TOOL run d/p";
    Namespace::empty()
        .run(&scratch, script)
        .refused(126, &noexec.replace("m/p", "d/p").replace(&mount, &scratch.at("d")));
}
