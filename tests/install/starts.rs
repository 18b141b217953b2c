//! The commands in the pages docs/start-*.md, where readers begin, can be carried out. All of them
//! are run but those that cannot be run here. Those of docs/start-error.md have tests of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::questions::{MARK, PRELUDE, Shown, commands, sections};
use crate::support::{Namespace, Scratch, need};

/// The commands that are run, and a part of what each prints.
const RUN: [(&str, &str); 15] = [
    ("binfmt-dispatch unshare -a arm64 -- make test", "aarch64"),
    ("binfmt-dispatch install --replace", "Registered 3 entries for 3 architectures"),
    ("binfmt-dispatch status", "3 architectures run through binfmt-dispatch"),
    ("binfmt-dispatch status --json", "\"interpreter\": \"/usr/libexec/binfmt-dispatch/binfmt-dispatch\""),
    ("\"$tool\" generate", ":qemu-aarch64:M:"),
    ("\"$tool\" lint --no-interpreters binfmt.d/*.conf", ""),
    ("binfmt-dispatch lint --no-interpreters qemu-user.conf", ""),
    ("binfmt-dispatch generate --direct --format binfmt-d", ":qemu-s390x:M:"),
    ("binfmt-dispatch install --from /opt/qemu-11/bin arm64", "Found 1 emulator in /opt/qemu-11/bin."),
    ("binfmt-dispatch list --image", "qemu-aarch64 "),
    ("binfmt-dispatch tune --help", "Usage: binfmt-dispatch tune "),
    ("binfmt-dispatch install", "Registered 3 entries for 3 architectures"),
    ("podman build --arch riscv64 .", "\nriscv64\n"),
    (
        "binfmt-dispatch unshare -- buildah bud --isolation chroot --platform linux/arm64,linux/s390x --manifest app .",
        "\ns390x\n",
    ),
    ("binfmt-dispatch unshare -- podman build --network none --arch arm64 .", "\naarch64\n"),
];

/// The commands that are not run, and why.
const LEFT_OUT: [(&str, &str); 7] = [
    ("kubectl apply -k packaging/kubernetes/install", "it needs a cluster; ci/kubernetes checks the manifests"),
    ("kubectl --namespace binfmt-dispatch rollout status daemonset/binfmt-dispatch", "it needs a cluster"),
    (
        "docker run --privileged --rm IMAGE --install all",
        "it needs Docker's daemon; packaging/test/engine has podman run the image with these arguments",
    ),
    ("docker buildx build --platform linux/arm64,linux/s390x .", "it needs Docker's daemon, and BuildKit"),
    (
        "binfmt-dispatch unshare -- mmdebstrap --architectures=arm64 --variant=essential trixie arm64.tar",
        "it downloads packages: ci/containers runs it",
    ),
    ("ci/package", "it builds for three hosts; ci/packages and ci/reproducible run it"),
    ("tool=$(ci/build)", "it builds for release; packaging/test/check runs it"),
];

/// The commands of each section of the pages, which are in no other test. What follows the title of
/// a page, too, is a section.
fn shown(pages: &BTreeMap<String, String>) -> BTreeMap<&str, Vec<Shown<'_>>> {
    let mut shown = BTreeMap::new();
    for text in pages.values() {
        let (title, beginning) = text.strip_prefix("# ").and_then(|text| text.split_once('\n')).expect("a title");
        let beginning = beginning.split("\n## ").next().expect("a beginning");
        for (title, text) in sections(text).into_iter().chain([(title, beginning)]) {
            let mut commands = commands(text);
            for shown in &mut commands {
                // A comment.
                let command = shown.command.split("  # ").next().expect("a beginning").trim_end().to_owned();
                shown.command = command;
            }
            if !commands.is_empty() {
                assert!(shown.insert(title, commands).is_none(), "two sections have the title {title}");
            }
        }
    }
    shown
}

/// The pages, by their names.
fn pages() -> BTreeMap<String, String> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/docs");
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let named = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()));
    let pages =
        named.filter(|(name, _)| name.starts_with("start-") && name.ends_with(".md") && name != "start-error.md");
    pages.map(|(name, path)| (name, fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn every_command_is_run_or_has_a_reason() {
    let pages = pages();
    let shown = shown(&pages);
    let shown: BTreeSet<&str> = shown.values().flatten().map(|shown| &*shown.command).collect();
    let listed: Vec<&str> = RUN.iter().chain(&LEFT_OUT).map(|(command, _)| *command).collect();
    let once: BTreeSet<&str> = listed.iter().copied().collect();
    assert_eq!(once.len(), listed.len(), "a command is listed twice");
    assert_eq!(shown, once);
}

#[test]
fn the_commands_can_be_carried_out() {
    need!(Namespace, Root, Guests, Qemu, Uidmap, Buildah, Podman);
    let run = BTreeMap::from(RUN);
    let pages = pages();
    let setups = include_str!("starts.sh");
    let common = setups.split("\n## ").next().expect("a beginning");
    let mut setups = sections(setups);
    for (title, mut commands) in shown(&pages) {
        commands.retain(|shown| run.contains_key(&*shown.command));
        if commands.is_empty() {
            continue;
        }
        let setup = setups.remove(title).unwrap_or_else(|| panic!("starts.sh lacks the section {title}"));
        let lines: String = commands.iter().map(|shown| shown.line() + "echo code $?\n").collect();
        let project = env!("CARGO_MANIFEST_DIR");
        let script = format!("PROJECT='{project}'\n{PRELUDE}\n{common}\n{setup}\n{lines}");
        let seen = Namespace::empty().mapped().within(120).run(&Scratch::new(), &script);
        let printed: Vec<&str> = seen.out().split(&format!("{MARK}\n")).collect();
        assert!(printed.len() == commands.len() + 1 && printed[0].is_empty(), "{title}\n{seen}");
        for (shown, printed) in commands.iter().zip(&printed[1..]) {
            let right = printed.ends_with("code 0\n") && printed.contains(run[&*shown.command]);
            assert!(right, "{title}\n$ {}\n{seen}", shown.command);
        }
    }
    assert!(setups.is_empty(), "starts.sh has sections without a command: {setups:?}");
}
