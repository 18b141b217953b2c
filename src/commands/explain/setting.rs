//! The programs to explain, and where and how they are looked at.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use dispatch_table::{ArchTable, Architecture};
use nix::sys::memfd::MFdFlags;

use super::{Args, kernel, remedy, translated};
use crate::architectures;
use crate::defaults::REGISTRY;
use crate::failure::{Doing, Failure};
use crate::image::Effective;
use crate::platform::labels::{self, Module};
use crate::platform::{chroot, memfd};
use crate::program::authority::Authority;
use crate::program::privilege::Process;

/// How to look at the programs: the same for all of them.
pub(super) struct Setting<'s> {
    /// The image of this command.
    pub image: &'s Effective,
    /// The architectures.
    pub table: &'s ArchTable,
    /// Whether test programs may be started.
    pub probing: bool,
    pub seen: Result<kernel::Seen, kernel::Unavailable>,
    /// The other machine that is asked about.
    pub host: Option<&'s Architecture>,
    /// The security modules that are on.
    pub security: Vec<Module>,
    /// The system around the root directory; `None` if none was entered.
    pub outside: Option<remedy::Outside>,
    /// Where the system can be changed.
    pub authority: Authority,
    /// This process, which would start the programs.
    pub caller: Process,
    pub translated: translated::Cache,
}

impl<'s> Setting<'s> {
    /// Enters the root directory, if there is one, after everything outside was looked at.
    pub fn prepare(args: &Args, image: &'s Effective, table: &'s ArchTable) -> Result<Self, Failure> {
        let host = args.host.as_ref().map(|name| architectures::find(table, name)).transpose()?;
        let seen = match host {
            Some(_) => Err(kernel::Unavailable::elsewhere()),
            None => kernel::Seen::read(),
        };
        let probing = !args.no_probe && host.is_none();
        let security = if host.is_none() { labels::modules(Path::new("/")) } else { Vec::new() };
        let authority = Authority::look(seen.is_ok().then(|| Path::new(REGISTRY)));
        let mut outside = None;
        if let Some(root) = &args.root {
            let failed = |error| Failure::io(Doing::Enter, root, error);
            outside = Some(remedy::Outside::look(root, table).map_err(failed)?);
            chroot::enter(root)?;
        }
        // There it may have other privileges.
        let caller = Process::this();
        Ok(Setting {
            image,
            table,
            probing,
            seen,
            host,
            security,
            outside,
            authority,
            caller,
            translated: translated::Cache::default(),
        })
    }

    pub fn remedies(&self) -> remedy::Remedies<'_> {
        remedy::Remedies { image: self.image, outside: self.outside.as_ref(), authority: &self.authority }
    }
}

/// A program to look at.
pub(super) struct Subject {
    /// Its name, as it was given.
    pub name: PathBuf,
    /// What was read from standard input, if that is the program.
    pub input: Option<File>,
}

/// The name that stands for standard input.
const INPUT: &str = "-";
/// Most bytes that are read from it.
const LONGEST_INPUT: u64 = 1 << 30;

impl Subject {
    /// The program called `name`.
    ///
    /// # Errors
    /// Standard input cannot be read, is too long, or cannot be kept in memory.
    pub fn named(name: &Path) -> Result<Self, Failure> {
        let failed = |error| Failure::io(Doing::Read, Path::new(STANDARD_INPUT), error);
        let mut subject = Subject { name: name.to_owned(), input: None };
        if name == Path::new(INPUT) {
            if !memfd::has_paths() {
                return Err(failed(io::Error::other("it needs a /proc, name a file")));
            }
            let mut file = memfd::executable(c"input", MFdFlags::MFD_CLOEXEC).map_err(|errno| failed(errno.into()))?;
            let len = io::copy(&mut io::stdin().lock().take(LONGEST_INPUT + 1), &mut file).map_err(failed)?;
            if len > LONGEST_INPUT {
                return Err(failed(io::Error::other("it has more than 1 GiB, name a file")));
            }
            subject.input = Some(file);
        }
        Ok(subject)
    }

    /// The failure, with the name of standard input in place of its path.
    pub fn rename(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Refused { path, message, exit_code } if self.input.is_some() && path == self.path() => {
                Failure::Refused { path: STANDARD_INPUT.into(), message, exit_code }
            }
            failure => failure,
        }
    }

    /// The path to open.
    pub fn path(&self) -> PathBuf {
        self.input.as_ref().and_then(memfd::path).unwrap_or_else(|| self.name.clone())
    }
}

/// The name of standard input in messages.
const STANDARD_INPUT: &str = "standard input";
