//! Reads the value types that JSON lacks, and gives the defaults of fields.

use dispatch_core::elf::{Class, Data};
use dispatch_core::table::{Argv0, Strategy};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, Unexpected};

use crate::place;

/// `EI_OSABI` values of a row that names none: NONE, HPUX, NetBSD, GNU. The kernel needs one block
/// for them. Programs for systems other than Linux are refused later, by their notes.
pub fn default_osabi() -> Vec<u8> {
    vec![0, 1, 2, 3]
}

/// Who has disabled a row, if the table is no file.
const UNKNOWN: &str = "the table";

pub fn default_strategy() -> Strategy {
    Strategy::Map
}

/// 32 or 64.
pub fn class<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Class, D::Error> {
    match u64::deserialize(deserializer)? {
        32 => Ok(Class::Elf32),
        64 => Ok(Class::Elf64),
        other => Err(D::Error::invalid_value(Unexpected::Unsigned(other), &"32 or 64")),
    }
}

/// The names for `EI_DATA`.
#[derive(Deserialize)]
#[serde(remote = "Data", rename_all = "kebab-case")]
enum DataWord {
    Little,
    Big,
}

pub fn data<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Data, D::Error> {
    DataWord::deserialize(deserializer)
}

/// The names for [`Argv0`].
#[derive(Deserialize)]
#[serde(remote = "Argv0", rename_all = "kebab-case")]
enum Argv0Word {
    DashZero,
    Auxv,
    None,
}

pub fn argv0<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Argv0, D::Error> {
    Argv0Word::deserialize(deserializer)
}

/// The names for [`Strategy`].
#[derive(Deserialize)]
#[serde(remote = "Strategy", rename_all = "kebab-case")]
enum StrategyWord {
    Map,
    Exec,
}

pub fn strategy<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Strategy, D::Error> {
    StrategyWord::deserialize(deserializer)
}

/// `"0x…"`, one to eight hexadecimal digits.
pub fn hex_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digits = text.strip_prefix("0x").filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    digits
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &"a 32-bit number like \"0x0000e020\""))
}

/// Pairs of hexadecimal digits, one for each byte.
pub fn hex_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digits: Option<Vec<u8>> = text.chars().map(|digit| u8::try_from(digit.to_digit(16)?).ok()).collect();
    digits
        .filter(|digits| digits.len() % 2 == 0)
        .map(|digits| digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
        .ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &"an even number of hexadecimal digits"))
}

/// `true`, `false`, or who has disabled the row, as text.
pub fn disabled<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Disabled {
        Is(bool),
        By(String),
    }
    Ok(match Disabled::deserialize(deserializer)? {
        Disabled::Is(is) => is.then(|| UNKNOWN.to_owned()),
        Disabled::By(by) => Some(by),
    })
}

/// An object of strings, in its order. A map would lose the order, and silently drop all but the
/// last of equal names.
pub fn environment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, String)>, D::Error> {
    place::pairs(deserializer)
}
