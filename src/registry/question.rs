//! Asks an entry's interpreter which file it is.
//!
//! With flag F the kernel starts the file that it opened at registration. By now its path may be
//! gone, or name another file. So the interpreter is started with a question: the architecture's
//! probe with a mark in bytes that no generated rule compares. An interpreter of binfmt-dispatch
//! answers with its version and its image's identity; any other runs the probe, which ends at once.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitStatus;

use dispatch_core::guest::{QUESTION, QUESTION_AT};
use dispatch_core::refusal::{ANSWER_IMAGE, ANSWER_VERSION, EXIT_ANSWERED};
use dispatch_core::{Guest, NAME, Table};
use dispatch_table::{ArchTable, Architecture};

use super::mount::Registry;
use crate::failure::{Failure, ProbeFault, show};
use crate::platform::probe;
use binfmt_misc::Entry;
use binfmt_misc::registry::{Executed, View};

/// Hexadecimal digits of an identity.
const DIGITS: usize = 64;

/// The answer of an interpreter of binfmt-dispatch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The version of the interpreter.
    pub version: String,
    /// The identity of its image ([`crate::image::OpenImage::identity`]).
    pub image: String,
}

/// How an entry's interpreter reacted to the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It is binfmt-dispatch. The identity is missing if it printed an error instead of an answer,
    /// as a damaged image does.
    Ours(Option<Identity>),
    /// It is other software: it ran the question as a program.
    Nothing,
}

/// Asks the interpreters of a registry.
#[derive(Debug)]
pub struct Asker<'a> {
    /// Newest first.
    entries: &'a [Entry],
    /// The compiled table.
    table: Vec<u8>,
    /// Whether the registry applies to programs that this process starts.
    live: bool,
    /// Interpreters that did not end. They are not asked again for their other entries.
    hung: RefCell<BTreeSet<PathBuf>>,
}

impl<'a> Asker<'a> {
    /// An asker for all `entries` of `registry`, the newest first.
    ///
    /// # Errors
    /// The registry cannot be read.
    pub fn new(registry: &Registry, entries: &'a [Entry], table: &ArchTable) -> Result<Self, Failure> {
        Ok(Self::with(registry.is_live()?, entries, table))
    }

    /// The same for a registry whose liveness ([`Registry::is_live`]) is known.
    pub fn with(live: bool, entries: &'a [Entry], table: &ArchTable) -> Self {
        Asker { entries, table: table.compile(), live, hung: RefCell::default() }
    }

    /// Asks the interpreter of `entry`, which has a name of `architecture`. `None` if it cannot be
    /// asked or does not answer: the entry is disabled, a newer one takes precedence, it does not
    /// match a question, or nothing was started.
    pub fn ask(&self, entry: &Entry, architecture: &Architecture) -> Option<Said> {
        let question = self.question(entry, architecture)?;
        if self.hung.borrow().contains(&entry.interpreter) || !self.is_taken_by(entry, &question) {
            return None;
        }
        let said = match probe::end(&question) {
            Ok((status, line)) => understand(status, &line),
            Err(fault) => {
                if matches!(fault, ProbeFault::Hung(_)) {
                    self.hung.borrow_mut().insert(entry.interpreter.clone());
                }
                None
            }
        };
        let heard = match &said {
            Some(Said::Ours(Some(Identity { version, image }))) => {
                format!("binfmt-dispatch, version {version}, image {image}")
            }
            Some(Said::Ours(None)) => "binfmt-dispatch, without an identity".to_owned(),
            Some(Said::Nothing) => "other software".to_owned(),
            None => "no answer".to_owned(),
        };
        log::info!("{}: its interpreter was asked: {heard}", show(&entry.name));
        said
    }

    /// Has the kernel run the architecture's probe through `entry`. `None` if the entry would not
    /// get the probe.
    pub fn try_probe(&self, entry: &Entry, architecture: &Architecture) -> Option<Result<(), ProbeFault>> {
        let (program, winner) = self.probe_and_winner(entry, architecture)?;
        (winner.name == entry.name).then(|| probe::run(&program))
    }

    /// Whether the interpreter of `entry` did not end when it was asked.
    pub fn hangs(&self, entry: &Entry) -> bool {
        self.hung.borrow().contains(&entry.interpreter)
    }

    /// The architecture's probe, changed to match `entry`, and the entry that the kernel gives it to.
    /// `None` if the entry does not accept programs of the architecture, or the registry is not that
    /// of this process.
    pub fn probe_and_winner(&self, entry: &Entry, architecture: &Architecture) -> Option<(Vec<u8>, &'a Entry)> {
        let program = self.fitted(architecture.probe_elf(), entry, architecture)?;
        let winner = self.winner(&program)?;
        Some((program, winner))
    }

    /// Whether the kernel gives `program` to `entry` when this process starts it.
    fn is_taken_by(&self, entry: &Entry, program: &[u8]) -> bool {
        self.winner(program).is_some_and(|winner| winner.name == entry.name)
    }

