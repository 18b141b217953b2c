//! `install`, `uninstall`, upgrades and what is left when a run is interrupted, with a real kernel, in private
//! namespaces. The emulators are those that this machine has installed; nothing outside of the scratch directory changes.

#[path = "../support/mod.rs"]
mod support;

mod boot;
mod interrupted;
mod killed;
mod others;
mod tables;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Output};

use support::{Need, Scratch, TOOL, have};

/// Architectures whose emulators go into the images.
const ROWS: &str = "aarch64 s390x";
const REGISTRY: &str = "/proc/sys/fs/binfmt_misc";

/// Runs a script in a namespace with an empty registry. Its variables: TOOL, REGISTRY, ROWS, and PREFIX, a place in the
/// scratch directory, which also is the current one.
#[track_caller]
fn run(scratch: &Scratch, script: &str) -> Output {
    let prelude = "set -u; mount -t binfmt_misc binfmt_misc $REGISTRY || exit 99";
    let output = Command::new("timeout")
        .args(["--kill-after=5", "600", "unshare", "-Urm", "bash", "-c", &format!("{prelude}\n{script}")])
        .envs([("TOOL", TOOL), ("REGISTRY", REGISTRY), ("ROWS", ROWS), ("PREFIX", &scratch.at("prefix"))])
        .current_dir(scratch.path())
        .output()
        .unwrap();
    assert!(output.status.code() == Some(0), "{script}\n{}", shown(&output));
    output
}

fn shown(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{}\nstdout:\n{out}\nstderr:\n{err}", output.status)
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn ready() -> bool {
    have(&[Need::Namespace, Need::Qemu])
}

#[test]
fn into_a_root_and_back() {
    if !ready() {
        return;
    }
    let scratch = Scratch::new();
    for name in ["arm", "riscv64"] {
        scratch.probe(name, name);
    }
    let output = run(
        &scratch,
        r#"
        umask 077
        $TOOL install arm riscv64 --root r --seed 1 || exit 1
        ls $REGISTRY
        while IFS= read -r line; do
            case $line in ''|'#'*) continue ;; esac
            printf '%s' "${line/:\/usr/:$PWD/r/usr}" >$REGISTRY/register || exit 2
        done <r/usr/lib/binfmt.d/zz-binfmt-dispatch.conf
        grep -h flags $REGISTRY/qemu-arm $REGISTRY/qemu-riscv64
        ./arm && ./riscv64 || exit 3
        r/usr/bin/binfmt-dispatch list --image --json >list || exit 4
        r/usr/bin/binfmt-dispatch status | grep -c 'inside the image'
        r/usr/bin/binfmt-dispatch unregister | wc -l
        $TOOL uninstall --root r; echo "code $?"; find r -type f -o -type l
        $TOOL uninstall --root r; echo "code $?"
        "#,
    );
    let out = text(&output);
    let expected = [
        "ENTRY",
        "qemu-arm ",
        "qemu-arm-osabi65 ",
        "qemu-arm-osabi97 ",
        "qemu-riscv64 ",
        "register",
        "status",
        "flags: POCF",
        "flags: POCF",
        "4",
        "4",
        "r/usr/lib/binfmt.d/zz-binfmt-dispatch.conf: removed",
        "r/usr/bin/binfmt-dispatch: removed",
        "r/usr/libexec/binfmt-dispatch/binfmt-dispatch: removed",
        "r/usr/libexec/binfmt-dispatch: removed",
        "r/usr/lib/binfmt.d: removed",
        "code 0",
        "code 0",
    ];
    let lines: Vec<&str> = out.lines().collect();
    let agree =
        lines.len() == expected.len() && lines.iter().zip(expected).all(|(line, start)| line.starts_with(start));
    assert!(agree, "expected {expected:#?}\n{}", shown(&output));
    assert!(lines[1].contains("POCF") && lines[1].ends_with("not registered"), "{}", lines[1]);
    let list: serde_json::Value = serde_json::from_slice(&fs::read(scratch.at("list")).unwrap()).unwrap();
    assert_eq!(list[0]["name"], "binfmt-dispatch");
    assert_eq!(list[1]["runs"], serde_json::json!(["arm"]));
    assert!(list[2]["base"].is_u64() && list[2]["digest"].as_str().unwrap().len() == 64, "{list:#}");
}

