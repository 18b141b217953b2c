//! The kernel's rule for `AT_SECURE`: whether a start gains privileges, or keeps privileges that
//! the caller's real ids lack.
//!
//! See fs/exec.c, `bprm_fill_uid`, and security/commoncap.c, `cap_bprm_creds_from_file`. The
//! interpreter reads the result in the auxiliary vector; the command computes it here, before a
//! start. Three things are not predicted: security modules (`SELinux` sets `AT_SECURE` for
//! transitions between domains), callers that are traced or share their directories with other
//! processes (`CLONE_FS`), and files reached through another mount namespace. All but the first
//! remove privileges.

/// `st_mode` bit that makes a program run as its owner.
const SET_UID: u32 = 0o4000;
/// `st_mode` bits that make a program run as its group. Without the group's execute bit, the
/// set-group-ID bit has another meaning.
const SET_GID: u32 = 0o2010;
/// The uid, in its user namespace, whose programs get all capabilities.
const ROOT: u32 = 0;

/// Ids of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// Real id.
    pub real: u32,
    /// Effective id.
    pub effective: u32,
}

/// The caller of execve(2). Ids are those in the caller's user namespace; capabilities are a bit
/// mask by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller<'a> {
    /// User ids.
    pub uid: Ids,
    /// Group ids.
    pub gid: Ids,
    /// Supplementary groups.
    pub groups: &'a [u32],
    /// Permitted capabilities.
    pub permitted: u64,
    /// Inheritable capabilities: kept if the file has them as inheritable too.
    pub inheritable: u64,
    /// Ambient capabilities: kept with programs that have no privileges.
    pub ambient: u64,
    /// Bounding set: the capabilities that files can give.
    pub bounding: u64,
    /// `SECBIT_NOROOT`: root has no special privileges.
    pub no_root: bool,
    /// `PR_SET_NO_NEW_PRIVS`.
    pub no_new_privs: bool,
    /// Whether the kernel compares the new ids with the previous effective ones, and a group with the
    /// supplementary groups too, as Linux does since 6.16. Earlier kernels compare them with the real
    /// ones.
    pub compares_effective_ids: bool,
}

/// The first kernel with [`Caller::compares_effective_ids`].
pub const COMPARES_EFFECTIVE_IDS: (u32, u32) = (6, 16);

/// The file whose privileges count: the program if the entry has flag C, otherwise the interpreter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// `st_mode`.
    pub mode: u32,
    /// Owner; `None` if the caller's user namespace does not have the id.
    pub uid: Option<u32>,
    /// Group, likewise.
    pub gid: Option<u32>,
    /// Whether the mount has the option nosuid.
    pub nosuid: bool,
    /// Capabilities, if the file has any for the caller's user namespace or one above.
    pub capabilities: Option<Capabilities>,
}

/// File capabilities, without those that the kernel does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Permitted capabilities.
    pub permitted: u64,
    /// Inheritable capabilities.
    pub inheritable: u64,
    /// Whether they take effect at once (the effective bit).
    pub effective: bool,
}

/// The result of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privileges {
    /// `AT_SECURE` is 0.
    Ordinary,
    /// `AT_SECURE` is 1.
    Privileged,
    /// EPERM: the program requires capabilities that it cannot get.
    Refused,
}

/// Why a file's privileges have no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// The mount has the option nosuid.
    Nosuid,
    /// The caller has set `no_new_privs`.
    NoNewPrivs,
    /// The owner or group is not in the caller's user namespace.
    Unmapped,
}

