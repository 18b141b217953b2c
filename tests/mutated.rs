//! `explain` on mutated files: it always answers, and its JSON is as documented.
//!
//! The number of files is that of the variable `BINFMT_DISPATCH_MUTATED`, as in ci/fuzz. With the
//! variable, no file may take more than [`LIMIT`] of CPU time. No test program is started.

#[path = "support/elf.rs"]
#[allow(dead_code)] // It has more than is mutated here.
mod elf;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use boon::{Compiler, SchemaIndex, Schemas};
use dispatch_table::ArchTable;
use fastrand::Rng;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde_json::Value;
use tempfile::TempDir;

use crate::elf::{dynamic_guest, guest_with_property};

/// The tool under test.
const TOOL: &str = env!("CARGO_BIN_EXE_binfmt-dispatch");

/// Files without the variable.
const FEW: usize = 4000;
/// Files for one process.
const BATCH: usize = 50;
/// One process in this many prints text instead of JSON.
const TEXT: usize = 5;
/// Largest file, in bytes.
const LARGEST: usize = 16384;
/// Most CPU time for a file.
const LIMIT: Duration = Duration::from_millis(100);

/// Numbers that are at the edge of something.
const EDGES: [u64; 14] =
    [0, 1, 2, 7, 56, 64, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 40, i64::MAX as u64, u64::MAX];

/// What is mutated: programs of all rows, the inputs of the fuzz targets, scripts and other texts.
fn seeds() -> Vec<Vec<u8>> {
    let table = ArchTable::builtin();
    let mut seeds: Vec<Vec<u8>> = table.architectures().iter().map(dispatch_table::Architecture::probe_elf).collect();
    let probe = table.find("aarch64").unwrap().probe_elf();
    seeds.push(dynamic_guest(probe.clone(), "/lib/ld-linux-aarch64.so.1"));
    seeds.push(guest_with_property(probe, 0xc000_0000, 3));
    seeds.push(fs::read("/bin/true").unwrap()[..LARGEST].to_vec());
    for target in ["guest", "elf", "emulator"] {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let mut paths: Vec<_> = fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        seeds.extend(paths.iter().map(|path| fs::read(path).unwrap()));
    }
    let texts =
        ["", "#!/bin/sh\nexit\n", "#! /usr/bin/env -S sh -e\n", "#!\n", "#!/no/such\r\n", "MZ", "\x1f\u{8b}", "a text"];
    seeds.extend(texts.map(|text| text.as_bytes().to_vec()));
    seeds
}

/// One of the seeds, changed in some places.
fn mutated(seeds: &[Vec<u8>], random: &mut Rng) -> Vec<u8> {
    let mut file = random.choice(seeds).unwrap().clone();
    for _ in 0..random.usize(1..=6) {
        let len = file.len();
        // Most of what is read is in the headers.
        let reach = if random.u8(0..4) == 0 { len } else { len.min(400) };
        let at = random.usize(..reach.max(1));
        let number = match random.u8(0..3) {
            0 => len as u64,
            1 => random.u64(..=2 * len as u64),
            _ => *random.choice(&EDGES).unwrap(),
        };
        match random.u8(0..8) {
            0 if at < len => file[at] ^= 1 << random.u8(0..8),
            1 if at < len => file[at] = random.u8(..),
            2..=4 => {
                let (width, big) = (1 << random.u32(1..4), random.bool());
                let mut bytes = number.to_le_bytes()[..width].to_vec();
                if big {
                    bytes.reverse();
                }
                // Fields are aligned.
                let at = at & !(width - 1);
                let end = len.min(at + width);
                file[at.min(end)..end].copy_from_slice(&bytes[..end - at.min(end)]);
            }
            5 => file.truncate(random.usize(..=len)),
            6 => file.resize(random.usize(len..=LARGEST.max(len)), random.u8(..)),
            _ => {
                let other = random.choice(seeds).unwrap();
                let from = random.usize(..=other.len());
                let part = &other[from..other.len().min(from + random.usize(..300))];
                file.splice(at.min(len)..len.min(at + random.usize(..300)), part.iter().copied());
            }
        }
    }
    file.truncate(LARGEST);
    file
}

