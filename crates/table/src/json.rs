//! From JSON text to [`Architecture`]s: the values that JSON has no type for.
//!
//! Afterwards every field has a value of its type; whether the values make sense is up to `check`.

use std::fmt;

use dispatch_core::elf::{Class, Data};
use dispatch_core::table::{Argv0, Strategy};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Unexpected, Visitor};

use serde_json::{Map, Value};

use crate::{Architecture, Error, Fault, VERSION};

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    architectures: Vec<Architecture>,
}

/// The architectures in `json`, unchecked.
pub fn read(json: &str) -> Result<Vec<Architecture>, Error> {
    let file: File = serde_json::from_str(json)?;
    if file.version != VERSION {
        return Err(Error::Version(file.version));
    }
    Ok(file.architectures)
}

/// The rows in `json` as they stand there, some of whose fields may be missing.
pub fn rows(json: &str) -> Result<Vec<Map<String, Value>>, Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        version: u32,
        architectures: Vec<Map<String, Value>>,
    }
    let file: File = serde_json::from_str(json)?;
    if file.version != VERSION {
        return Err(Error::Version(file.version));
    }
    Ok(file.architectures)
}

/// The name of a row; empty if it has none.
pub fn name(row: &Map<String, Value>) -> &str {
    row.get("name").and_then(Value::as_str).unwrap_or_default()
}

/// The architecture of a complete row.
pub fn architecture(row: Map<String, Value>) -> Result<Architecture, Error> {
    let name = name(&row).to_owned();
    let in_row =
        |error: serde_json::Error| Error::Architecture { name, fault: Fault::Fields(printable(&error.to_string())) };
    serde_json::from_value(Value::Object(row)).map_err(in_row)
}

/// A misspelt field is quoted as it is; the message is to stay one line.
fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        // serde_json puts the place at the end of its message; ours stands in front, as with a compiler.
        let text = error.to_string();
        let place = format!(" at line {line} column {column}");
        let problem = text.strip_suffix(&place).unwrap_or(&text);
        Error::Json { line, column, problem: printable(problem) }
    }
}

/// EI_OSABI values of a row that names none: NONE, HPUX, NetBSD, GNU. One block for the kernel; what is no Linux
/// program among them is refused later, by its notes.
pub fn default_osabi() -> Vec<u8> {
    vec![0, 1, 2, 3]
}

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

/// The words for EI_DATA.
#[derive(Deserialize)]
#[serde(remote = "Data", rename_all = "kebab-case")]
enum DataWord {
    Little,
    Big,
}

pub fn data<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Data, D::Error> {
    DataWord::deserialize(deserializer)
}

/// The words for [`Argv0`].
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

/// The words for [`Strategy`].
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

/// An object of strings, in its order; a map would lose the order, and silently all but the last of equal names.
pub fn environment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, String)>, D::Error> {
    struct Settings;

    impl<'de> Visitor<'de> for Settings {
        type Value = Vec<(String, String)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of strings")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut settings = Vec::new();
            while let Some(setting) = map.next_entry()? {
                settings.push(setting);
            }
            Ok(settings)
        }
    }

    deserializer.deserialize_map(Settings)
}
