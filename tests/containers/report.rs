//! Metrics and health over HTTP, by a container without privileges.

use std::collections::{BTreeMap, BTreeSet};

use crate::container::{codes, image, image_saying, run_in, run_with};
use crate::support::{Namespace, Scratch, need};

/// `report` starts the container as a user without any capability, with options, and waits until it
/// serves; `get` prints status line, media type and body.
const REPORT: &str = r#"
    report() {
        : >served
        unshare --mount --pid --fork --mount-proc setpriv --reuid 1000 --regid 1000 --clear-groups --bounding-set -all \
            --no-new-privs root/usr/bin/binfmt-dispatch container --report 127.0.0.1:0 "$@" 2>served & reporter=$!
        until grep -q '^binfmt-dispatch: serving ' served; do kill -0 $reporter || return 1; sleep 0.05; done
        PORT=$(sed -n 's/^.*:\([0-9]*\)$/\1/p' served)
    }
    get() {
        exec 9<>/dev/tcp/127.0.0.1/$PORT; printf "${2:-GET} $1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" >&9; cat <&9 | tr -d '\r' >answer; exec 9>&-
        head -1 answer; sed '1,/^$/d' answer
    }
    ends() { pkill -TERM -P $reporter; wait $reporter; echo ended $?; }
    chmod 755 root root/usr root/usr/bin
"#;

/// The samples of metrics, by name and labels. Asserts the format: each family has one HELP, then
/// one TYPE, then its samples, of which no two are the same.
#[track_caller]
fn samples(text: &str) -> BTreeMap<String, u64> {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit())
    };
    let (mut found, mut families, mut family) = (BTreeMap::new(), BTreeSet::new(), String::new());
    let mut lines = text.lines();
    assert!(text.ends_with('\n'), "{text}");
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').expect("a name and words");
            assert!(is_name(name) && words.ends_with('.') && families.insert(name.to_owned()), "{line}");
            assert_eq!(lines.next(), Some(&*format!("# TYPE {name} gauge")));
            name.clone_into(&mut family);
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
        assert_eq!(name, family, "{text}");
        let labels = labels.strip_suffix('}').expect("an end of the labels");
        for label in labels.split(',').filter(|label| !label.is_empty()) {
            let (name, value) = label.split_once("=\"").expect("a value in quotation marks");
            let plain = value.strip_suffix("\"").is_some_and(|value| !value.contains(['\x22', '\\']));
            assert!(is_name(name) && plain, "{line}");
        }
        assert!(found.insert(sample.to_owned(), value.parse().expect("a number")).is_none(), "{line}");
    }
    found
}

fn sample(name: &str, architecture: &str, entry: &str) -> String {
    format!("binfmt_dispatch_entry_{name}{{architecture=\"{architecture}\",entry=\"{entry}\"}}")
}

#[test]
fn the_metrics_are_those_of_the_registry() {
    need!(Namespace, Qemu, Compiler);
    let scratch = Scratch::new();
    let seen = run_with(
        &scratch,
        (&image(), &image_saying("one")),
        r"
        cp $IMAGE first; container --install all >log 2>&1; run ./first status --metrics >installed
        other_image; container --install arm64 >log 2>&1; run ./first status --metrics >other
        echo 0 >$REGISTRY/qemu-s390x; run ./first status --metrics >off
        run ./first status --metrics arm64 >part; run $TOOL status --metrics z80 arm
        umount $REGISTRY; run $TOOL status --metrics; tail -qn 1 installed other off part
        ",
    );
    assert_eq!(codes(seen.out()), ["2", "1", "0", "0", "1", "0"], "{seen}");
    let err = [
        "s390x: do not run through binfmt-dispatch: see `binfmt-dispatch status`",
        "unknown architecture z80: see `binfmt-dispatch list`",
        "nothing is expected to run: name architectures, or use an image that embeds emulators",
    ];
    assert_eq!(seen.err(), err.map(|line| format!("binfmt-dispatch: {line}\n")).concat(), "{seen}");
    let read = |name: &str| {
        let text = std::fs::read_to_string(scratch.at(name)).unwrap();
        samples(text.rsplit_once("code").unwrap().0)
    };
    let [installed, other, off, part] = ["installed", "other", "off", "part"].map(read);
    for (architecture, entry) in [("aarch64", "qemu-aarch64"), ("arm", "qemu-arm-osabi65"), ("s390x", "qemu-s390x")] {
        for (name, value) in
            [("registered", 1), ("enabled", 1), ("shadowed", 0), ("ours", 1), ("runs", 1), ("current", 1)]
        {
            assert_eq!(installed.get(&sample(name, architecture, entry)), Some(&value), "{name} {installed:#?}");
        }
    }
    for (name, value) in [
        ("ready", 1),
        ("registry_visible", 1),
        ("registry_enabled", 1),
        ("other_entries", 0),
        ("interrupted_entries", 0),
    ] {
        assert_eq!(installed.get(&format!("binfmt_dispatch_{name}")), Some(&value), "{name} {installed:#?}");
    }
    assert_eq!(installed.keys().filter(|key| key.starts_with("binfmt_dispatch_entry_info{")).count(), 5);
    assert_eq!(other[&sample("current", "aarch64", "qemu-aarch64")], 0);
    assert_eq!(other[&sample("current", "arm", "qemu-arm")], 1);
    assert_eq!((off["binfmt_dispatch_ready"], off[&sample("enabled", "s390x", "qemu-s390x")]), (0, 0));
    assert_eq!((part["binfmt_dispatch_ready"], part.keys().filter(|key| key.contains("s390x")).count()), (1, 0));
}