/// The schema of the answers.
struct Schema {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Schema {
    fn new() -> Self {
        let schema: Value = serde_json::from_str(include_str!("../docs/explain.schema.json")).unwrap();
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource("explain", schema).unwrap();
        let index = compiler.compile("explain", &mut schemas).unwrap();
        Schema { schemas, index }
    }

    /// What is wrong with the answers about `names`.
    fn fault(&self, json: &[u8], names: &[String]) -> Option<String> {
        let answers: Value = match serde_json::from_slice(json) {
            Ok(answers) => answers,
            Err(error) => return Some(error.to_string()),
        };
        if let Err(error) = self.schemas.validate(&answers, self.index) {
            return Some(format!("{error:#}"));
        }
        let one = std::slice::from_ref(&answers);
        let answers = answers.as_array().map_or(one, Vec::as_slice);
        let differs =
            answers.len() != names.len() || answers.iter().zip(names).any(|(one, name)| one["file"] != **name);
        differs.then(|| "the answers are not about these files".to_owned())
    }
}

/// CPU time of the processes that have ended.
fn used() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let time = |time: TimeVal| {
        Duration::from_secs(time.tv_sec().unsigned_abs()) + Duration::from_micros(time.tv_usec().unsigned_abs())
    };
    time(usage.user_time()) + time(usage.system_time())
}

/// Explains the files, and returns the CPU time that it took, or what is wrong.
fn explain(scratch: &TempDir, names: &[String], schema: Option<&Schema>) -> Result<Duration, String> {
    let mut command = Command::new(TOOL);
    command.args(["explain", "--no-probe"]).args(schema.map(|_| "--json")).args(names);
    let before = used();
    let output = command.current_dir(scratch.path()).stdin(Stdio::null()).output().unwrap();
    let time = used().checked_sub(before).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let fault = match (output.status.code(), schema) {
        (Some(0 | 1), Some(_)) if !output.stderr.is_empty() => Some(stderr.into_owned()),
        (Some(0 | 1), Some(schema)) => schema.fault(&output.stdout, names),
        (Some(0 | 1), None) => {
            let bad = |line: &str| line.chars().any(char::is_control);
            String::from_utf8_lossy(&output.stdout).lines().find(|line| bad(line)).map(str::to_owned)
        }
        _ => Some(format!("{}: {stderr}", output.status)),
    };
    fault.map_or(Ok(time), Err)
}

#[test]
fn every_mutated_file_is_explained() {
    let wanted = std::env::var("BINFMT_DISPATCH_MUTATED").ok();
    let count = wanted.as_ref().map_or(FEW, |count| count.parse().expect("a number of files"));
    let (scratch, schema, seeds) = (TempDir::new().unwrap(), Schema::new(), seeds());
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutated");
    let mut random = Rng::with_seed(12);
    let mut most = Duration::ZERO;
    for batch in 0..count.div_ceil(BATCH) {
        let names: Vec<String> = (0..BATCH.min(count - batch * BATCH)).map(|index| format!("./{index}")).collect();
        for name in &names {
            let path = scratch.path().join(name);
            fs::write(&path, mutated(&seeds, &mut random)).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        }
        let schema = (batch % TEXT != 0).then_some(&schema);
        let all = explain(&scratch, &names, schema);
        // What all of them took together is more than each of them did.
        if let Some(time) = all.as_ref().ok().filter(|time| wanted.is_none() || **time <= LIMIT) {
            most = most.max(*time);
            continue;
        }
        // Which of them it is.
        for name in &names {
            let one = explain(&scratch, std::slice::from_ref(name), schema);
            let fault = match one {
                Ok(time) if wanted.is_none() || time <= LIMIT => {
                    most = most.max(time);
                    continue;
                }
                Ok(time) => format!("it took {time:?}"),
                Err(fault) => fault,
            };
            fs::copy(scratch.path().join(name), &kept).unwrap();
            panic!("{} of batch {batch}, kept in {}: {fault}", name, kept.display());
        }
        assert!(all.is_ok(), "batch {batch}, but no single file: {all:?}");
    }
    println!("{count} files were explained, none in more than {most:?}");
}
