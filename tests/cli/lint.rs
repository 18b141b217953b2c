//! `lint`: every check, and what is read in which order.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};

use crate::support::{Observation, Scratch, dynamic_guest, probe};

/// Cases: a title, a file, and after `---` the findings. `{A64}` and others are abbreviations
/// ([`SHORT`]).
const GOLDEN: &str = include_str!("lint.golden");

/// Abbreviations in the cases.
const SHORT: [(&str, &str); 6] = [
    // The magic and mask of arm64's programs, and the magic of this machine's.
    (
        "{A64}",
        r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\xfc\x00\x00\x00\x00\x00\x00\x00\x00\xfe\xff\xff\xff",
    ),
    ("{X64}", r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00"),
    ("{CR}", "\r"),
    ("{NUL}", "\0"),
    ("{MARK}", "\u{feff}"),
    ("{END}\n", ""),
];

/// The options of the cases, which are for one machine, and for none in particular.
pub const PLAIN: [&str; 4] = ["lint", "--host", "x86_64", "--no-interpreters"];

fn schema() -> Value {
    serde_json::from_str(include_str!("../../docs/lint.schema.json")).unwrap()
}

/// Asserts that JSON is as docs/lint.schema.json says.
#[track_caller]
pub fn is_valid(output: &Value) {
    thread_local! {
        static SCHEMA: (Schemas, SchemaIndex) = {
            let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
            compiler.add_resource("urn:binfmt-dispatch:lint:1", schema()).unwrap();
            let index = compiler.compile("urn:binfmt-dispatch:lint:1", &mut schemas).unwrap();
            (schemas, index)
        };
    }
    SCHEMA.with(|(schemas, index)| {
        schemas.validate(output, *index).unwrap_or_else(|error| panic!("{error:#}\n{output}"));
    });
}

/// What JSON and text say of the same files is the same; the former is the result.
#[track_caller]
fn both(scratch: &Scratch, arguments: &[&str]) -> (Observation, Value) {
    let text = scratch.tool(arguments);
    let run = scratch.tool([arguments, &["--json"]].concat());
    let output = run.json();
    is_valid(&output);
    assert!(run.code() == text.code() && run.stderr.is_empty() && text.stderr.is_empty(), "{run}{text}");
    let findings = output["findings"].as_array().unwrap();
    let level = |level: &str| findings.iter().filter(|finding| finding["level"] == level).count();
    assert_eq!(
        [level("error"), level("warning"), level("note")],
        ["errors", "warnings", "notes"].map(|key| output[key].as_u64().unwrap() as usize)
    );
    let ending = |finding: &Value| {
        let word = |key: &str| finding[key].as_str().unwrap().to_owned();
        format!(": {}: {} [{}]", word("level"), word("message"), word("check"))
    };
    assert!(text.out().lines().zip(findings).all(|(line, finding)| line.ends_with(&ending(finding))), "{text}{run}");
    assert_eq!(text.out().lines().count(), findings.len(), "{text}{run}");
    let bad = level("error") + level("warning") > 0;
    text.exited(i32::from(bad));
    (text, output)
}

fn cases() -> Vec<(&'static str, String, &'static str)> {
    let cases = GOLDEN.split("=== ").skip(1).map(|case| {
        let (title, rest) = case.split_once('\n').expect("a title");
        let (file, found) = rest.split_once("---\n").expect("a file, and what is found");
        let file = file.replace("{LONG}", &"i".repeat(1905));
        let file = SHORT.iter().fold(file, |file, (short, long)| file.replace(short, long));
        (title, file, found)
    });
    cases.collect()
}

#[test]
fn every_check() {
    let mut seen = BTreeSet::new();
    let mut wrong = String::new();
    for (title, file, expected) in cases() {
        let scratch = Scratch::new();
        scratch.write("f", &file);
        let (text, output) = both(&scratch, &[&PLAIN[..], &["f"]].concat());
        seen.extend(
            output["findings"].as_array().unwrap().iter().map(|finding| finding["check"].as_str().unwrap().to_owned()),
        );
        if text.out() != expected {
            wrong += &format!("=== {title}\nfound:\n{}expected:\n{expected}", text.out());
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    // Those of files and of interpreters have tests of their own.
    seen.extend(
        [
            "unreadable",
            "too-large",
            "masked",
            "overridden",
            "ignored-name",
            "interpreter-file",
            "not-static",
            "too-many",
        ]
        .map(str::to_owned),
    );
    let known: BTreeSet<String> =
        serde_json::from_value(schema()["$defs"]["finding"]["properties"]["check"]["enum"].clone()).unwrap();
    assert_eq!(seen, known, "tests/cli/lint.golden, docs/lint.schema.json");
    let page = include_str!("../../docs/lint.md");
    let untold: Vec<&String> = known.iter().filter(|check| !page.contains(&format!("\n| `{check}` |"))).collect();
    assert!(untold.is_empty(), "docs/lint.md does not tell of {untold:?}");
}

#[test]
fn what_github_shows() {
    let scratch = Scratch::new();
    scratch.write("a,b:c%", ":e:M::Z%::/bin/true:Q\n");
    let run = scratch.tool([&PLAIN[..], &["--format", "github", "a,b:c%"]].concat());
    run.wrote(
        "::error file=a%2Cb%3Ac%25,line=1,col=21,endColumn=22,title=binfmt-dispatch lint%3A flags::\
         unknown flag Q: there are P, O, C and F, and T, L and D since Linux 7.3\n",
    );
    run.exited(1);
    scratch.write("f", ":e:M::ZZ::/bin/true:");
    let run = scratch.tool([&PLAIN[..], &["--format", "github", "f", "none"]].concat());
    assert!(run.out().starts_with("::notice file=f,line=1,col=21,endColumn=21,title="), "{run}");
    assert!(
        run.out().contains("\n::error file=none,title=binfmt-dispatch lint%3A unreadable::cannot be read"),
        "{run}"
    );
    scratch.tool(["lint", "--format", "github", "--json"]).exited(2);
}

#[test]
fn files_that_cannot_be_read() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.at("directory")).unwrap();
    scratch.shell("mkfifo fifo; truncate -s 10G sparse; ln -s loop loop; ln -s nowhere dangling; : >empty").succeeded();
    scratch.write("good", ":e:M::ZZ::/bin/true:\n");
    let files = ["directory", "fifo", "/dev/zero", "sparse", "loop", "dangling", "none", "empty", "good"];
    let (text, output) = both(&scratch, &[&PLAIN[..], &files].concat());
    text.wrote(
        "directory: error: cannot be read: is a directory [unreadable]\n\
         fifo: error: cannot be read: not a regular file [unreadable]\n\
         /dev/zero: error: cannot be read: not a regular file [unreadable]\n\
         sparse: error: is larger than 1048576 bytes: this is no file for binfmt.d [too-large]\n\
         loop: error: cannot be read: too many symbolic links encountered [unreadable]\n\
         dangling: error: cannot be read: no such file or directory [unreadable]\n\
         none: error: cannot be read: no such file or directory [unreadable]\n",
    );
    assert_eq!(output["entries"].as_array().unwrap().len(), 1);
    scratch.tool(["lint", "--root", "none"]).refused(2, "none: cannot be a root directory: no such file or directory");
    scratch.tool(["lint", "--root", "good"]).refused(2, "good: cannot be a root directory: not a directory");
    scratch.tool(["lint", "--host", "z80"]).refused(2, "unknown architecture z80: see `binfmt-dispatch list`");
}

#[test]
fn names_that_are_not_text() {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("f"), b":\xff\x1b:M::ZZ::/bin/tr\xffue:\n").unwrap();
    let (text, output) = both(&scratch, &[&PLAIN[..], &["f"]].concat());
    text.wrote(
        r"f:1:2: warning: the name \xff\x1b needs care in scripts: use letters, digits, - and _ [odd-name]
",
    );
    assert_eq!(output["entries"][0]["name"], json!([0xff, 0x1b]));
    assert_eq!(output["entries"][0]["interpreter"].as_array().unwrap().len(), 10);
}

