//! Where the system can be changed: here, or only outside of this user namespace or container.

use std::path::Path;

use dispatch_core::NAME;
use nix::unistd::{AccessFlags, access, geteuid};
use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::thread;

use crate::failure::MAY_MOUNT;

use super::called::{as_called, as_called_by_root};
use super::privilege::UserNamespace;

/// Where entries can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Here, by root.
    Here,
    /// Outside of this user namespace, as its root is an ordinary user there.
    OutsideNamespace,
    /// On the host of this container, as root lacks `CAP_SYS_ADMIN` here, or the registry is mounted
    /// read-only.
    OnHost,
}

/// What this process, or root in its place, may change of the system. It has to be looked at before
/// another root directory is entered.
#[derive(Clone, Debug)]
pub struct Authority {
    /// Where entries can be made.
    pub place: Place,
    /// The word that calls this command.
    pub called: String,
    /// Whether this process may make a user namespace, where it can have entries of its own.
    pub may_unshare: bool,
    /// The word by which root calls this command.
    called_by_root: String,
    /// Whether this process may write to the files of entries.
    may_write: bool,
    is_root: bool,
}

impl Authority {
    /// Looks at this process, and at `registry`, if a registry is mounted there.
    pub fn look(registry: Option<&Path>) -> Self {
        let namespace = UserNamespace::this();
        let is_root = geteuid().is_root();
        // Nobody else knows what sudo may do, but no program gets more than the bounding set.
        let capable = match is_root {
            true => thread::capabilities(None).map(|sets| sets.effective.contains(MAY_MOUNT)),
            false => thread::capability_is_in_bounding_set(MAY_MOUNT),
        };
        let read_only = |path: &Path| statvfs(path).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY));
        let place = if namespace.is_of_another() {
            Place::OutsideNamespace
        } else if !capable.unwrap_or(true) || registry.is_some_and(read_only) {
            Place::OnHost
        } else {
            Place::Here
        };
        Authority {
            place,
            called: as_called(),
            may_unshare: namespace.has(geteuid().as_raw()),
            called_by_root: as_called_by_root(),
            may_write: registry.is_some_and(|path| access(&path.join("status"), AccessFlags::W_OK).is_ok()),
            is_root,
        }
    }

    /// This command with arguments, as root calls it where entries can be made.
    pub fn command(&self, arguments: &str) -> String {
        // On the host it may be elsewhere.
        let called = if self.place == Place::OnHost { NAME } else { &self.called_by_root };
        format!("{called} {arguments}")
    }

    /// Commands of root's that change packages or files, one after the other.
    pub fn install(&self, commands: &[String]) -> String {
        match self.place {
            Place::Here | Place::OnHost => as_root(commands, self.is_root),
            Place::OutsideNamespace => self.change(commands),
        }
    }

    /// Commands of root's that change entries, one after the other.
    pub fn change(&self, commands: &[String]) -> String {
        match self.place {
            Place::Here => as_root(commands, self.is_root),
            elsewhere => elsewhere.say(&as_root(commands, false)),
        }
    }

    /// The commands that turn on what these files of the registry, quoted for a shell, are for.
    pub fn turn_on(&self, paths: &[String]) -> String {
        let join = |command: &dyn Fn(&String) -> String| paths.iter().map(command).collect::<Vec<_>>().join(" && ");
        let direct = || join(&|path| format!("echo 1 > {path}"));
        let by_sudo = || join(&|path| format!("echo 1 | sudo tee {path}"));
        match self.place {
            _ if self.may_write => direct(),
            Place::Here if self.is_root => direct(),
            Place::Here => by_sudo(),
            elsewhere => elsewhere.say(&by_sudo()),
        }
    }
}

impl Place {
    /// `commands`, with the place where they work in front.
    fn say(self, commands: &str) -> String {
        match self {
            Place::Here => commands.to_owned(),
            Place::OutsideNamespace => format!("outside this user namespace: {commands}"),
            Place::OnHost => format!("on the host of this container: {commands}"),
        }
    }
}

fn as_root(commands: &[String], is_root: bool) -> String {
    let sudo = if is_root { "" } else { "sudo " };
    commands.iter().map(|command| format!("{sudo}{command}")).collect::<Vec<_>>().join(" && ")
}
