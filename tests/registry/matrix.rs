//! The verdict of `explain` is what execve(2) then does: for every kind of file, in every state of
//! the registry, in every place.

mod kinds;

use std::fs;

use serde_json::Value;

use self::kinds::{KINDS, furnish};
use crate::agreement::is_valid;
use crate::support::{Namespace, need};

/// The places. `in_PLACE COMMAND…` runs a command there, as a plain user, with the directory of the
/// files as its own. The root directory of `in_chroot` has neither the images nor `$PWD/root`.
const PLACES: &str = r#"
    set -e
    here=$PWD
    cp -u $TOOL tool; cp -u $CALL call; chmod 755 tool call
    as_user() { setpriv --reuid 1000 --regid 1000 --clear-groups "$@"; }
    in_plain() { (cd files; as_user "$@"); }
    in_nested() { (cd files; as_user unshare --user --map-root-user --mount "$@"); }
    setcap cap_net_raw+ep files/capable; setcap cap_net_raw+ep files/native-capable
    mkdir -p nosuid
    mount --bind files nosuid
    mount -o remount,bind,nosuid nosuid
    in_nosuid() { (cd nosuid; as_user "$@"); }
    mkdir -p root/{dev,proc,usr} root$here/files
    for link in bin lib lib64; do [ ! -e /$link ] || ln -sfn usr/$link root/$link; done
    for name in dev proc usr; do mount --rbind /$name root/$name; done
    for name in tool call; do touch root$here/$name; mount --bind $name root$here/$name; done
    mount --rbind files root$here/files
    in_chroot() { chroot --userspec=1000:1000 --groups= root bash -c 'cd "$0"/files; exec "$@"' $here "$@"; }
    set +e
    other() { printf '%s' ":other:M:18:\xb7\x00::/usr/bin/qemu-aarch64-static:$1" >$REGISTRY/register; }
    ours() { $TOOL register aarch64 s390x "$@" >/dev/null 2>&1; }
"#;
const PLACE_NAMES: [&str; 4] = ["plain", "chroot", "nested", "nosuid"];

/// What happened to a program.
struct Happened {
    /// Its exit code.
    code: u8,
    /// Why the kernel did not start it, if so.
    error: Option<String>,
}

impl Happened {
    /// From a line: the exit code of `call`, and what was written to standard error.
    fn read(line: &str) -> Self {
        let (code, written) = line.split_once(' ').unwrap();
        let error = (code == NOT_STARTED).then(|| written.rsplit(": ").next().unwrap().trim_end().to_owned());
        Happened { code: code.parse().unwrap(), error }
    }

    fn runs(&self) -> bool {
        self.code == 0
    }

    /// The exit code that a shell gives (POSIX, "Exit Status for Commands").
    fn shells_code(&self) -> u8 {
        match self.error.as_deref() {
            None => self.code,
            Some("No such file or directory") => 127,
            Some(_) => 126,
        }
    }
}

/// The exit code of `call` if the kernel refused to start the program.
const NOT_STARTED: &str = "90";

/// What is wrong with `answer`, which says of a file of this kind whether it runs.
fn fault(kind: &str, answer: &Value, happened: &Happened) -> Option<String> {
    let verdict = &answer["verdict"];
    let expected = match kind {
        // What cannot be read cannot be explained.
        "execute-only" => Value::Null,
        _ => happened.runs().into(),
    };
    if verdict["runs"] != expected {
        return Some(format!("exits with {}, and is said to be {verdict}", happened.code));
    }
    // Any signal may end damaged programs. If the kernel refuses the program that env(1) starts, env
    // has a shell read it.
    let ended = happened.error.is_none();
    let refused = verdict["reason"].as_str().unwrap().contains("Exec format error");
    let any = ended && (kind.starts_with("cut") || kind == "env" && refused) || expected.is_null();
    let wrong = !any && verdict["exit_code"] != happened.shells_code();
    wrong.then(|| format!("ends with {} ({:?}), and not {verdict}", happened.shells_code(), happened.error))
}

/// Cases in which `explain` names the condition, and cannot know whether it is met: the program is
/// privileged, and the image is outside of the root directory. Its interpreter says which image it
/// is, and not what that embeds. A program of another user or with capabilities could be tried, but
/// a process in a chroot can make neither of them, nor the user namespace that lets it.
fn is_unknowable(state: &str, place: &str, kind: &str, answer: &Value) -> bool {
    answer["verdict"]["certain"] == false
        && (state, place) == ("ours by path", "chroot")
        && ["setuid", "capable"].contains(&kind)
}

/// The same for an answer without a test program. It may say on what that depends.
fn fault_unproved(kind: &str, answer: &Value, happened: &Happened) -> Option<String> {
    let verdict = &answer["verdict"];
    let open = kind == "execute-only" || verdict["runs"] == true && verdict["certain"] == false;
    (!open && verdict["runs"] != happened.runs())
        .then(|| format!("exits with {}, and is said to be {verdict}, without a test", happened.code))
}

