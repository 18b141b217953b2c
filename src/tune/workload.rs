//! The workloads: programs that every distribution has, with the same input everywhere.

use std::fmt::Write;

/// A script that a foreign interpreter runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its name, which is also the name of its file.
    pub name: &'static str,
    script: &'static str,
}

macro_rules! workloads {
    ($($name:literal),+ $(,)?) => {
        /// All workloads.
        pub const WORKLOADS: &[Workload] =
            &[$(Workload { name: $name, script: include_str!(concat!("workloads/", $name)) }),+];
        /// The names of the workloads.
        pub const NAMES: &[&str] = &[$($name),+];
    };
}

workloads![
    "functions",
    "starts",
    "perl",
    "python",
    "gzip-1",
    "gzip-6",
    "xz",
    "sha256",
    "sort",
    "grep",
    "gcc",
    "awk",
    "float",
    "threads",
];

/// C sources that workloads compile, or that are compiled for them.
pub const SOURCES: [(&str, &str); 3] = [
    ("code.c", include_str!("workloads/code.c")),
    ("float.c", include_str!("workloads/float.c")),
    ("threads.c", include_str!("workloads/threads.c")),
];

/// Length of the generated text, in bytes.
const TEXT: usize = 2_000_000;

impl Workload {
    /// The workload with this name.
    pub fn find(name: &str) -> Option<Self> {
        WORKLOADS.iter().find(|workload| workload.name == name).copied()
    }

    /// The script.
    pub fn script(&self) -> &'static str {
        self.script
    }

    /// The programs that it needs: its interpreter, and those that a comment in it names.
    pub fn needs(&self) -> impl Iterator<Item = &'static str> {
        let interpreter = self.script.lines().next().and_then(|line| line.strip_prefix("#!"));
        interpreter.into_iter().chain(self.named("# Needs: "))
    }

    /// The source to compile before it runs, if there is one.
    pub fn compiles(&self) -> Option<&'static str> {
        self.named("# Compiles: ").next()
    }

    fn named(&self, what: &'static str) -> impl Iterator<Item = &'static str> {
        self.script.lines().filter_map(move |line| line.strip_prefix(what)).flat_map(str::split_whitespace)
    }
}

/// Generates lines of words and numbers, the same on every call. They compress like ordinary text:
/// better than noise, worse than repetition.
pub fn text() -> String {
    const SYLLABLES: [&str; 11] = ["so", "ta", "mi", "ra", "q", "ef", "bo", "cad", "z", "lun", "be"];
    let mut state = 7_u64;
    // Knuth's MMIX generator. The upper bits are used, because they are more random than the lower
    // ones.
    let mut below = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    let words: Vec<String> =
        (0..3000).map(|_| (0..=below(4)).map(|_| SYLLABLES[below(SYLLABLES.len())]).collect()).collect();
    let mut text = String::new();
    while text.len() < TEXT {
        let _ = write!(text, "{:08x}", below(1 << 31));
        for _ in 0..3 + below(6) {
            let _ = write!(text, " {}", words[below(words.len())]);
        }
        let _ = writeln!(text, " {}", below(100_000));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_says_what_it_needs() {
        for workload in WORKLOADS {
            assert!(workload.needs().all(|path| path.starts_with('/')), "{}", workload.name);
            assert!(workload.needs().next().is_some(), "{}", workload.name);
            assert_eq!(Workload::find(workload.name), Some(*workload));
            let source = workload.compiles();
            assert!(source.is_none_or(|name| SOURCES.iter().any(|source| source.0 == name)), "{source:?}");
        }
        assert_eq!(Workload::find("float").and_then(|float| float.compiles()), Some("float.c"));
        assert_eq!(Workload::find("nothing"), None);
    }

    #[test]
    fn the_text_is_always_the_same() {
        let text = text();
        assert!(text.len() >= TEXT && text.ends_with('\n'));
        assert_eq!(text, super::text());
        let lines: std::collections::BTreeSet<&str> = text.lines().collect();
        assert!(lines.len() * 10 > text.lines().count() * 9, "nearly no line twice");
    }
}
