//! `register`, `unregister`, `status` and `unshare` with a real kernel, in private namespaces, which `unshare` makes.
//!
//! No emulator is needed: in these tests alpha's is /bin/false, which exists, and fails every probe.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_binfmt-dispatch");
const TABLE: &str = include_str!("../arch-table.json");
const ENTRY: &str = "/proc/sys/fs/binfmt_misc/qemu-alpha";
/// Somebody else's entry by the same name, turned off.
const FOREIGN: &str = r"
    printf '%s' ':qemu-alpha:M:18:\x26\x90::/bin/true:O' > /proc/sys/fs/binfmt_misc/register
    echo 0 > /proc/sys/fs/binfmt_misc/qemu-alpha
";

/// A table, an image made from it, and scripts that use them.
struct Lab {
    directory: TempDir,
}

impl Lab {
    fn new() -> Self {
        let lab = Lab { directory: TempDir::new().unwrap() };
        let mut table: serde_json::Value = serde_json::from_str(TABLE).unwrap();
        let rows = table["architectures"].as_array_mut().unwrap();
        rows.retain(|row| row["name"] == "alpha");
        rows[0]["emulators"] = serde_json::json!(["/bin/false"]);
        fs::write(lab.path("table"), table.to_string()).unwrap();
        let mut image = lab.command("image");
        assert!(image.args(["--no-emulators", "-o"]).arg(lab.path("image")).status().unwrap().success());
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A command of the program, with the table.
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args([name, "--table"]).arg(self.path("table"));
        command
    }

    /// Runs a shell script by `unshare`, with alpha alone registered there, or removed again if `empty`. The functions
    /// `tool` and `register` call the program; what the script prints is returned. `None` where there are no such
    /// namespaces.
    fn run(&self, empty: bool, script: &str) -> Option<Output> {
        let prelude = r#"
            tool() { command=$1; shift; "$PROGRAM" "$command" --table "$LAB/table" "$@"; echo "code $?"; }
            register() { tool register --image "$LAB/image" "$@"; }
        "#;
        let first = if empty { "tool unregister >/dev/null" } else { "" };
        let mut command = self.command("unshare");
        command.args(["-a", "alpha", "--", "sh", "-c", &format!("{prelude}\n{first}\n{script}")]);
        command.env("PROGRAM", PROGRAM).env("LAB", self.directory.path());
        let output = command.output().unwrap();
        let refused = output.status.code() == Some(1) && output.stdout.is_empty();
        if refused && std::env::var_os("BINFMT_DISPATCH_TESTS_MUST_RUN").is_none() {
            eprintln!("skipped: {}", String::from_utf8_lossy(&output.stderr));
            return None;
        }
        Some(output)
    }

    /// What the script prints, and then what it says on standard error, is `expected`, line by line; a line of
    /// `expected` may be a part of what is printed.
    #[track_caller]
    fn expect(&self, script: &str, expected: &[&str]) {
        let Some(output) = self.run(true, script) else { return };
        let text = [&output.stdout[..], &output.stderr[..]].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let agree = lines.len() == expected.len() && lines.iter().zip(expected).all(|(line, part)| line.contains(part));
        assert!(agree, "{script}\nexpected {expected:#?}\nfound {lines:#?}");
    }
}

#[test]
fn registration_is_idempotent_and_ends() {
    Lab::new().expect(
        &format!(
            "register alpha --no-probe; register alpha --no-probe; head -n 3 {ENTRY}
             tool unregister --image \"$LAB/image\" alpha; ls /proc/sys/fs/binfmt_misc; tool unregister alpha"
        ),
        &[
            "ARCHITECTURE  RESULT      EMULATOR",
            "alpha         registered  /bin/false",
            "code 0",
            "ARCHITECTURE  RESULT              EMULATOR",
            "alpha         already registered  /bin/false",
            "code 0",
            "enabled",
            "interpreter /",
            "flags: POF",
            "qemu-alpha: removed",
            "code 0",
            "register",
            "status",
            "code 1",
            "binfmt-dispatch: qemu-alpha: is not registered",
        ],
    );
}