#[test]
fn live_upgraded_and_back() {
    if !ready() {
        return;
    }
    let scratch = Scratch::new();
    let output = run(
        &scratch,
        r#"
        $TOOL install $ROWS --prefix $PREFIX --seed 1 || exit 1
        $PREFIX/bin/binfmt-dispatch status | grep -c differs
        $PREFIX/bin/binfmt-dispatch image $ROWS -o $PREFIX/libexec/binfmt-dispatch/binfmt-dispatch --seed 2
        $PREFIX/bin/binfmt-dispatch status | grep differs
        $PREFIX/bin/binfmt-dispatch status --json >status.json
        $PREFIX/bin/binfmt-dispatch install $ROWS --prefix $PREFIX --seed 3 >/dev/null || exit 2
        $PREFIX/bin/binfmt-dispatch status | grep -c differs
        ls $REGISTRY
        $PREFIX/bin/binfmt-dispatch register $ROWS --replace --no-credentials >/dev/null || exit 3
        grep -h flags $REGISTRY/qemu-aarch64
        $PREFIX/bin/binfmt-dispatch register $ROWS --replace 2>&1 >/dev/null | grep -c 'privileges from now on'
        $PREFIX/bin/binfmt-dispatch uninstall --prefix $PREFIX; echo "code $?"
        ls $REGISTRY
        "#,
    );
    let out = text(&output);
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[1].starts_with("qemu-aarch64 ") && lines[1].ends_with(" ok"), "{}", shown(&output));
    let differs = "qemu-aarch64, qemu-s390x: the registered file differs from the one on disk: \
                 run `binfmt-dispatch register --replace aarch64 s390x`";
    assert_eq!(
        lines[3..10],
        ["0", differs, "0", "qemu-aarch64", "qemu-s390x", "register", "status"],
        "{}",
        shown(&output)
    );
    let status: serde_json::Value = serde_json::from_slice(&fs::read(scratch.at("status.json")).unwrap()).unwrap();
    let outdated = |name: &str| {
        let mut entries = status["entries"].as_array().unwrap().iter();
        entries.find(|entry| entry["entry"] == name).unwrap()["outdated"].clone()
    };
    let expected = [true.into(), true.into(), serde_json::Value::Null];
    assert_eq!(["qemu-aarch64", "qemu-s390x", "qemu-alpha"].map(outdated), expected, "{status:#}");
    assert_eq!(
        lines[10..14],
        ["flags: POF", "1", "qemu-aarch64: removed", "qemu-s390x: removed"],
        "{}",
        shown(&output)
    );
    assert_eq!(lines[19..], ["code 0", "register", "status"], "{}", shown(&output));
}

#[test]
fn below_usr_local() {
    if !ready() {
        return;
    }
    let scratch = Scratch::new();
    let output = run(
        &scratch,
        r#"
        # In this namespace only, it is an empty directory.
        mkdir local && mount --bind local /usr/local || exit 1
        $TOOL install $ROWS --prefix /usr/local >/dev/null || exit 2
        IMAGE=/usr/local/libexec/binfmt-dispatch/binfmt-dispatch
        readlink -f /usr/local/bin/binfmt-dispatch; touch local/lib/binfmt.d/other.conf
        /usr/local/bin/binfmt-dispatch status | grep -c " $IMAGE  *inside the image$"
        grep -c ":$IMAGE:POCF$" local/lib/binfmt.d/zz-binfmt-dispatch.conf
        /usr/local/bin/binfmt-dispatch uninstall --prefix /usr/local | sort
        find local -type f -o -type l; ls local/libexec $REGISTRY
        "#,
    );
    let expected = "/usr/local/libexec/binfmt-dispatch/binfmt-dispatch\n2\n2\n\
                    /usr/local/bin/binfmt-dispatch: removed\n\
                    /usr/local/lib/binfmt.d/zz-binfmt-dispatch.conf: removed\n\
                    /usr/local/libexec/binfmt-dispatch/binfmt-dispatch: removed\n\
                    /usr/local/libexec/binfmt-dispatch: removed\n\
                    qemu-aarch64: removed\nqemu-s390x: removed\nlocal/lib/binfmt.d/other.conf\n\
                    /proc/sys/fs/binfmt_misc:\nregister\nstatus\n\nlocal/libexec:\n";
    assert_eq!(text(&output), expected, "{}", shown(&output));
}

