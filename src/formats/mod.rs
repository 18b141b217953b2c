//! The entries as text: for the kernel, and for what registers them at boot.

pub mod binfmt_d;
mod binfmt_support;
mod nixos;

use std::os::unix::ffi::OsStrExt;

use binfmt_misc::{Flags, grammar};
use clap::ValueEnum;
use dispatch_table::Architecture;

use crate::failure::Failure;
use crate::registry::RegisterLine;

/// An architecture and its entries.
pub type Entries<'t> = (&'t Architecture, Vec<RegisterLine>);

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A file for /etc/binfmt.d or /usr/lib/binfmt.d (binfmt.d(5)). Call it
    /// zz-binfmt-dispatch.conf: of several entries for the same programs, the last one wins
    BinfmtD,
    /// A file for each entry, for update-binfmts(8): put them into /usr/share/binfmts, and run
    /// `update-binfmts --import`. It knows flag O only together with C
    BinfmtSupport,
    /// A file for /etc/binfmt.d or /usr/lib/binfmt.d that OpenRC's service `binfmt` reads
    Openrc,
    /// A module for NixOS: import it from configuration.nix
    Nixos,
    /// Lines for `/proc/sys/fs/binfmt_misc/register`, one write each
    Register,
}

/// A file of a format: its name, and its contents.
pub type File = (String, Vec<u8>);

impl Format {
    /// All entries in one text.
    ///
    /// # Errors
    /// [`Failure::Usage`]: the format has one file for each entry, and there are several.
    /// [`Failure::NotInFormat`]: it cannot express an entry.
    pub fn text(self, host: &str, entries: &[Entries<'_>]) -> Result<Vec<u8>, Failure> {
        match self {
            Format::BinfmtD => Ok(binfmt_d::binfmt_d(host, entries, binfmt_d::NAME)),
            Format::Openrc => openrc(host, entries, binfmt_d::NAME),
            Format::Nixos => nixos::module(host, entries),
            Format::Register => Ok(lines(entries).flat_map(binfmt_d::text_line).collect()),
            Format::BinfmtSupport => match &lines(entries).collect::<Vec<_>>()[..] {
                [line] => binfmt_support::file(line),
                lines => {
                    let message =
                        format!("{} entries are as many files for binfmt-support: add --output DIR", lines.len());
                    Err(Failure::Usage(message))
                }
            },
        }
    }

    /// The files that other software reads: one for each architecture, or for each entry if that
    /// takes one entry for each file.
    ///
    /// # Errors
    /// [`Failure::NotInFormat`].
    pub fn files(self, host: &str, entries: &[Entries<'_>]) -> Result<Vec<File>, Failure> {
        let by_entry = |text: &dyn Fn(&RegisterLine) -> Result<Vec<u8>, Failure>| {
            lines(entries).map(|line| Ok((line.name().to_string_lossy().into_owned(), text(line)?))).collect()
        };
        match self {
            Format::Register => by_entry(&|line| Ok(binfmt_d::text_line(line))),
            Format::BinfmtSupport => by_entry(&binfmt_support::file),
            Format::BinfmtD | Format::Openrc | Format::Nixos => entries
                .iter()
                .map(|entry| {
                    let one = std::slice::from_ref(entry);
                    let name = |ending| format!("zz-binfmt-dispatch-{}.{ending}", entry.0.name);
                    match self {
                        Format::Nixos => Ok((name("nix"), nixos::module(host, one)?)),
                        Format::Openrc => Ok((name("conf"), openrc(host, one, &name("conf"))?)),
                        _ => Ok((name("conf"), binfmt_d::binfmt_d(host, one, &name("conf")))),
                    }
                })
                .collect(),
        }
    }
}

fn lines<'e>(entries: &'e [Entries<'_>]) -> impl Iterator<Item = &'e RegisterLine> {
    entries.iter().flat_map(|(_, lines)| lines)
}

/// A file for OpenRC, whose script takes binfmt.d's format with three restrictions: in some
/// versions it takes empty lines for entries; it finds names after a colon; and it passes lines
/// through a shell's `echo`, which may take other escapes than `\x` for its own.
fn openrc(host: &str, entries: &[Entries<'_>], name: &str) -> Result<Vec<u8>, Failure> {
    for line in lines(entries) {
        let path = line.interpreter().as_os_str().as_bytes();
        if path.contains(&b':') || path.contains(&b'\\') {
            return Err(not_in_format(
                line,
                "OpenRC cannot register an interpreter whose path has a colon or a backslash",
            ));
        }
    }
    let text = binfmt_d::snippet(host, entries, name, "OpenRC");
    let kept = text.split_inclusive(|byte| *byte == b'\n').filter(|line| *line != b"\n");
    Ok(kept.collect::<Vec<_>>().concat())
}

/// The flags of a line that goes into a format whose reader has a word for each flag, and none for
/// T.
fn flags_before_t(line: &RegisterLine) -> Result<Flags, Failure> {
    match line.flags() {
        flags if flags.transparent => Err(not_in_format(
            line,
            "this format has no word for flag T: leave --kernel out, or choose a format that has the kernel's lines",
        )),
        flags => Ok(flags),
    }
}

fn not_in_format(line: &RegisterLine, reason: &'static str) -> Failure {
    Failure::NotInFormat { entry: line.name().to_owned(), reason }
}

/// The parts of a line, as the kernel takes them: offset, magic and mask. The line has a magic, as
/// those of the table do.
fn parts(line: &RegisterLine) -> [String; 3] {
    let bytes = line.bytes();
    let fields = grammar::read(&bytes).map(|reading| reading.fields).ok();
    let text = |number: usize| fields.map(|fields| String::from_utf8_lossy(fields[number].text).into_owned());
    [2, 3, 4].map(|number| text(number).unwrap_or_default())
}
