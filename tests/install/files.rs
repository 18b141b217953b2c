//! The installed files: in another root, below a prefix, upgraded, removed.

use std::fs;

use crate::run;
use crate::support::{Scratch, image_flags, need, saying};

#[test]
fn into_a_root_and_back() {
    need!(Namespace, Qemu);
    let scratch = Scratch::new();
    for name in ["arm", "riscv64"] {
        scratch.probe(name, name);
    }
    let seen = run(
        &scratch,
        r#"
        umask 077
        $TOOL install arm riscv64 --root r --seed 1 --no-docs || exit 1
        ls $REGISTRY
        while IFS= read -r line; do
            case $line in ''|'#'*) continue ;; esac
            printf '%s' "${line/:\/usr/:$PWD/r/usr}" >$REGISTRY/register || exit 2
        done <r/usr/lib/binfmt.d/zz-binfmt-dispatch.conf
        grep -h flags $REGISTRY/qemu-arm $REGISTRY/qemu-riscv64
        ./arm && ./riscv64 || exit 3
        r/usr/bin/binfmt-dispatch list --image --json >list || exit 4
        r/usr/bin/binfmt-dispatch status --all | grep -c 'embedded in the image'
        r/usr/bin/binfmt-dispatch unregister | wc -l
        $TOOL uninstall --root r; echo "code $?"; find r -type f -o -type l
        $TOOL uninstall --root r; echo "code $?"
        "#,
    );
    let expected = [
        "Found 2 emulators in /usr/bin.",
        "",
        "ENTRY",
        "qemu-arm ",
        "qemu-arm-osabi65 ",
        "qemu-arm-osabi97 ",
        "qemu-riscv64 ",
        "",
        "r/usr/libexec/binfmt-dispatch/binfmt-dispatch: written, ",
        "r/usr/bin/binfmt-dispatch: the command, a link to it",
        "r/usr/lib/binfmt.d/zz-binfmt-dispatch.conf: written, 4 entries at each boot",
        "register",
        "status",
        "flags: POCF", // There is no kernel in the root.
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
    let lines: Vec<&str> = seen.lines_begin(&expected).out().lines().collect();
    assert!(lines[3].contains("POCF") && lines[3].ends_with("not registered"), "{}", lines[3]);
    let list: serde_json::Value = serde_json::from_slice(&fs::read(scratch.at("list")).unwrap()).unwrap();
    assert_eq!(list[0]["name"], "binfmt-dispatch");
    assert_eq!(list[1]["runs"], serde_json::json!(["arm"]));
    assert!(list[2]["base"].is_u64() && list[2]["digest"].as_str().unwrap().len() == 64, "{list:#}");
}

#[test]
fn the_snippet_suits_every_kernel_that_may_be_booted() {
    need!(Qemu);
    let scratch = Scratch::new();
    let flags = || {
        let run = scratch.tool(["install", "arm64", "--root", "r", "--seed", "1", "--no-docs"]);
        run.succeeded();
        let snippet = fs::read_to_string(scratch.at("r/usr/lib/binfmt.d/zz-binfmt-dispatch.conf")).unwrap();
        snippet.trim_end().rsplit(':').next().unwrap().to_owned()
    };
    // The flags are those for any kernel, unless all that are installed know T.
    assert_eq!(flags(), "POCF");
    scratch.write("r/lib/modules/7.3-amd64/modules.builtin", "");
    assert_eq!(flags(), "OCFT");
    scratch.write("r/lib/modules/6.12.1-amd64/modules.builtin", "");
    assert_eq!(flags(), "POCF");
    // What a removed kernel leaves.
    fs::remove_file(scratch.at("r/lib/modules/6.12.1-amd64/modules.builtin")).unwrap();
    assert_eq!(flags(), "OCFT");
}