impl Caller<'_> {
    /// Whether the caller is in group `gid`, by its filesystem id, which follows the effective one,
    /// or by a supplementary group.
    fn is_in(&self, gid: u32) -> bool {
        self.gid.effective == gid || self.groups.contains(&gid)
    }

    /// The result of starting a program when `file` is the one whose privileges count.
    pub fn start(&self, file: &File) -> Privileges {
        let (mut euid, mut egid) = self.ids_with(file);
        let capabilities = file.capabilities.filter(|_| !file.nosuid);
        let (mut permitted, mut effective) = (0, false);
        if let Some(capabilities) = capabilities {
            permitted = self.bounding & capabilities.permitted | self.inheritable & capabilities.inheritable;
            effective = capabilities.effective;
            if effective && capabilities.permitted & !permitted != 0 {
                return Privileges::Refused;
            }
        }
        // A set-user-ID root program with file capabilities gets only these.
        let just_these = capabilities.is_some() && euid == ROOT && self.uid.real != ROOT;
        if !self.no_root && !just_these {
            if euid == ROOT || self.uid.real == ROOT {
                permitted = self.bounding | self.inheritable;
            }
            effective |= euid == ROOT;
        }
        let changed = if self.compares_effective_ids {
            euid != self.uid.effective || !self.is_in(egid)
        } else {
            euid != self.uid.real || egid != self.gid.real
        };
        if self.no_new_privs && (changed || permitted & !self.permitted != 0) {
            (euid, egid) = (self.uid.real, self.gid.real);
            permitted &= self.permitted;
        }
        let ambient = if changed || capabilities.is_some() { 0 } else { self.ambient };
        let other_ids = changed || euid != self.uid.real || egid != self.gid.real;
        if other_ids || self.uid.real != ROOT && (effective || permitted & !ambient != 0) {
            Privileges::Privileged
        } else {
            Privileges::Ordinary
        }
    }

    /// The effective user and group id of a process after it starts `file`, unless `no_new_privs` or a
    /// refusal changes that.
    pub fn ids_with(&self, file: &File) -> (u32, u32) {
        let unchanged = (self.uid.effective, self.gid.effective);
        match (file.uid, file.gid) {
            (Some(uid), Some(gid)) if self.ignores(file).is_none() => (
                if file.mode & SET_UID != 0 { uid } else { unchanged.0 },
                if file.mode & SET_GID == SET_GID { gid } else { unchanged.1 },
            ),
            _ => unchanged,
        }
    }

    /// Why the set-id bits of `file` have no effect, if they have none. For file capabilities only
    /// nosuid counts: with `no_new_privs` they give nothing, but the kernel still marks the start
    /// as privileged.
    pub fn ignores(&self, file: &File) -> Option<Ignored> {
        if file.nosuid {
            Some(Ignored::Nosuid)
        } else if self.no_new_privs {
            Some(Ignored::NoNewPrivs)
        } else if file.uid.is_none() || file.gid.is_none() {
            Some(Ignored::Unmapped)
        } else {
            None
        }
    }
}

impl File {
    /// A file without privileges.
    pub const PLAIN: File = File { mode: 0o755, uid: Some(ROOT), gid: Some(ROOT), nosuid: false, capabilities: None };