#[test]
fn a_container_without_privileges_tells_what_runs() {
    need!(Namespace, Root, Qemu, Compiler);
    let scratch = Scratch::new();
    let script = format!(
        "{REPORT}\n{}",
        r#"
        report; get /healthz; container --install all >log 2>&1; get /healthz; get /metrics >metrics
        get /nothing; get /metrics POST; get "/healthz?x"
        container --uninstall s390x >log 2>&1; get /healthz; ends
        report --expect linux/arm64,amd64; get /healthz; ends
        # The registry in a volume.
        mkdir m; mount --bind $REGISTRY m; report --mount $PWD/m; get /metrics | grep visible; ends
        "#
    );
    let seen = run_in(&Namespace::empty().mapped(), &scratch, (&image(), &image()), &script);
    let unready = |names: &str| {
        format!(
            "HTTP/1.1 503 Service Unavailable\nbinfmt-dispatch: {names}: do not run through binfmt-dispatch: see \
             `binfmt-dispatch status`\n"
        )
    };
    let ok = "HTTP/1.1 200 OK\nok\n";
    let expected = [
        &unready("aarch64, arm, s390x"),
        ok,
        "HTTP/1.1 404 Not Found\nthere are /metrics and /healthz\n",
        "HTTP/1.1 405 Method Not Allowed\nuse GET\n",
        ok,
        &unready("s390x"),
        "ended 0\n",
        ok,
        "ended 0\n",
        "# HELP binfmt_dispatch_registry_visible Whether this process sees the kernel's entries. If not, test programs \
         alone tell what runs.\n# TYPE binfmt_dispatch_registry_visible gauge\nbinfmt_dispatch_registry_visible 1\n",
        "ended 0\n",
    ];
    assert_eq!(seen.out(), expected.concat(), "{seen}");
    let text = std::fs::read_to_string(scratch.at("metrics")).unwrap();
    let metrics = samples(text.split_once('\n').unwrap().1);
    for name in ["ours", "runs", "current"] {
        for (architecture, entry) in [("aarch64", "qemu-aarch64"), ("arm", "qemu-arm"), ("s390x", "qemu-s390x")] {
            assert_eq!(metrics.get(&sample(name, architecture, entry)), Some(&1), "{name} {text}");
        }
    }
    assert_eq!(metrics["binfmt_dispatch_ready"], 1);
    assert_eq!(metrics["binfmt_dispatch_registry_visible"], 0);
}

#[test]
fn an_address_in_use_is_refused() {
    need!(Namespace, Root, Qemu);
    let script = format!("{REPORT}\nreport; container --report 127.0.0.1:$PORT 2>log; cat log; echo $PORT; ends");
    let seen = run_in(&Namespace::empty().mapped(), &Scratch::new(), (&image(), &image()), &script);
    let lines: Vec<&str> = seen.out().lines().collect();
    let line = format!(
        "binfmt-dispatch: 127.0.0.1:{}: cannot be served: choose another address with --report: address already in use",
        lines[1]
    );
    assert_eq!((lines[0], lines[2]), (&*line, "ended 0"), "{seen}");
}