#[test]
fn live_upgraded_and_back() {
    need!(Namespace, Qemu);
    let scratch = Scratch::new();
    let seen = run(
        &scratch,
        r#"
        $TOOL install $ROWS --prefix $PREFIX --seed 1 --no-docs || exit 1
        $PREFIX/bin/binfmt-dispatch status | grep -c differs
        $PREFIX/bin/binfmt-dispatch image $ROWS -o $PREFIX/libexec/binfmt-dispatch/binfmt-dispatch --seed 2
        $PREFIX/bin/binfmt-dispatch status | grep differs
        $PREFIX/bin/binfmt-dispatch status --json >status.json
        $PREFIX/bin/binfmt-dispatch install $ROWS --prefix $PREFIX --seed 3 --no-docs >/dev/null || exit 2
        $PREFIX/bin/binfmt-dispatch status | grep -c differs
        ls $REGISTRY
        $PREFIX/bin/binfmt-dispatch register $ROWS --replace --no-credentials >/dev/null || exit 3
        grep -h flags $REGISTRY/qemu-aarch64
        $PREFIX/bin/binfmt-dispatch register $ROWS --replace 2>&1 >/dev/null | grep -c 'set-user-ID programs now take effect'
        $PREFIX/bin/binfmt-dispatch uninstall --prefix $PREFIX; echo "code $?"
        ls $REGISTRY
        "#,
    );
    let lines: Vec<&str> = seen.out().lines().collect();
    let found =
        lines[..3] == ["Found 2 emulators in /usr/bin.", "", "ENTRY         FLAGS  EMULATOR                    PROBE"];
    assert!(found && lines[3].starts_with("qemu-aarch64 ") && lines[3].ends_with(" ok"), "{seen}");
    assert!(lines[5].is_empty() && lines[6].ends_with(" MB"), "{seen}");
    assert_eq!(lines[9], "Registered 2 entries for 2 architectures in /proc/sys/fs/binfmt_misc.", "{seen}");
    let lines = &lines[7..];
    let differs = "qemu-aarch64, qemu-s390x: the registered image differs from the one on disk: \
                 run `binfmt-dispatch register --replace aarch64 s390x`";
    assert_eq!(lines[3..10], ["0", differs, "0", "qemu-aarch64", "qemu-s390x", "register", "status"], "{seen}");
    let status: serde_json::Value = serde_json::from_slice(&fs::read(scratch.at("status.json")).unwrap()).unwrap();
    let outdated = |name: &str| {
        let mut entries = status["entries"].as_array().unwrap().iter();
        entries.find(|entry| entry["entry"] == name).unwrap()["outdated"].clone()
    };
    let expected = [true.into(), true.into(), serde_json::Value::Null];
    assert_eq!(["qemu-aarch64", "qemu-s390x", "qemu-alpha"].map(outdated), expected, "{status:#}");
    let flags = if image_flags() == "POCF" { "flags: POF" } else { "flags: OFT" };
    assert_eq!(lines[10..14], [flags, "1", "qemu-aarch64: removed", "qemu-s390x: removed"], "{seen}");
    assert_eq!(lines[19..], ["code 0", "register", "status"], "{seen}");
}