#[test]
fn many_entries() {
    let scratch = Scratch::new();
    let lines: String = (0..1003).map(|number| format!(":e{number}:E::x::/bin/true:\n")).collect();
    scratch.write("f", lines);
    let (text, output) = both(&scratch, &[&PLAIN[..], &["f"]].concat());
    assert_eq!(output["findings"].as_array().unwrap().len(), 1000);
    text.has("f:4:2: warning: there are 1003 entries: those before this one are not compared [too-many]");
    text.has(
        "f:1003:2: warning: gets all programs of e3 (f:4), e4 (f:5), e5 (f:6), e6 (f:7) and 995 more, as it is registered \
         later [hidden]",
    );
    // A file of the largest size, of nothing but faults.
    scratch.write("f", ":e:M:x:\n".repeat((1 << 20) / 8));
    let started = std::time::Instant::now();
    assert_eq!(both(&scratch, &[&PLAIN[..], &["f"]].concat()).1["errors"], (1 << 20) / 8);
    assert!(started.elapsed().as_secs() < 60);
}

/// A root directory with interpreters of all kinds.
fn root() -> Scratch {
    let scratch = Scratch::new();
    let native = probe("x86_64");
    scratch.write("usr/bin/qemu-aarch64", &native);
    scratch.write("usr/bin/qemu-cris", &native);
    scratch.write("usr/bin/dynamic", dynamic_guest(native.clone(), "/lib/loader"));
    scratch.write("usr/bin/script", "#!/bin/sh\n");
    scratch.write("usr/bin/foreign", probe("s390x"));
    scratch.write("usr/bin/text", "hello\n");
    scratch.write("usr/bin/plain", &native);
    scratch.mode("usr/bin/plain", 0o644);
    fs::create_dir(scratch.at("usr/bin/directory")).unwrap();
    for (target, link) in [
        ("usr/bin", "bin"),
        ("/bin/qemu-aarch64", "usr/bin/link"),
        ("/bin/sh", "usr/bin/outside"),
        ("../../../../bin/sh", "usr/bin/above"),
    ] {
        symlink(target, scratch.at(link)).unwrap();
    }
    scratch
}