#[test]
fn an_upgrade_that_the_kernel_refuses_changes_nothing() {
    if !ready() || !have(&[Need::Strace]) {
        return;
    }
    let scratch = Scratch::new();
    scratch.probe("arm", "arm");
    scratch.probe("s390x", "s390x");
    let output = run(
        &scratch,
        r#"
        $TOOL install arm s390x --prefix $PREFIX >/dev/null || exit 1
        # A file that comes back is the same one: entries keep it open.
        state() { find $PREFIX -printf '%p %i %s\n' | sort; ls $REGISTRY; }
        state >before
        # Two of the four entries are tried first; for each then two are registered, and one is removed.
        refused() {
            strace -qq -o trace -P $REGISTRY/$1 -e trace=write -e inject=write:error=EIO:when=$2 \
                $TOOL install arm s390x --prefix $PREFIX 2>error
            echo "code $?" $(grep -c ": cannot write: i/o error$" error) $(wc -l <error)
            state | cmp - before && ./arm && ./s390x || exit 2
            $TOOL status --image $PREFIX/libexec/binfmt-dispatch/binfmt-dispatch --json >status.json || exit 3
            grep -c '"outdated": false' status.json; grep -c '"outdated": true' status.json
        }
        for write in {1..10}; do refused register $write; done
        for entry in arm arm-osabi65 arm-osabi97 s390x; do refused qemu-$entry 1; done
        true
        "#,
    );
    assert_eq!(text(&output), "code 1 1 1\n4\n0\n".repeat(14), "{}", shown(&output));
}

#[test]
fn what_an_upgrade_leaves_out_goes_on() {
    if !ready() {
        return;
    }
    let scratch = Scratch::new();
    scratch.probe("arm", "arm");
    let output = run(
        &scratch,
        r#"
        $TOOL install arm s390x --prefix $PREFIX >/dev/null || exit 1
        $PREFIX/bin/binfmt-dispatch install s390x --prefix $PREFIX >/dev/null && ./arm || exit 2
        $PREFIX/bin/binfmt-dispatch status | grep differs
        $PREFIX/bin/binfmt-dispatch uninstall --prefix $PREFIX >/dev/null && ls $REGISTRY
        "#,
    );
    let line = "binfmt-dispatch: warning: qemu-arm, qemu-arm-osabi65, qemu-arm-osabi97: not part of this installation: \
                until the next boot, what was installed before stays in use for them";
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    // Each time: this prefix is not where systemd looks.
    let lines = stderr.lines().filter(|line| !line.ends_with("link it into /etc/binfmt.d"));
    assert_eq!(lines.collect::<Vec<_>>(), [line], "{}", shown(&output));
    let differs = "qemu-arm, qemu-arm-osabi65, qemu-arm-osabi97: the registered file differs from the one on disk: \
                 run `binfmt-dispatch register --replace arm`\nregister\nstatus\n";
    assert_eq!(text(&output), differs, "{}", shown(&output));
}

#[test]
fn what_is_somebody_elses_stays() {
    let scratch = Scratch::new();
    let install = |arguments: &[&str]| {
        let mut command = Command::new(TOOL);
        command.args(["install", "--root", &scratch.at("r"), "--no-emulators"]).args(arguments).output().unwrap()
    };
    for name in [
        "usr/bin/binfmt-dispatch",
        "usr/lib/binfmt.d/zz-binfmt-dispatch.conf",
        "usr/libexec/binfmt-dispatch/binfmt-dispatch",
    ] {
        let path = scratch.write(&format!("r/{name}"), "mine");
        let output = install(&[]);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && message.contains("as it is not ours"), "{}", shown(&output));
        let output = Command::new(TOOL).args(["uninstall", "--root", &scratch.at("r")]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        fs::remove_file(path).unwrap();
    }
    fs::remove_dir_all(scratch.at("r")).unwrap();
    // Half of it cannot be written: nothing is there afterwards.
    let output = Command::new(TOOL)
        .args(["install", "--root", &scratch.at("r"), "--from", "aarch64=/etc/passwd"])
        .output()
        .unwrap();
    assert_ne!(output.status.code(), Some(0), "{}", shown(&output));
    assert!(!scratch.path().join("r").exists());
    assert_eq!(install(&["-n"]).status.code(), Some(0));
    assert!(!scratch.path().join("r").exists());
}

