//! What `lint` finds: a check that did not pass, where, and what to do.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anstyle::Style;
use serde::Serialize;

use super::Registered;
use super::sources::Source;
use crate::failure::show;
use crate::output::json::Bytes;
use crate::style::{BAD, PLAIN, WARNING, paint};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Worth knowing.
    Note,
    /// Probably not what was meant.
    Warning,
    /// Refused, or harmful.
    Error,
}

/// What is checked. The names are stable; docs/lint.md explains them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    Unreadable,
    TooLarge,
    Masked,
    Overridden,
    IgnoredName,
    Encoding,
    Nul,
    CarriageReturn,
    FinalNewline,
    Comment,
    Length,
    Delimiter,
    Fields,
    Type,
    Name,
    OddName,
    Offset,
    ElfOffset,
    Escape,
    Magic,
    Mask,
    IgnoredBits,
    IgnoredFields,
    Extension,
    Interpreter,
    RelativeInterpreter,
    Flags,
    NewKernel,
    Native,
    NeverMatches,
    DuplicateName,
    Hidden,
    Overlap,
    TooMany,
    InterpreterFile,
    NotStatic,
    Credentials,
    DroppedTarget,
    WrongEmulator,
}

/// One finding.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// Which check did not pass.
    pub check: Check,
    /// The file.
    pub file: Bytes,
    /// Where in the file; `None` for the whole file.
    #[serde(flatten)]
    pub place: Place,
    /// The entry's name, if it has one.
    pub entry: Option<Bytes>,
    /// What is wrong, and what to do.
    pub message: String,
    /// Other entries that the finding is about.
    pub others: Vec<Other>,
}

/// Where in a file. Lines and columns count from 1, columns in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The line.
    pub line: Option<usize>,
    /// The first byte.
    pub column: Option<usize>,
    /// The byte after the last one.
    pub end_column: Option<usize>,
}

/// Another entry.
#[derive(Clone, Debug, Serialize)]
pub struct Other {
    /// Its name.
    pub entry: Bytes,
    /// Its file.
    pub file: Bytes,
    /// Its line.
    pub line: usize,
}

/// The findings so far, and where the next ones are.
#[derive(Debug, Default)]
pub struct Findings {
    found: Vec<(PathBuf, Finding)>,
    file: PathBuf,
    place: Place,
    start: usize,
    entry: Option<Bytes>,
}

impl Other {
    /// That entry.
    pub fn of(entry: &Registered) -> Self {
        Other { entry: entry.name.clone(), file: Bytes::from(entry.file.as_os_str()), line: entry.line }
    }
}

impl Check {
    /// How bad it usually is.
    pub fn level(self) -> Level {
        match self {
            Check::Unreadable
            | Check::TooLarge
            | Check::Encoding
            | Check::Nul
            | Check::Length
            | Check::Delimiter
            | Check::Fields
            | Check::Type
            | Check::Name
            | Check::Offset
            | Check::Escape
            | Check::Magic
            | Check::Mask
            | Check::Extension
            | Check::Interpreter
            | Check::Flags
            | Check::Native
            | Check::Credentials => Level::Error,
            Check::CarriageReturn
            | Check::Comment
            | Check::OddName
            | Check::ElfOffset
            | Check::IgnoredFields
            | Check::RelativeInterpreter
            | Check::NeverMatches
            | Check::DuplicateName
            | Check::Hidden
            | Check::Overlap
            | Check::TooMany
            | Check::InterpreterFile
            | Check::NotStatic
            | Check::DroppedTarget
            | Check::WrongEmulator => Level::Warning,
            Check::Masked
            | Check::Overridden
            | Check::NewKernel
            | Check::IgnoredName
            | Check::FinalNewline
            | Check::IgnoredBits => Level::Note,
        }
    }
}

impl Findings {
    /// The next findings are about this file.
    pub fn file(&mut self, path: &Path) {
        *self = Findings { found: std::mem::take(&mut self.found), file: path.to_owned(), ..Findings::default() };
    }