#[test]
fn interpreters_of_a_root() {
    let scratch = root();
    let lint = ["lint", "--host", "x86_64", "--root", "."];
    for (interpreter, flags, expected) in [
        ("/bin/qemu-aarch64", "POF", ""),
        ("/usr/bin/link", "F", ""),
        ("/usr/bin/dynamic", "", ""),
        ("/usr/bin/script", "", ""),
        (
            "/bin/qemu-cris",
            "",
            "note: QEMU has no emulator for cris since version 9.2: an upgrade will break the entry [dropped-target]",
        ),
        ("/bin/none", "", "warning: /bin/none: no such file or directory: programs will not start [interpreter-file]"),
        (
            "/bin/none",
            "F",
            "error: /bin/none: no such file or directory: the kernel refuses the entry [interpreter-file]",
        ),
        (
            "/bin/above",
            "",
            "warning: /bin/above: no such file or directory: programs will not start [interpreter-file]",
        ),
        (
            "/bin/outside",
            "",
            "warning: /bin/outside: no such file or directory: programs will not start [interpreter-file]",
        ),
        ("/bin/plain", "F", "error: /bin/plain: is not executable: the kernel refuses the entry [interpreter-file]"),
        (
            "/bin/text",
            "",
            "warning: /bin/text: is neither a program nor a script: programs will not start [interpreter-file]",
        ),
        ("/bin/directory", "", "warning: /bin/directory: is a directory: programs will not start [interpreter-file]"),
        ("/bin/plain/x", "", "warning: /bin/plain/x: not a directory: programs will not start [interpreter-file]"),
        ("/bin/foreign", "", "warning: /bin/foreign is a program for another machine [interpreter-file]"),
        (
            "/bin/dynamic",
            "F",
            "warning: /bin/dynamic is not static: in spite of F, its loader /lib/loader is looked up in each chroot and \
             container [not-static]",
        ),
        (
            "/bin/script",
            "F",
            "warning: /bin/script is a script, and the program that runs it is looked up in each chroot and container in \
             spite of F [not-static]",
        ),
    ] {
        scratch.write("f", format!(":e:M::ZZ::{interpreter}:{flags}\n"));
        let expected = if expected.is_empty() { String::new() } else { format!("f:1:11: {expected}\n") };
        both(&scratch, &[&lint[..], &["f"]].concat()).0.wrote(&expected);
    }
    // QEMU under another name, and an image under QEMU's.
    scratch.tool(["image", "--no-emulators", "-o", "usr/bin/qemu-image"]).succeeded();
    for (interpreter, hole) in
        [("/bin/link", true), ("/bin/qemu-aarch64", true), ("/bin/qemu-image", false), ("/bin/dynamic", false)]
    {
        scratch.write("f", format!(":e:M::ZZ::{interpreter}:C\n"));
        let (text, _) = both(&scratch, &[&lint[..], &["f"]].concat());
        assert_eq!(text.out().contains("[credentials]"), hole, "{text}");
    }
}

