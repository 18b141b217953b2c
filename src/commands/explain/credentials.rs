//! The credentials that a program would have, and what takes them away.

use std::fs::File;
use std::io;
use std::path::Path;

use dispatch_core::privilege::{Ignored, Privileges};

use super::{Credentials, Explanation};
use crate::platform::files::mount_of;
use crate::program::privilege::Process;

/// Completes the explanation of the program in `file`, which is at `path` and started by `caller`, and
/// returns what the kernel will do.
///
/// # Errors
/// The file cannot be looked at.
pub(super) fn examine(
    explanation: &mut Explanation,
    caller: &Process,
    (file, path): (&File, &Path),
) -> io::Result<Privileges> {
    let (own, plain) = (caller.start_with(file)?, caller.start());
    let winner = explanation.kernel.winner();
    // Without an entry, nothing stands between the program and its privileges.
    let counts = winner.is_none_or(|entry| entry.flags.0.credentials);
    let outcome = if counts { &own } else { &plain };
    let taken_away = match own.ignored {
        Some(Ignored::Nosuid) => {
            let mount = mount_of(path).map_or(String::new(), |mount| format!(" {}", mount.display()));
            Some(format!("its mount{mount} has the option nosuid"))
        }
        Some(Ignored::NoNewPrivs) => Some("the caller has set no_new_privs".to_owned()),
        Some(Ignored::Unmapped) => Some("this user namespace does not have its owner or its group".to_owned()),
        None => match winner {
            Some(entry) if !counts && own.privileges != plain.privileges => {
                Some(format!("entry {} lacks flag C", entry.name))
            }
            _ => None,
        },
    };
    let asks = [("set-id", own.set_id), ("capabilities", own.capable)];
    explanation.credentials = Some(Credentials {
        uid: outcome.ids.0,
        gid: outcome.ids.1,
        asks: asks.into_iter().filter(|(_, asks)| *asks).map(|(name, _)| name).collect(),
        taken_away,
    });
    log::info!(
        "{}",
        match outcome.privileges {
            Privileges::Ordinary => "the start gains no privileges",
            Privileges::Privileged => "the start gains privileges",
            Privileges::Refused => "the start is refused, for capabilities that cannot be gained",
        }
    );
    explanation.privileged = outcome.privileges == Privileges::Privileged;
    Ok(outcome.privileges)
}