#[test]
fn what_is_ours_is_found_by_what_is_in_the_file() {
    Lab::new().expect("register alpha --no-probe >/dev/null; tool unregister", &["qemu-alpha: removed", "code 0"]);
}

#[test]
fn credentials_are_a_decision() {
    Lab::new().expect(
        &format!("register alpha --no-probe >/dev/null; register alpha --no-probe --credentials; grep flags {ENTRY}"),
        &["ARCHITECTURE", "registered", "code 0", "flags: POCF", "warning: set-user-ID programs"],
    );
}

#[test]
fn a_dry_run_prints_the_line() {
    Lab::new().expect(
        "register alpha -n; ls /proc/sys/fs/binfmt_misc",
        &[r":qemu-alpha:M::\x7f\x45\x4c\x46\x02\x01\x01", "code 0", "register", "status"],
    );
}

#[test]
fn entries_of_others_are_left_alone() {
    Lab::new().expect(
        &format!("{FOREIGN} register alpha; tool unregister alpha; tool unregister; head -n 2 {ENTRY}"),
        &[
            "code 1",
            "code 1",
            "code 0",
            "disabled",
            "interpreter /bin/true",
            "qemu-alpha: is registered for /bin/true: ",
            "qemu-alpha: left alone, as it is registered for /bin/true: ",
        ],
    );
}

#[test]
fn what_does_not_work_is_not_registered() {
    Lab::new().expect(
        "register alpha; ls /proc/sys/fs/binfmt_misc",
        &[
            "ARCHITECTURE",
            "alpha         failed",
            "code 1",
            "register",
            "status",
            "alpha: not registered, as its probe exited with ",
        ],
    );
}

#[test]
fn what_makes_room_for_nothing_that_works_is_never_touched() {
    // Down to the mask that it was registered without.
    let entry = ["disabled", "interpreter /bin/true", "flags: O", "offset 18", "magic 2690"];
    for (broken, report) in
        [("", "alpha: not registered"), ("chmod -x $LAB/image", "qemu-alpha: the kernel cannot open /")]
    {
        Lab::new().expect(
            &format!(
                "{FOREIGN} {broken}
 register alpha --replace >/dev/null; cat {ENTRY}"
            ),
            &[&entry[..], &[report]].concat(),
        );
    }
}

#[test]
fn an_entry_that_loses_its_programs_is_named() {
    Lab::new().expect(
        r"echo ':other:M:18:\x26\x90::/bin/true:' > /proc/sys/fs/binfmt_misc/register
          register alpha --no-probe >/dev/null; tool status | tail -n 2",
        &[
            "qemu-alpha and other (/bin/true) accept some of the same programs",
            "code 0",
            "warning: qemu-alpha: from now on gets programs that other (/bin/true) got",
        ],
    );
}

