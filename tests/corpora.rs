//! Runs the corpora of the fuzz targets (fuzz/corpus) as ordinary tests: each input goes through
//! its target's body.

#[path = "../fuzz/bodies/arch_table.rs"]
mod arch_table;
#[path = "../fuzz/bodies/elf.rs"]
mod elf;
#[path = "../fuzz/bodies/emulator.rs"]
mod emulator;
#[path = "../fuzz/bodies/guest.rs"]
mod guest;
#[path = "../fuzz/bodies/image.rs"]
mod image;
#[path = "../fuzz/bodies/register.rs"]
mod register;
#[path = "../fuzz/bodies/stack.rs"]
mod stack;
#[path = "../fuzz/bodies/table.rs"]
mod table;
#[path = "../fuzz/bodies/translations.rs"]
mod translations;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const FUZZ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz");
/// Largest input, in bytes, and largest number of inputs for a target.
const LARGEST: u64 = 4096;
const MOST: usize = 99;

/// Runs the corpus of `target`, and asserts that some of its inputs are accepted and some are not.
fn run(target: &str, body: fn(&[u8]) -> bool) {
    let directory = Path::new(FUZZ).join("corpus").join(target);
    let (mut taken, mut refused, mut broken) = (0, 0, Vec::new());
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        assert!(bytes.len() as u64 <= LARGEST, "{} is large: cargo fuzz tmin, or leave it out", path.display());
        match std::panic::catch_unwind(|| body(&bytes)) {
            Ok(true) => taken += 1,
            Ok(false) => refused += 1,
            Err(_) => broken.push(path),
        }
    }
    assert!(broken.is_empty(), "{broken:?}");
    assert!(taken >= 3 && refused >= 3 && taken + refused <= MOST, "{taken} taken, {refused} refused");
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            run(stringify!($name), $name::run);
        })*

        const TARGETS: &[&str] = &[$(stringify!($name)),*];
    };
}
targets!(arch_table elf emulator guest image register stack table translations);

#[test]
fn every_target_has_a_corpus() {
    let stems = |directory: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(Path::new(FUZZ).join(directory)).unwrap();
        entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    let targets: BTreeSet<String> = TARGETS.iter().map(|name| (*name).to_owned()).collect();
    for directory in ["bodies", "fuzz_targets", "corpus"] {
        assert_eq!(stems(directory), targets, "fuzz/{directory}");
    }
    let manifest = fs::read_to_string(Path::new(FUZZ).join("Cargo.toml")).unwrap();
    let built: BTreeSet<String> = (manifest.lines())
        .filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\"").map(str::to_owned))
        .collect();
    assert_eq!(built, targets, "fuzz/Cargo.toml");
}
