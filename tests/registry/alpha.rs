//! A table of alpha alone, an image made from it, and scripts that use them in namespaces of
//! `unshare`. No emulator is needed: alpha's is /bin/false here, which exists and fails every
//! probe.

use crate::support::{Need, Observation, REGISTRY, Row, Scratch, TOOL};

/// The functions of the scripts: `tool` and `register` call the tool.
const PRELUDE: &str = r#"
    tool() { command=$1; shift; "$TOOL" "$command" --table table "$@"; echo "code $?"; }
    register() { tool register --image image "$@"; }
    ENTRY=$REGISTRY/qemu-alpha
"#;

/// A directory with the files `table` and `image`.
pub struct Alpha {
    /// The directory.
    pub scratch: Scratch,
}

impl Alpha {
    pub fn new() -> Self {
        let scratch = Scratch::new();
        scratch.write("table", Row::new("alpha", "/bin/false").table());
        scratch.tool(["image", "--table", "table", "--no-emulators", "-o", "image"]).printed("");
        Alpha { scratch }
    }

    /// Runs a command by `unshare`, with alpha alone registered there.
    #[track_caller]
    pub fn unshare(&self, command: &[&str]) -> Observation {
        Need::Namespace.is_stated();
        let unshare = ["unshare", "--table", "table", "-a", "alpha", "--"];
        Observation::of(self.scratch.command(TOOL).args([&unshare, command].concat()))
    }

    /// Runs a shell script by `unshare`, with alpha alone registered there.
    #[track_caller]
    pub fn run(&self, script: &str) -> Observation {
        self.unshare(&["sh", "-c", &format!("TOOL='{TOOL}' REGISTRY='{REGISTRY}'\n{PRELUDE}\n{script}")])
    }

    /// The same in a namespace with an empty registry. `expected` is compared line by line with
    /// standard output, followed by standard error. A line of `expected` may be a part of the
    /// printed line.
    #[track_caller]
    pub fn expect(&self, script: &str, expected: &[&str]) {
        let seen = self.run(&format!("tool unregister >/dev/null\n{script}"));
        let lines: Vec<&str> = seen.out().lines().chain(seen.err().lines()).collect();
        let agree = lines.len() == expected.len() && lines.iter().zip(expected).all(|(line, part)| line.contains(part));
        assert!(agree, "expected lines with these parts: {expected:#?}\n{seen}");
    }
}
