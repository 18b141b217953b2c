//! An emulator that keeps translations, as far as an image knows of it, and what it records.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use dispatch_translations::{PACKED_VERSION, Translations, checksum};

use super::{FOREIGN, Scratch, compiled};

/// Records of an emulator of `emulators/`.
const RECORDS: &str = "fuzz/corpus/translations/real";
/// Where a file of records has the build ID, and the checksum of all before it
/// (docs/translations-format.md).
const BUILD: usize = 16;
const SUM: usize = 144;

/// Records of build `number` of the emulator.
pub fn records(number: u8) -> Vec<u8> {
    let mut records = fs::read(RECORDS).unwrap();
    records[BUILD] ^= number;
    let sum = checksum(&records[..SUM]);
    records[SUM..SUM + 8].copy_from_slice(&sum.to_le_bytes());
    records
}

/// The build ID of that emulator, in hexadecimal digits.
pub fn build_of(number: u8) -> String {
    let translations = Translations::read(&records(number)).unwrap();
    translations.origin().build[..20].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Build `number` of the emulator (`tests/support/emulators/keep.c`).
#[track_caller]
pub fn keeper(number: u8) -> PathBuf {
    let build = format!("-Wl,--build-id=0x{}", build_of(number));
    let version = format!("-DVERSION={PACKED_VERSION}");
    let options = ["-static-pie", "-fPIE", &build, &version];
    compiled(&format!("keep-{number}"), "tests/support/emulators/keep.c", &options)
}

/// A root directory `name` whose shell is of `architecture`, and in which the emulator finds
/// `records`.
pub fn root_of(scratch: &Scratch, name: &str, architecture: &str, records: impl AsRef<[u8]>) {
    let at = |path: &str| scratch.at(&format!("{name}/{path}"));
    for directory in ["usr/bin", "proc", "dev", "tmp"] {
        fs::create_dir_all(at(directory)).unwrap();
    }
    symlink("/usr/bin", at("bin")).unwrap();
    scratch.probe(at("usr/bin/sh"), architecture);
    scratch.mode(&at("usr/bin/sh"), 0o755);
    scratch.write(at("records"), records);
}

/// A directory with build 0 as `emulator`, a foreign program `guest`, and the root directory `root`,
/// whose shell is foreign.
#[track_caller]
pub fn with_keeper() -> Scratch {
    let scratch = Scratch::new();
    fs::copy(keeper(0), scratch.at("emulator")).unwrap();
    root_of(&scratch, "root", FOREIGN, records(0));
    scratch.probe("guest", FOREIGN);
    scratch.mode("guest", 0o755);
    scratch
}
