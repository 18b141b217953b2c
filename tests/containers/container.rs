//! A root directory with the image alone, as in a container image that is made from scratch.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Namespace, Need, Observation, Scratch, artefact, saying, tool};

/// `container` starts the image with nothing around it but a /proc, in namespaces of its own, as
/// `docker run --privileged` does; `as_on_host` with the host's /proc, in the same process.
const PRELUDE: &str = r#"
    mkdir -p root/usr/bin root/proc; cp $IMAGE root/usr/bin/binfmt-dispatch
    mount --bind root root
    container() {
        unshare --mount --pid --fork --mount-proc=root/proc chroot root /usr/bin/binfmt-dispatch container "$@"
    }
    # An image whose identity is another one.
    other_image() { cp $OTHER root/usr/bin/new && mv root/usr/bin/new root/usr/bin/binfmt-dispatch; }
    entries() { ls $REGISTRY | grep -vx 'register\|status' | tr '\n' ' '; echo; }
    run() { "$@"; echo "code $?"; }
    quiet() { "$@" >log; echo "code $?"; }
"#;

/// An image that embeds QEMU for three architectures.
#[track_caller]
pub fn image() -> PathBuf {
    Need::Qemu.is_stated();
    artefact("container-image", |path| {
        tool(&["image", "--seed", "1", "-o", path, "arm64", "s390x", "arm"]);
    })
}

/// An image that embeds an emulator for aarch64 which says `word`.
pub fn image_saying(word: &str) -> PathBuf {
    let emulator = saying(word, 0);
    artefact(&format!("container-image-{word}"), |path| {
        tool(&["image", "--seed", "1", "-o", path, "--from", &format!("aarch64={}", emulator.display()), "arm64"]);
    })
}

/// Runs a script in an empty namespace, with `image` in the container. `other` is for
/// `other_image`.
#[track_caller]
pub fn run_with(scratch: &Scratch, (image, other): (&Path, &Path), script: &str) -> Observation {
    run_in(&Namespace::empty(), scratch, (image, other), script)
}

/// The same in a namespace.
#[track_caller]
pub fn run_in(namespace: &Namespace, scratch: &Scratch, (image, other): (&Path, &Path), script: &str) -> Observation {
    let images = format!("IMAGE={} OTHER={}", image.display(), other.display());
    namespace.run(scratch, &format!("{images}\n{PRELUDE}\n{script}"))
}

/// Runs a script with an image of QEMU for three architectures.
#[track_caller]
pub fn run(scratch: &Scratch, script: &str) -> Observation {
    let image = image();
    run_with(scratch, (&image, &image), script)
}

/// The JSON values in `text`, which has lines like `code 0` between them.
pub fn states(text: &str) -> Vec<Value> {
    let json: String = text.lines().filter(|line| [" ", "{", "}"].iter().any(|it| line.starts_with(it))).collect();
    serde_json::Deserializer::from_str(&json).into_iter().map(|value| value.expect("JSON")).collect()
}

/// The lines that begin with `code `.
pub fn codes(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("code ")).collect()
}

/// Asserts that there was a warning.
#[track_caller]
pub fn warned(seen: &Observation, warning: &str) {
    assert!(seen.err().contains(&format!("binfmt-dispatch: warning: {warning}\n")), "{warning}\n{seen}");
}