#[test]
fn this_machine_is_never_captured() {
    let lab = Lab::new();
    let Some(_) = lab.run(false, "true") else { return };
    // As if somebody had mixed rows up: alpha's has this machine's numbers, and this machine's row has others.
    let table: serde_json::Value = serde_json::from_str(TABLE).unwrap();
    let rows = table["architectures"].as_array().unwrap();
    let row = |name: &str| rows.iter().find(|row| row["name"] == name).cloned().unwrap();
    let (mut own, mut alpha) = (row(std::env::consts::ARCH), row("alpha"));
    for field in ["machine", "class", "data"] {
        alpha[field] = own[field].clone();
    }
    alpha["emulators"] = serde_json::json!(["/bin/false"]);
    own["class"] = if own["class"] == 32 { 64 } else { 32 }.into();
    let table = serde_json::json!({"version": 1, "architectures": [own, alpha]});
    fs::write(lab.path("table"), table.to_string()).unwrap();
    let output = lab.command("unshare").args(["-a", "alpha", "true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("qemu-alpha: would capture this machine's own "), "{message}");
}

#[test]
fn switched_off_means_not_good() {
    Lab::new().expect(
        &format!(
            "tool status >/dev/null; register alpha --no-probe >/dev/null; tool status | tail -n 1
             echo 0 > {ENTRY}; tool status | tail -n 1
             echo 0 > /proc/sys/fs/binfmt_misc/status; register alpha"
        ),
        &["code 0", "code 1", "code 1", "all entries are off"],
    );
}

#[test]
fn an_entry_that_cannot_work_is_not_good() {
    let lab = Lab::new();
    let table = dispatch_table::ArchTable::builtin();
    fs::write(lab.path("guest"), table.find("alpha").unwrap().probe_elf()).unwrap();
    let made = Command::new("chmod").arg("+x").arg(lab.path("guest")).status().unwrap();
    assert!(made.success());
    let entry = |flags: &str| {
        format!(
            "register alpha -n | sed -n 's/POF$/{flags}/p' >/proc/sys/fs/binfmt_misc/register
             tool status --image \"$LAB/image\" | grep -e 'lacks flag' -e '^code'; \"$PROGRAM\" status --table \"$LAB/table\" >/dev/null; echo $?
             tool explain \"$LAB/guest\" | grep -e verdict -e 'to do'"
        )
    };
    lab.expect(
        &entry("PF"),
        &[
            "qemu-alpha cannot work, as it lacks flag O: run `binfmt-dispatch register --replace alpha`",
            "code 1",
            "1",
            "it does not run: entry qemu-alpha lacks flag O",
            "as root, binfmt-dispatch register --replace alpha",
        ],
    );
    lab.expect(
        &entry("OF"),
        &[
            "qemu-alpha loses argv[0], as it lacks flag P: run ",
            "code 0",
            "0",
            "it runs as planned, but with argv[0] lost",
        ],
    );
}

#[test]
fn a_private_image_is_called_so() {
    let lab = Lab::new();
    let Some(output) = lab.run(false, "tool status | grep -c 'private image of unshare'") else { return };
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n", "{output:?}");
}

#[test]
fn status_is_readable_by_programs() {
    let lab = Lab::new();
    let Some(output) = lab.run(false, r#""$PROGRAM" status --table "$LAB/table" --json"#) else { return };
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&status["mounted"], &status["enabled"]), (&true.into(), &true.into()));
    let entries = status["entries"].as_array().unwrap();
    let alpha = entries.iter().find(|entry| entry["entry"] == "qemu-alpha").unwrap();
    assert_eq!(alpha["ours"], true, "{alpha}");
    assert_eq!(alpha["flags"], "POF", "{alpha}");
    assert_eq!(alpha["emulator"], "/bin/false", "{alpha}");
}

#[test]
fn the_command_takes_the_place_of_the_tool() {
    let lab = Lab::new();
    let Some(output) = lab.run(false, "kill -TERM $$") else { return };
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(output.status.signal(), Some(15), "{output:?}");
    let code = |command: &str| {
        let status = lab.command("unshare").args(["-a", "alpha", command]).status().unwrap();
        status.code()
    };
    assert_eq!(code("true"), Some(0));
    assert_eq!(code("false"), Some(1));
    assert_eq!(code("no-such-command"), Some(127));
    assert_eq!(code("/etc/passwd"), Some(126));
}

#[test]
fn the_host_sees_nothing_of_it() {
    let listing = || fs::read_dir("/proc/sys/fs/binfmt_misc").map(|entries| entries.count()).ok();
    let before = listing();
    let lab = Lab::new();
    let Some(output) = lab.run(false, "ls /proc/sys/fs/binfmt_misc") else { return };
    assert_eq!(String::from_utf8_lossy(&output.stdout), "qemu-alpha\nregister\nstatus\n");
    assert_eq!(listing(), before);
}