/// Asserts the agreement for each of these states: a name, and the commands that make it.
fn agree(states: &[(&str, &str)]) {
    let scratch = furnish();
    let files = KINDS.map(|kind| format!("./{kind}")).join(" ");
    let files_in_root = KINDS.map(|kind| format!("$here/files/{kind}")).join(" ");
    let mut wrong = Vec::new();
    for (state, commands) in states {
        let mut script = format!("{PLACES}\n{commands}\n");
        for place in PLACE_NAMES {
            script += &format!(
                "for file in {files}; do
                    said=$(in_{place} $here/call $file $file 2>&1 >/dev/null); echo \"$? ${{said//$'\\n'/ }}\"
                done >codes.{place} 2>&1
                in_{place} $here/tool explain --json {files} >json.{place} 2>errors.{place}
                in_{place} $here/tool explain --no-probe --json {files} >unproved.{place} 2>>errors.{place}\n"
            );
        }
        script += &format!("(cd files; $here/tool explain --json --root $here/root {files_in_root} >../json.root)\n");
        let seen = Namespace::empty().mapped().run(&scratch, &script);
        let read = |name: &str| String::from_utf8_lossy(&fs::read(scratch.at(name)).unwrap()).into_owned();
        let answers = |name: &str| {
            let json = read(name);
            let answers: Value = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}\n{seen}"));
            is_valid(&answers);
            let answers = answers.as_array().unwrap().clone();
            assert!(answers.len() == KINDS.len(), "{json}\n{seen}");
            answers
        };
        for place in PLACE_NAMES {
            let codes = read(&format!("codes.{place}"));
            let codes: Vec<Happened> = codes.lines().map(Happened::read).collect();
            assert!(codes.len() == KINDS.len(), "{state}, {place}: {}\n{seen}", read(&format!("errors.{place}")));
            let mut check = |way: &str, of: fn(&str, &Value, &Happened) -> Option<String>| {
                for ((kind, code), answer) in KINDS.iter().zip(&codes).zip(answers(&format!("{way}.{place}"))) {
                    let fault = of(kind, &answer, code).filter(|_| !is_unknowable(state, place, kind, &answer));
                    wrong.extend(fault.map(|fault| format!("{:?} {fault}", (state, place, kind))));
                }
            };
            check("json", fault);
            check("unproved", fault_unproved);
        }
        // Seen from outside, by root: it may read everything, and gains nothing from a file.
        let codes = read("codes.chroot");
        for ((kind, code), answer) in KINDS.iter().zip(codes.lines().map(Happened::read)).zip(answers("json.root")) {
            let same = !["execute-only", "setuid", "capable", "native-capable"].contains(kind);
            if same && answer["verdict"]["runs"] != code.runs() {
                let verdict = &answer["verdict"];
                wrong.push(format!("--root: {state}, {kind} exits with {}, and is said to be {verdict}", code.code));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn without_entries_of_ours() {
    need!(Namespace, Root, Qemu, Compiler, CrossCompilers, Capabilities);
    agree(&[
        ("nothing is registered", ":"),
        ("another's entry", "other F"),
        ("another's entry without F", "other ''"),
        (
            "an entry that refuses AppImages",
            r#"magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
            printf '%s' ":narrow:M::$magic::/usr/bin/qemu-aarch64-static:F" >$REGISTRY/register"#,
        ),
        ("another's entry, off", "other F; echo 0 >$REGISTRY/other"),
        ("an interpreter is missing", r"printf '%s' ':gone:M:18:\xb7\x00::/no/such:' >$REGISTRY/register"),
        ("an extension", "printf '%s' ':ext:E::ext::/usr/bin/true:' >$REGISTRY/register"),
        ("this machine's programs", "printf '%s' ':native:M:9:Z::/usr/bin/true:' >$REGISTRY/register"),
        ("this machine's programs, to nothing", "printf '%s' ':native:M:9:Z::/no/such:' >$REGISTRY/register"),
    ]);
}

#[test]
fn with_entries_of_ours() {
    need!(Namespace, Root, Qemu, Compiler, CrossCompilers, Capabilities);
    agree(&[
        ("ours", "ours --image image"),
        ("ours with C", "ours --image image --credentials"),
        ("ours by path", "ours --image by-path --credentials"),
        (
            "ours without F",
            "$TOOL generate --interpreter $here/image --format register aarch64 s390x |
                while IFS= read -r line; do printf '%s' \"${line%F}\" >$REGISTRY/register; done",
        ),
        ("ours without O", r#"printf '%s' ":qemu-aarch64:M:18:\xb7\x00::$here/image:PF" >$REGISTRY/register"#),
        ("ours, off", "ours --image image; for entry in $REGISTRY/qemu-*; do echo 0 >$entry; done"),
    ]);
}

#[test]
fn with_entries_of_ours_and_more() {
    need!(Namespace, Root, Qemu, Compiler, CrossCompilers, Capabilities);
    agree(&[
        ("all off", "ours --image image; echo 0 >$REGISTRY/status"),
        ("not mounted", "ours --image image; umount $REGISTRY"),
        ("another's entry is newer", "ours --image image; other F"),
        ("another's entry is older", "other F; ours --image image"),
        (
            "a newer one has no interpreter",
            r"ours --image image; printf '%s' ':gone:M:18:\xb7\x00::/no/such:' >$REGISTRY/register",
        ),
        ("an extension is newer", "ours --image image; printf '%s' ':ext:E::ext::/usr/bin/true:' >$REGISTRY/register"),
    ]);
}