#[test]
fn what_killed_runs_left_goes_and_nothing_else() {
    let scratch = Scratch::new();
    let at = |name: &str| format!("prefix/{name}");
    // As on a file system where a file has a name from the beginning.
    let left = ["libexec/binfmt-dispatch/.binfmt-dispatch-aB3xyz", "lib/binfmt.d/.binfmt-dispatch-000000"].map(at);
    let others = [
        "libexec/binfmt-dispatch/.binfmt-dispatch-aB3xy",
        "libexec/binfmt-dispatch/.binfmt-dispatch-aB3xyz.conf",
        "lib/binfmt.d/.binfmt-dispatch-aB3-yz",
        "lib/binfmt.d/other.conf",
        "bin/.binfmt-dispatch-aB3xyz",
    ]
    .map(at);
    let directory = "lib/binfmt.d/.binfmt-dispatch-aB3xyz";
    fs::create_dir_all(scratch.path().join(at(directory))).unwrap();
    for name in &others {
        scratch.write(name, "theirs");
    }
    for command in [&["install", "--no-emulators", "--no-register"][..], &["uninstall", "--mount", "/"]] {
        for name in &left {
            scratch.write(name, "half an image");
        }
        let output = Command::new(TOOL).args(command).args(["--prefix", &scratch.at("prefix")]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
        for name in &left {
            assert!(!scratch.path().join(name).exists(), "{name}\n{}", shown(&output));
        }
    }
    for name in &others {
        assert_eq!(fs::read_to_string(scratch.path().join(name)).unwrap(), "theirs");
        fs::remove_file(scratch.path().join(name)).unwrap();
    }
    fs::remove_dir(scratch.path().join(at(directory))).unwrap();
}

#[test]
fn directories_that_nothing_was_installed_in_stay() {
    let scratch = Scratch::new();
    let at = |name: &str| scratch.path().join("mine").join(name);
    let tool = |arguments: &[&str]| {
        let prefix = ["--prefix", &scratch.at("mine")];
        let output = Command::new(TOOL).args(arguments).args(prefix).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
        text(&output).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    for name in ["bin", "lib/binfmt.d", "libexec"] {
        fs::create_dir_all(at(name)).unwrap();
    }
    assert!(tool(&["uninstall", "--mount", "/"]).is_empty());
    assert!(at("bin").exists() && at("lib/binfmt.d").exists() && at("libexec").exists());
    for (others, left) in [(false, &["bin", "lib", "libexec"][..]), (true, &["bin", "lib/binfmt.d", "libexec"])] {
        tool(&["install", "--no-emulators", "--no-register"]);
        if others {
            scratch.write("mine/lib/binfmt.d/other.conf", "");
        }
        let would = tool(&["uninstall", "--mount", "/", "--dry-run"]);
        let removed = tool(&["uninstall", "--mount", "/"]);
        assert_eq!(
            would,
            removed.iter().map(|line| line.replace(": removed", ": would be removed")).collect::<Vec<_>>()
        );
        let directories = removed.iter().filter(|line| {
            [at("libexec/binfmt-dispatch"), at("lib/binfmt.d")]
                .iter()
                .any(|path| **line == format!("{}: removed", path.display()))
        });
        assert_eq!(directories.count(), if others { 1 } else { 2 }, "{removed:?}");
        assert!(!at("libexec/binfmt-dispatch").exists() && at("lib/binfmt.d").exists() == others);
        assert!(left.iter().all(|name| at(name).exists()));
    }
}

#[test]
fn many_at_once_wait_for_each_other() {
    if !ready() {
        return;
    }
    let scratch = Scratch::new();
    // Into another root, below a prefix, and with entries; the first ones make the directories.
    let output = run(
        &scratch,
        r#"
        $TOOL image aarch64 -o i --seed 1
        state() { find r $PREFIX -type f -o -type l; ls $REGISTRY; }
        for place in "--root r --no-emulators" "--prefix $PREFIX --no-register --no-emulators" \
                "--prefix $PREFIX --seed 1 aarch64"; do
            removed=${place//--no-register/--mount /}; removed=${removed//--no-emulators/}; removed=${removed//--seed 1 aarch64/}
            for run in {1..12}; do
                { $TOOL install $place >/dev/null 2>err.$run || echo "install $?: $(cat err.$run)"; } &
                { $TOOL uninstall $removed >out.$run 2>&1 || echo "uninstall $?: $(cat out.$run)"; } &
            done
            wait
            [ "$place" = "${place%aarch64}" ] && entries=0 || entries=1
            case "$(state | grep -c -e binfmt-dispatch$ -e dispatch.conf$) $(state | grep -c ^qemu)" in
                "0 0" | "3 $entries") echo whole ;;
                *) state ;;
            esac
            $TOOL uninstall $removed >/dev/null; state | grep -v -e ^register -e ^status
        done
        true
        "#,
    );
    assert_eq!(text(&output), "whole\nwhole\nwhole\n", "{}", shown(&output));
}

#[test]
fn entries_are_replaced_without_a_gap() {
    if !ready() || !have(&[Need::Strace]) {
        return;
    }
    let scratch = Scratch::new();
    scratch.probe("guest", "aarch64");
    let output = run(
        &scratch,
        r#"
        $TOOL image aarch64 -o i && $TOOL register aarch64 --image i >/dev/null || exit 1
        worker() { n=0 bad=0; until [ -e stop ]; do ./guest 2>/dev/null || bad=$((bad + 1)); n=$((n + 1)); done; echo "$n $bad"; }
        for i in 1 2 3 4; do worker >counts.$i & done
        # A gap would last some microseconds; strace makes it 20 ms after each write to the registry.
        slowly() { strace -qq -o trace -e trace=write -e inject=write:delay_exit=20000 "$@"; }
        for i in {1..20}; do slowly $TOOL register aarch64 --image i --replace --no-probe >/dev/null || exit 2; done
        touch stop; wait
        ls $REGISTRY
        "#,
    );
    assert_eq!(text(&output), "qemu-aarch64\nregister\nstatus\n");
    let (mut started, mut failed) = (0, 0);
    for worker in 1..=4 {
        let counts = fs::read_to_string(scratch.at(&format!("counts.{worker}"))).unwrap();
        let counts: Vec<u32> = counts.split_whitespace().map(|count| count.parse().unwrap()).collect();
        (started, failed) = (started + counts[0], failed + counts[1]);
    }
    assert!(started > 40 && failed == 0, "{failed} of {started} failed");
}

#[test]
fn a_load_of_programs_during_an_install() {
    if !ready() {
        return;
    }
    let scratch = Scratch::new();
    scratch.probe("aarch64", "aarch64");
    scratch.probe("s390x", "s390x");
    let output = run(
        &scratch,
        r#"
        $TOOL install $ROWS --prefix $PREFIX --seed 1 >/dev/null || exit 1
        { for i in {1..2500}; do echo ./aarch64; echo ./s390x; done; } |
            xargs -P 64 -n 1 sh -c '"$0" && echo done || echo failed' >counts &
        while [ $(wc -l <counts) -lt 400 ]; do sleep 0.01; done
        $PREFIX/bin/binfmt-dispatch install $ROWS --prefix $PREFIX --seed 2 >/dev/null || exit 2
        [ $(wc -l <counts) -lt 5000 ] && echo in the middle
        wait
        grep -c done counts
        "#,
    );
    assert_eq!(text(&output), "in the middle\n5000\n", "{}", shown(&output));
    assert_eq!(
        fs::metadata(scratch.at("prefix/libexec/binfmt-dispatch/binfmt-dispatch")).unwrap().mode() & 0o777,
        0o755
    );
}
