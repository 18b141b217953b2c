//! The names by which people and tools know architectures.
//!
//! The table has the names that cannot be derived. The rest are forms that tools put around a name,
//! and are taken off here: platforms of containers, GNU triplets, names of packages and of CPU
//! versions. Upper and lower case are the same, and so are `-`, `_` and `/`.

use std::cmp::Ordering;

use dispatch_core::elf::Class;

use crate::architecture::{Architecture, OCI_SYSTEM};

/// The system in names such as `x86_64-pc-linux-gnu`, `linux/arm64` and `musl-linux-armhf`.
const SYSTEM: &str = "linux";
/// C libraries in the last part of a triplet, where an ABI may follow.
const LIBRARIES: [&str; 7] = ["gnu", "glibc", "musl", "uclibc", "android", "ohos", "none"];
/// ABIs in the last part of a triplet that do not change the row: its programs may have any of
/// them. Others, such as those with 32-bit pointers on a 64-bit CPU, belong to the name.
const ABIS: [&str; 10] = ["", "eabi", "eabihf", "abi64", "spe", "sf", "f32", "f64", "elfv2", "asan"];
/// What follows the last `_` in variants of a CPU, as in the platforms of Go's ports. A digit may
/// follow that.
const VARIANTS: [&str; 5] = ["softfloat", "hardfloat", "sse2", "power", "rva"];
/// Parts of a name that belong to the CPU, and are no vendor of a triplet.
const OF_CPU: [&str; 4] = ["be", "le", "eb", "el"];
/// The first version of a CPU that may be 64-bit although its name does not say so (ARM's).
const WIDE_SINCE: u32 = 8;

/// The lowest similarity of a name that is suggested, and how much less similar than the best one a
/// suggestion may be (0 to 1, by Jaro and Winkler).
const SIMILAR: f64 = 0.85;
const CLOSE: f64 = 0.03;
/// The same for a name that has the letters of the best one and was not found: then more than one
/// row may be meant.
const CLOSE_TO_SAME: f64 = 0.08;
/// The largest number of suggestions.
const SUGGESTIONS: usize = 3;

/// A name in the form that is compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    cpu: String,
    /// The ABI, if it matters.
    abi: String,
}

impl Key {
    /// The key of a name in the table.
    pub(crate) fn of(name: &str) -> Self {
        let plain = plain(name);
        triplet(&plain).map_or(Key { cpu: plain.clone(), abi: String::new() }, |(cpu, abi)| Key {
            cpu: cpu.to_owned(),
            abi: abi.to_owned(),
        })
    }

    fn is(&self, name: &str) -> bool {
        *self == Key::of(name)
    }
}

/// The architecture that `name` means.
pub(crate) fn find<'t>(architectures: &'t [Architecture], name: &str) -> Option<&'t Architecture> {
    let named = |key: &Key| architectures.iter().find(|row| row.names().any(|name| key.is(name)));
    let keys = keys(name);
    keys.iter().find_map(named).or_else(|| {
        keys.iter().find_map(|Key { cpu, abi }| {
            let (cpu, version) = without_version(cpu)?;
            named(&Key { cpu, abi: abi.clone() }).filter(|row| row.class == Class::Elf64 || version < WIDE_SINCE)
        })
    })
}

/// Names of the table that are similar to `name`, the most similar first: one of each row.
pub(crate) fn similar<'t>(architectures: &'t [Architecture], name: &str) -> Vec<&'t str> {
    let keys = keys(name);
    let similarity = |known: &str| {
        let known = plain(known).replace('_', "");
        let similarities = keys.iter().map(|key| strsim::jaro_winkler(&key.cpu.replace('_', ""), &known));
        similarities.fold(0.0, f64::max)
    };
    let order = |a: &(f64, &str), b: &(f64, &str)| a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal);
    let best = |row: &'t Architecture| row.names().rev().map(|name| (similarity(name), name)).max_by(order);
    let mut found: Vec<(f64, &str)> =
        architectures.iter().filter_map(best).filter(|(alike, _)| *alike >= SIMILAR).collect();
    found.sort_by(|a, b| order(b, a));
    let best = found.first().map_or(0.0, |(alike, _)| *alike);
    let limit = best - if best < 1.0 { CLOSE } else { CLOSE_TO_SAME };
    found.into_iter().take_while(|(alike, _)| *alike >= limit).map(|(_, name)| name).take(SUGGESTIONS).collect()
}