#[test]
fn below_usr_local() {
    need!(Namespace, Qemu);
    let scratch = Scratch::new();
    let seen = run(
        &scratch,
        r#"
        # In this namespace only, it is an empty directory.
        mkdir local && mount --bind local /usr/local || exit 1
        $TOOL install $ROWS --prefix /usr/local --no-docs >/dev/null || exit 2
        IMAGE=/usr/local/libexec/binfmt-dispatch/binfmt-dispatch
        readlink -f /usr/local/bin/binfmt-dispatch; touch local/lib/binfmt.d/other.conf
        /usr/local/bin/binfmt-dispatch status --all | grep -c " $IMAGE  *embedded in the image$"
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
    seen.wrote(expected);
}

#[test]
fn an_upgrade_that_the_kernel_refuses_changes_nothing() {
    need!(Namespace, Qemu, Strace);
    let scratch = Scratch::new();
    scratch.probe("arm", "arm");
    scratch.probe("s390x", "s390x");
    let seen = run(
        &scratch,
        r#"
        $TOOL install arm s390x --prefix $PREFIX >/dev/null || exit 1
        # A file that comes back is the same one: entries keep it open.
        state() { find $PREFIX -printf '%p %i %s\n' | sort; ls $REGISTRY; }
        state >before
        # First the kernel is asked for flag T. Two of the four entries are tried then; for each two
        # are registered, and one is removed.
        refused() {
            strace -qq -o trace -P $REGISTRY/$1 -e trace=write -e inject=write:error=EIO:when=$2 \
                $TOOL install arm s390x --prefix $PREFIX 2>error >out
            echo "code $?" $(grep -c ": cannot write: i/o error$" error) $(wc -l <error)
            state | cmp - before && ./arm && ./s390x || exit 2
            $TOOL status --image $PREFIX/libexec/binfmt-dispatch/binfmt-dispatch --json >status.json || exit 3
            grep -c '"outdated": false' status.json; grep -c '"outdated": true' status.json
        }
        for write in {1..11}; do refused register $write; done
        for entry in arm arm-osabi65 arm-osabi97 s390x; do refused qemu-$entry 1; done
        true
        "#,
    );
    seen.wrote(&"code 1 1 1\n4\n0\n".repeat(15));
}

#[test]
fn what_an_upgrade_leaves_out_goes_on() {
    need!(Namespace, Qemu);
    let scratch = Scratch::new();
    scratch.probe("arm", "arm");
    let seen = run(
        &scratch,
        r"
        $TOOL install arm s390x --prefix $PREFIX >/dev/null || exit 1
        $PREFIX/bin/binfmt-dispatch install s390x --only --prefix $PREFIX >/dev/null && ./arm || exit 2
        $PREFIX/bin/binfmt-dispatch status | grep 'does not embed'
        $PREFIX/bin/binfmt-dispatch uninstall --prefix $PREFIX >/dev/null && ls $REGISTRY
        ",
    );
    let line = "binfmt-dispatch: warning: qemu-arm, qemu-arm-osabi65, qemu-arm-osabi97: not part of this installation: \
                the earlier one stays in use for them until the next boot";
    // Each run says so: systemd does not look below this prefix.
    let lines = seen.err().lines().filter(|line| !line.ends_with("link it into /etc/binfmt.d"));
    assert_eq!(lines.collect::<Vec<_>>(), [line], "{seen}");
    let lost = format!(
        "qemu-arm, qemu-arm-osabi65, qemu-arm-osabi97: the registered image is not on disk any more, and the file there \
         does not embed the emulator: run `binfmt-dispatch install --prefix {} arm`\nregister\nstatus\n",
        scratch.at("prefix")
    );
    seen.wrote(&lost);
}

#[test]
fn many_entries_that_an_upgrade_leaves_out_are_counted() {
    need!(Namespace, Compiler);
    let scratch = Scratch::new();
    let script = r#"
        names="aarch64 alpha arm mips riscv64 s390x"
        from=$(for name in $names; do echo "--from $name=$ONE"; done)
        $TOOL install $names $from --prefix $PREFIX --seed 1 >/dev/null 2>&1 || exit 1
        $TOOL install alpha --only --from alpha=$ONE --prefix $PREFIX --seed 1 2>&1 >/dev/null | grep 'earlier one'
        "#;
    let seen = run(&scratch, &format!("ONE={}\n{script}", saying("one", 0).display()));
    let line = "binfmt-dispatch: warning: qemu-aarch64, qemu-arm, qemu-arm-osabi65, qemu-arm-osabi97, qemu-mips and 2 \
                more: not part of this installation: the earlier one stays in use for them until the next boot\n";
    seen.wrote(line);
}