    /// The next findings are in this line, whose text begins after `start` bytes; and about the
    /// entry of that name.
    pub fn line(&mut self, line: usize, start: usize, entry: Option<Bytes>) {
        self.place = Place { line: Some(line), column: None, end_column: None };
        (self.start, self.entry) = (start, entry);
    }

    /// Adds a finding about the whole file.
    pub fn of_file(&mut self, check: Check, message: impl Into<String>) {
        (self.place, self.entry) = (Place::default(), None);
        self.push(check, check.level(), Place::default(), message.into(), Vec::new());
    }

    /// Adds a finding about these bytes of the line.
    pub fn at(&mut self, check: Check, bytes: Range<usize>, message: impl Into<String>) {
        self.at_level(check, check.level(), bytes, message);
    }

    /// The same, not as bad or worse than usual.
    pub fn at_level(&mut self, check: Check, level: Level, bytes: Range<usize>, message: impl Into<String>) {
        self.about(check, level, bytes, message, Vec::new());
    }

    /// The same, with other entries.
    pub fn about(
        &mut self,
        check: Check,
        level: Level,
        bytes: Range<usize>,
        message: impl Into<String>,
        others: Vec<Other>,
    ) {
        let column = |byte: usize| Some(self.start + byte + 1);
        let place = Place { line: self.place.line, column: column(bytes.start), end_column: column(bytes.end) };
        self.push(check, level, place, message.into(), others);
    }

    fn push(&mut self, check: Check, level: Level, place: Place, message: String, others: Vec<Other>) {
        let file = Bytes::from(self.file.as_os_str());
        let finding = Finding { level, check, file, place, entry: self.entry.clone(), message, others };
        self.found.push((self.file.clone(), finding));
    }

    /// The file that the next findings are about.
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// All of them, in the order of files and places.
    pub fn sorted(mut self, sources: &[Source]) -> Vec<Finding> {
        let order: HashMap<&Path, usize> = sources.iter().map(|source| source.path.as_path()).zip(0..).collect();
        self.found.sort_by_key(|(file, finding)| (order.get(file.as_path()).copied(), finding.place));
        self.found.into_iter().map(|(_, finding)| finding).collect()
    }
}

impl Level {
    fn style(self) -> Style {
        match self {
            Level::Note => PLAIN,
            Level::Warning => WARNING,
            Level::Error => BAD,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Error => "error",
        })
    }
}

impl fmt::Display for Check {
    /// The name, as it is in JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = format!("{self:?}");
        for (at, letter) in name.char_indices() {
            if at > 0 && letter.is_ascii_uppercase() {
                f.write_str("-")?;
            }
            write!(f, "{}", letter.to_ascii_lowercase())?;
        }
        Ok(())
    }
}

impl fmt::Display for Finding {
    /// As compilers write it: `file:line:column: level: message [check]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        for number in [self.place.line, self.place.column].into_iter().flatten() {
            write!(f, ":{number}")?;
        }
        write!(f, ": {}: {} [{}]", paint(self.level.style(), self.level), self.message, self.check)
    }
}

/// A finding as a workflow command, which CI systems show beside the line.
#[derive(Clone, Copy, Debug)]
pub struct Annotation<'f>(pub &'f Finding);

impl fmt::Display for Annotation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { level, check, file, place, message, .. } = self.0;
        let level = if *level == Level::Note { "notice" } else { &level.to_string() };
        write!(f, "::{level} file={}", property(&file.to_string()))?;
        for (name, number) in [("line", place.line), ("col", place.column), ("endColumn", place.end_column)] {
            if let Some(number) = number {
                write!(f, ",{name}={number}")?;
            }
        }
        write!(f, ",title={}::{}", property(&format!("binfmt-dispatch lint: {check}")), data(message))
    }
}

/// Text after the colons of a workflow command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a property of one.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// For several names in a message, the first few of them.
pub fn listed(names: &[String]) -> String {
    const MOST: usize = 4;
    let shown = names.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A name in a message.
pub fn quoted(name: &[u8]) -> String {
    use std::os::unix::ffi::OsStrExt;
    show(std::ffi::OsStr::from_bytes(name)).to_string()
}