/// A name in lower case, with one separator.
fn plain(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    // A platform's version may be a digit alone.
    let name = match name.rsplit_once('/') {
        Some((cpu, version)) if version.len() == 1 && version.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{cpu}/v{version}")
        }
        _ => name,
    };
    // Prefixes of cross compilers end with a separator.
    name.replace(['-', '/'], "_").trim_end_matches('_').to_owned()
}

/// The keys by which a name is looked up, the most literal first.
fn keys(name: &str) -> Vec<Key> {
    let literal = plain(name);
    let literal = literal.strip_prefix(&plain_prefix(OCI_SYSTEM)).unwrap_or(&literal);
    let mut keys = vec![Key { cpu: literal.to_owned(), abi: String::new() }];
    // Names of emulators, and of the kernel's entries.
    let emulator = literal.strip_prefix("qemu_").map(|name| name.strip_suffix("_static").unwrap_or(name));
    let bare = emulator.unwrap_or(literal);
    let bare = without_variant(without_library(bare));
    keys.push(Key { cpu: bare.to_owned(), abi: String::new() });
    if let Some((cpu, abi)) = triplet(bare) {
        let vendor = cpu.rsplit_once('_').filter(|(_, vendor)| is_vendor(vendor)).map(|(cpu, _)| cpu);
        keys.extend([Some(cpu), vendor].into_iter().flatten().map(|cpu| Key { cpu: cpu.into(), abi: abi.into() }));
    }
    keys.dedup();
    keys
}

fn plain_prefix(prefix: &str) -> String {
    prefix.replace('/', "_")
}

/// The name after a C library and the system, as in Debian's `musl-linux-arm64`.
fn without_library(name: &str) -> &str {
    let (library, cpu) = name.split_once(&format!("_{SYSTEM}_")).unwrap_or(("", name));
    if LIBRARIES.contains(&library) { cpu } else { name }
}

/// The name without a variant that does not change the row.
fn without_variant(name: &str) -> &str {
    let (cpu, variant) = name.rsplit_once('_').unwrap_or((name, ""));
    let digit = |rest: &str| rest.is_empty() || rest.starts_with(|character: char| character.is_ascii_digit());
    let known = VARIANTS.into_iter().any(|known| variant.strip_prefix(known).is_some_and(digit));
    if known { cpu } else { name }
}

/// The CPU, perhaps with a vendor, and the ABI of a triplet for Linux. The ABI is empty if it does
/// not matter.
fn triplet(name: &str) -> Option<(&str, &str)> {
    let (cpu, rest) = name.split_once(&format!("_{SYSTEM}"))?;
    if cpu.is_empty() {
        return None;
    }
    let rest = match rest.strip_prefix('_') {
        Some(rest) => rest,
        None if rest.is_empty() => "",
        None => return None,
    };
    let abi = LIBRARIES.iter().find_map(|library| rest.strip_prefix(library)).unwrap_or(rest);
    Some((cpu, if ABIS.contains(&abi) { "" } else { abi }))
}

fn is_vendor(part: &str) -> bool {
    !OF_CPU.contains(&part) && !part.starts_with(|character: char| character.is_ascii_digit())
}

/// The name of a CPU without its version, as in `armv7l`, `arm64v8` and `x86-64-v3`, and the
/// version. A final `b` is big-endian there (`arch/arm/kernel/setup.c`).
fn without_version(cpu: &str) -> Option<(String, u32)> {
    let (name, version) = cpu.rsplit_once('v')?;
    let name = name.trim_end_matches('_');
    let digits = version.find(|character: char| !character.is_ascii_digit()).unwrap_or(version.len());
    let (version, rest) = version.split_at(digits);
    let letters = rest.trim_start_matches(|character: char| character == '.' || character.is_ascii_digit());
    // A profile, as in ARMv7-A.
    let letters = letters.strip_prefix('_').filter(|profile| profile.len() == 1).unwrap_or(letters);
    if name.is_empty() || !letters.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return None;
    }
    let big = if letters.ends_with('b') { "be" } else { "" };
    Some((format!("{name}{big}"), version.parse().ok()?))
}