#[test]
fn directories_in_the_order_of_systemd() {
    let scratch = root();
    let line = |name: &str, magic: &str| format!(":{name}:M::{magic}::/bin/qemu-aarch64:\n");
    scratch.write("etc/binfmt.d/b.conf", line("b", "BB"));
    scratch.write("usr/lib/binfmt.d/b.conf", "wrong\n");
    scratch.write("usr/lib/binfmt.d/a.conf", line("z", "AA"));
    scratch.write("usr/local/lib/binfmt.d/c.conf", line("c", "AA"));
    scratch.write("run/binfmt.d/d.conf", line("z", "DD"));
    scratch.write("usr/lib/binfmt.d/e.conf", "wrong\n");
    scratch.write("usr/lib/binfmt.d/f.conf", "wrong\n");
    scratch.write("usr/lib/binfmt.d/.hidden.conf", "wrong\n");
    scratch.write("usr/lib/binfmt.d/README", "wrong\n");
    scratch.write("etc/binfmt.d/f.conf", "");
    symlink("/dev/null", scratch.at("etc/binfmt.d/e.conf")).unwrap();
    symlink("usr/lib", scratch.at("lib")).unwrap();
    let root = fs::canonicalize(scratch.path()).unwrap().display().to_string();
    let (text, output) = both(&scratch, &["lint", "--root", "."]);
    let expected = "\
        {}/usr/lib/binfmt.d/b.conf: note: is not read, as {}/etc/binfmt.d/b.conf has the same name and comes first [overridden]\n\
        {}/run/binfmt.d/d.conf:1:2: note: replaces the entry of the same name at {}/usr/lib/binfmt.d/a.conf:1 [duplicate-name]\n\
        {}/etc/binfmt.d/e.conf: note: registers nothing, and hides files of the same name in later directories [masked]\n\
        {}/usr/lib/binfmt.d/e.conf: note: is not read, as {}/etc/binfmt.d/e.conf has the same name and comes first [overridden]\n\
        {}/etc/binfmt.d/f.conf: note: registers nothing, and hides files of the same name in later directories [masked]\n\
        {}/usr/lib/binfmt.d/f.conf: note: is not read, as {}/etc/binfmt.d/f.conf has the same name and comes first [overridden]\n\
        {}/usr/lib/binfmt.d/.hidden.conf: note: is not read: systemd-binfmt reads files that are called NAME.conf [ignored-name]\n\
        {}/usr/lib/binfmt.d/README: note: is not read: systemd-binfmt reads files that are called NAME.conf [ignored-name]\n";
    text.wrote(&expected.replace("{}", &root));
    let names: Vec<&str> =
        output["entries"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["b", "c", "z"]);
    // No directories, no findings.
    let empty = Scratch::new();
    both(&empty, &["lint", "--root", "."]).0.wrote("");
}