    fn winner(&self, program: &[u8]) -> Option<&'a Entry> {
        View { enabled: self.live, entries: self.entries }.winner(Executed::unnamed(program))
    }

    /// A question that the entry matches. Any interpreter for the architecture can run it, because
    /// it is a program that the row describes.
    fn question(&self, entry: &Entry, architecture: &Architecture) -> Option<Vec<u8>> {
        let mut program = architecture.probe_elf();
        program.get_mut(QUESTION_AT..QUESTION_AT + QUESTION.len())?.copy_from_slice(&QUESTION);
        // Without the program's descriptor, the interpreter would act as the command.
        let program = self.fitted(program, entry, architecture).filter(|_| entry.flags.open_binary)?;
        Guest::asks(&program).then_some(program)
    }

    /// `program`, changed to match the entry; `None` if it would no longer be a program of the
    /// architecture.
    fn fitted(&self, mut program: Vec<u8>, entry: &Entry, architecture: &Architecture) -> Option<Vec<u8>> {
        let rule = entry.rule()?;
        for ((byte, magic), mask) in program.iter_mut().zip(rule.magic()).zip(rule.mask()) {
            *byte = *byte & !mask | magic & mask;
        }
        let row = Table::read(&self.table).ok()?.choose(&Guest::identify(&program).ok()?).ok()?;
        let same = row.name().to_bytes() == architecture.name.as_bytes();
        (same && rule.accepts(&program)).then_some(program)
    }
}

/// Asks the interpreter that gets programs of `architecture`, where the entries cannot be seen.
/// `None` if there is none, or it does not answer.
pub fn ask_any(architecture: &Architecture) -> Option<Said> {
    let mut program = architecture.probe_elf();
    program.get_mut(QUESTION_AT..QUESTION_AT + QUESTION.len())?.copy_from_slice(&QUESTION);
    let (status, line) = probe::end(&program).ok()?;
    understand(status, &line)
}

/// The answer of an interpreter that has ended; `None` if it was killed, for instance by a limit of
/// this process.
fn understand(status: ExitStatus, line: &str) -> Option<Said> {
    let code = status.code()?;
    let Some(said) = line.strip_prefix(NAME).and_then(|line| line.strip_prefix(": ")) else {
        return Some(Said::Nothing);
    };
    Some(Said::Ours(identity(said).filter(|_| code == i32::from(EXIT_ANSWERED))))
}

/// The identity in an answer.
fn identity(said: &str) -> Option<Identity> {
    let (version, image) = said.rsplit_once(ANSWER_VERSION)?.1.split_once(ANSWER_IMAGE)?;
    let digits = image.len() == DIGITS && image.bytes().all(|digit| digit.is_ascii_hexdigit());
    digits.then(|| Identity { version: version.to_owned(), image: image.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use dispatch_core::Rule;

    use super::*;
    use binfmt_misc::{Flags, Matcher};

    #[expect(clippy::large_types_passed_by_value, reason = "the entry keeps it")]
    fn entry(name: &str, rule: Rule) -> Entry {
        Entry {
            name: name.into(),
            enabled: true,
            interpreter: PathBuf::from("/i"),
            flags: Flags::of_image(false),
            matcher: Matcher::Rule(rule),
        }
    }

    #[test]
    fn every_entry_of_the_table_can_be_asked() {
        let table = ArchTable::builtin();
        let asker = Asker { entries: &[], table: table.compile(), live: false, hung: RefCell::default() };
        for architecture in table.architectures() {
            for described in architecture.rules() {
                let question = asker.question(&entry(&described.name, described.rule), architecture);
                assert!(question.is_some_and(|question| Guest::asks(&question)), "{}", described.name);
            }
        }
    }

    #[test]
    fn what_would_not_be_a_question_any_more_is_not_started() {
        let table = ArchTable::builtin();
        let asker = Asker { entries: &[], table: table.compile(), live: false, hung: RefCell::default() };
        let alpha = table.find("alpha").unwrap();
        let own = alpha.rules().remove(0).rule;
        let compared = |at: usize, value: u8| {
            let (mut magic, mut mask) = (own.magic().to_vec(), own.mask().to_vec());
            (magic[at], mask[at]) = (value, 0xff);
            asker.question(&entry("qemu-alpha", Rule::new(0, &magic, &mask).unwrap()), alpha).is_some()
        };
        assert!(compared(8, QUESTION[0]));
        assert!(!compared(8, 0), "the padding has to be zero, as in the kernel's documentation");
        assert!(!compared(18, 183), "another machine");
        assert!(!compared(0, b'M'), "no ELF file");
        let behind = Rule::new(200, b"x", b"").unwrap();
        assert!(asker.question(&entry("qemu-alpha", behind), alpha).is_none(), "behind the end of the probe");
    }

    #[test]
    fn only_an_answer_is_one() {
        let digits = "0123456789abcdef".repeat(4);
        let line = |rest: &str| format!("{NAME}: /proc/self/fd/3: {rest}");
        let answer = line(&format!("version 1.2.3, image {digits}"));
        let exited = |code: i32| ExitStatus::from_raw(code << 8);
        let identity = Identity { version: "1.2.3".into(), image: digits.clone() };
        assert_eq!(understand(exited(0), &answer), Some(Said::Ours(Some(identity))));
        assert_eq!(understand(exited(0), ""), Some(Said::Nothing));
        assert_eq!(understand(exited(1), "qemu: cannot"), Some(Said::Nothing));
        let complaints = [(125, line("the image is damaged: write it again")), (126, answer.clone())];
        for (code, complaint) in complaints.into_iter().chain([(0, line("version 1, image 00"))]) {
            assert_eq!(understand(exited(code), &complaint), Some(Said::Ours(None)), "{complaint}");
        }
        assert_eq!(understand(ExitStatus::from_raw(9), &answer), None);
    }
}