    /// Whether the file has an effective set-id bit.
    pub fn is_set_id(&self) -> bool {
        self.mode & SET_UID != 0 || self.mode & SET_GID == SET_GID
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NET_RAW: u64 = 1 << 13;
    const ALL: u64 = (1 << 41) - 1;
    const USER: Caller<'static> = Caller {
        uid: Ids { real: 1000, effective: 1000 },
        gid: Ids { real: 1000, effective: 1000 },
        groups: &[27],
        permitted: 0,
        inheritable: 0,
        ambient: 0,
        bounding: ALL,
        no_root: false,
        no_new_privs: false,
        compares_effective_ids: true,
    };
    const SUPERUSER: Caller<'static> = Caller {
        uid: Ids { real: 0, effective: 0 },
        gid: Ids { real: 0, effective: 0 },
        groups: &[],
        permitted: ALL,
        ..USER
    };

    fn mode(mode: u32) -> File {
        File { mode, ..File::PLAIN }
    }

    fn capable(permitted: u64, inheritable: u64, effective: bool) -> File {
        File { capabilities: Some(Capabilities { permitted, inheritable, effective }), ..File::PLAIN }
    }

    #[test]
    fn ids_count_where_they_change() {
        for (caller, file, start) in [
            (USER, mode(0o755), Privileges::Ordinary),
            (USER, mode(0o4755), Privileges::Privileged),
            (USER, mode(0o2755), Privileges::Privileged),
            // Formerly the sign of mandatory locks.
            (USER, mode(0o2745), Privileges::Ordinary),
            (USER, File { uid: Some(1000), gid: Some(1000), ..mode(0o6755) }, Privileges::Ordinary),
            (USER, File { gid: Some(27), ..mode(0o2755) }, Privileges::Privileged),
            (USER, File { nosuid: true, ..mode(0o4755) }, Privileges::Ordinary),
            (USER, File { uid: None, ..mode(0o4755) }, Privileges::Ordinary),
            (USER, File { gid: None, ..mode(0o4755) }, Privileges::Ordinary),
            (Caller { no_new_privs: true, ..USER }, mode(0o6755), Privileges::Ordinary),
            (SUPERUSER, mode(0o6755), Privileges::Ordinary),
            (SUPERUSER, File { uid: Some(60), ..mode(0o4755) }, Privileges::Privileged),
        ] {
            assert_eq!(caller.start(&file), start, "{caller:?}\n{file:?}");
        }
    }

    #[test]
    fn ids_that_differ_already_count_whatever_the_file_is() {
        let caller = Caller { uid: Ids { real: 1000, effective: 60 }, ..USER };
        assert_eq!(caller.start(&mode(0o755)), Privileges::Privileged);
        let caller = Caller { gid: Ids { real: 1000, effective: 60 }, ..USER };
        assert_eq!(caller.start(&File { nosuid: true, ..mode(0o755) }), Privileges::Privileged);
    }

    #[test]
    fn what_ids_are_compared_with_depends_on_the_kernel() {
        let since = Caller { uid: Ids { real: 1000, effective: 60 }, ..USER };
        let before = Caller { compares_effective_ids: false, ..since };
        // It becomes a program of its real user's.
        let file = File { uid: Some(1000), gid: Some(1000), ..mode(0o4755) };
        assert_eq!((since.start(&file), before.start(&file)), (Privileges::Privileged, Privileges::Ordinary));
        let plain = mode(0o755);
        assert_eq!((since.start(&plain), before.start(&plain)), (Privileges::Privileged, Privileges::Privileged));
    }

    #[test]
    fn capabilities_count_where_they_are_gained() {
        let bounded = Caller { bounding: ALL & !NET_RAW, ..USER };
        for (caller, file, start) in [
            (USER, capable(NET_RAW, 0, true), Privileges::Privileged),
            (USER, capable(NET_RAW, 0, false), Privileges::Privileged),
            (USER, capable(0, 0, false), Privileges::Ordinary),
            (USER, capable(0, 0, true), Privileges::Privileged),
            (USER, capable(0, NET_RAW, false), Privileges::Ordinary),
            (Caller { inheritable: NET_RAW, ..USER }, capable(0, NET_RAW, false), Privileges::Privileged),
            (bounded, capable(NET_RAW, 0, true), Privileges::Refused),
            (bounded, capable(NET_RAW, 0, false), Privileges::Ordinary),
            (Caller { no_new_privs: true, ..USER }, capable(NET_RAW, 0, false), Privileges::Ordinary),
            (USER, File { nosuid: true, ..capable(NET_RAW, 0, true) }, Privileges::Ordinary),
            (SUPERUSER, capable(NET_RAW, 0, true), Privileges::Ordinary),
            (
                Caller { permitted: NET_RAW, inheritable: NET_RAW, ambient: NET_RAW, ..USER },
                mode(0o755),
                Privileges::Ordinary,
            ),
        ] {
            assert_eq!(caller.start(&file), start, "{caller:?}\n{file:?}");
        }
    }
}
