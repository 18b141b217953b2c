//! Collects the input for the kernel's privilege rules from this process and a file.
//! [`dispatch_core::privilege`] applies the rules.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;

use dispatch_core::bytes;
use dispatch_core::handoff::is_since;
use dispatch_core::privilege::{
    COMPARES_EFFECTIVE_IDS, Caller, Capabilities, File as Credited, Ids, Ignored, Privileges,
};
use nix::unistd::{getegid, geteuid, getgid, getgroups, getuid};
use rustix::fs::{StatVfsMountFlags, fgetxattr, fstatvfs};
use rustix::system::uname;
use rustix::thread::{self, CapabilitiesSecureBits, CapabilitySet, CapabilitySets};

/// The extended attribute that holds a file's capabilities (capabilities(7)).
const ATTRIBUTE: &str = "security.capability";
/// Length of its longest form, in bytes: `VFS_CAP_REVISION_3`.
const LONGEST: usize = 24;
/// The id that the kernel shows for ids that the user namespace does not map
/// (/proc/sys/kernel/overflowuid).
const OVERFLOW: u32 = 65534;
/// The users of this process's user namespace.
const UID_MAP: &str = "/proc/self/uid_map";

/// The privileges of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The privileges that the kernel gives.
    pub privileges: Privileges,
    /// The effective user and group id afterwards.
    pub ids: (u32, u32),
    /// Whether the file has set-id bits.
    pub set_id: bool,
    /// Whether the file has capabilities.
    pub capable: bool,
    /// Why the file's set-id bits or capabilities have no effect.
    pub ignored: Option<Ignored>,
}

/// This process, as the caller of execve(2).
#[derive(Clone, Debug)]
pub struct Process {
    /// Without its groups.
    caller: Caller<'static>,
    groups: Vec<u32>,
    /// The capabilities that the kernel knows.
    known: u64,
}

impl Process {
    /// Looks at this process. If a sandbox forbids a query, privileges are assumed to be possible.
    pub fn this() -> Self {
        let held = thread::capabilities(None).ok();
        let set = |of: fn(&CapabilitySets) -> CapabilitySet| held.as_ref().map_or(0, |held| of(held).bits());
        let bounding = match every(thread::capability_is_in_bounding_set) {
            Found { known: 0, .. } => Found { held: u64::MAX, known: u64::MAX },
            found => found,
        };
        let caller = Caller {
            uid: Ids { real: getuid().as_raw(), effective: geteuid().as_raw() },
            gid: Ids { real: getgid().as_raw(), effective: getegid().as_raw() },
            groups: &[],
            permitted: set(|held| held.permitted),
            inheritable: set(|held| held.inheritable),
            ambient: every(thread::capability_is_in_ambient_set).held,
            bounding: bounding.held,
            no_root: thread::capabilities_secure_bits()
                .is_ok_and(|bits| bits.contains(CapabilitiesSecureBits::NO_ROOT)),
            no_new_privs: thread::no_new_privs().unwrap_or(false),
            compares_effective_ids: is_since(uname().release().to_bytes(), COMPARES_EFFECTIVE_IDS),
        };
        let groups = getgroups().unwrap_or_default().into_iter().map(nix::unistd::Gid::as_raw).collect();
        Process { caller, groups, known: bounding.known }
    }

    /// The privileges of a program that it starts without a file that adds any.
    pub fn start(&self) -> Outcome {
        self.outcome(&Credited::PLAIN)
    }

    /// The privileges of a program that it starts, including those that `file` adds.
    ///
    /// # Errors
    /// The file's metadata cannot be read.
    pub fn start_with(&self, file: &File) -> io::Result<Outcome> {
        Ok(self.outcome(&look_at(file, self.known)?))
    }

    fn outcome(&self, file: &Credited) -> Outcome {
        let caller = Caller { groups: &self.groups, ..self.caller };
        let (set_id, capable) = (file.is_set_id(), file.capabilities.is_some());
        Outcome {
            privileges: caller.start(file),
            ids: if caller.no_new_privs { (caller.uid.effective, caller.gid.effective) } else { caller.ids_with(file) },
            set_id,
            capable,
            // For file capabilities only nosuid counts (`Caller::ignores`).
            ignored: caller.ignores(file).filter(|why| set_id || capable && *why == Ignored::Nosuid),
        }
    }
}

/// Capabilities, one bit each.
struct Found {
    held: u64,
    /// The capabilities that the kernel knows.
    known: u64,
}

/// All capabilities that the kernel knows, and those for which `is_set` returns true.
fn every(is_set: impl Fn(CapabilitySet) -> rustix::io::Result<bool>) -> Found {
    let mut found = Found { held: 0, known: 0 };
    for bit in (0..u64::BITS).map(|number| 1 << number) {
        let Ok(set) = is_set(CapabilitySet::from_bits_retain(bit)) else { break };
        found.known |= bit;
        found.held |= if set { bit } else { 0 };
    }
    found
}

fn look_at(file: &File, known: u64) -> io::Result<Credited> {
    let metadata = file.metadata()?;
    let mut attribute = [0; LONGEST];
    // It fails if the file has no capabilities, if they are for another namespace (EOVERFLOW), or
    // if the file system does not support them.
    let len = fgetxattr(file, ATTRIBUTE, &mut attribute).unwrap_or(0);
    let (uids, gids) = (id_map(UID_MAP), id_map("/proc/self/gid_map"));
    Ok(Credited {
        mode: metadata.mode(),
        uid: mapped(metadata.uid(), &uids),
        gid: mapped(metadata.gid(), &gids),
        nosuid: fstatvfs(file).is_ok_and(|mount| mount.f_flag.contains(StatVfsMountFlags::NOSUID)),
        capabilities: capabilities(&attribute[..len], known, &uids),
    })
}

/// `id`, if the user namespace maps it. The kernel shows an id that is not mapped as 65534. A
/// namespace with more than 65534 ids can map 65534 itself, but such a file more likely belongs to
/// a user outside.
fn mapped(id: u32, map: &[Range]) -> Option<u32> {
    let everything = map.is_empty() || map.iter().any(|range| range.inside == 0 && range.len == u32::MAX);
    Some(id).filter(|id| everything || *id != OVERFLOW)
}

/// The user namespace of this process.
pub struct UserNamespace {
    /// Its users; `None` without /proc.
    map: Option<Vec<Range>>,
    /// The owners of files that belong to root of the system.
    owners: Vec<u32>,
}

impl UserNamespace {
    /// Looks at the namespace.
    pub fn this() -> Self {
        let map = fs::metadata(UID_MAP).is_ok().then(|| id_map(UID_MAP));
        let owner = |path: &&str| fs::metadata(path).ok().map(|found| found.uid());
        UserNamespace { map, owners: ["/", "/proc/1"].iter().filter_map(owner).collect() }
    }

    /// Whether its root is an ordinary user outside, or nobody, so that no root here may change the
    /// system. In a namespace below such a one, root is root one level up, but not the owner of the
    /// system's files.
    pub fn is_of_another(&self) -> bool {
        let Some(map) = &self.map else { return false };
        let everything = map.iter().any(|range| range.inside == 0 && range.len == u32::MAX);
        let is_root = map.iter().any(|range| range.inside == 0 && range.outside == 0);
        !everything && (!is_root || self.owners.contains(&OVERFLOW))
    }

    /// Whether the user `id` exists in it.
    pub fn has(&self, id: u32) -> bool {
        let within = |range: &Range| range.inside <= id && id - range.inside < range.len;
        self.map.as_ref().is_none_or(|map| map.iter().any(within))
    }
}

/// A line of a user namespace's uid or gid map.
struct Range {
    inside: u32,
    outside: u32,
    len: u32,
}

/// The map in the file at `path`; empty without /proc.
fn id_map(path: &str) -> Vec<Range> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(range).collect()
}

fn range(line: &str) -> Option<Range> {
    let mut numbers = line.split_whitespace().map(|number| number.parse().ok());
    Some(Range { inside: numbers.next()??, outside: numbers.next()??, len: numbers.next()?? })
}

/// The capabilities in `attribute` (struct `vfs_ns_cap_data`) that the kernel knows. They count
/// only in user namespaces whose root is the uid that they are for, and in namespaces below those.
/// getxattr(2) translates that uid for this namespace. It leaves the uid out if the capabilities
/// count here and the uid is 0 or not mapped (security/commoncap.c, `cap_inode_getsecurity`).
fn capabilities(attribute: &[u8], known: u64, map: &[Range]) -> Option<Capabilities> {
    let word = |index: usize| bytes::array(attribute, index * 4).map(u32::from_le_bytes);
    let magic = word(0)?;
    // VFS_CAP_REVISION_1 has one pair of words, the others have two; in VFS_CAP_REVISION_3 a uid
    // follows.
    let (pairs, root) = match magic >> 24 {
        1 => (1, 0),
        2 => (2, 0),
        3 => (2, word(5)?),
        _ => return None,
    };
    let outside = map.iter().find(|range| range.inside <= root && root - range.inside < range.len);
    let is_root_outside = outside.is_some_and(|range| range.outside + (root - range.inside) == 0);
    if root != 0 && !is_root_outside {
        return None;
    }
    let set = |first: usize| {
        let upper = if pairs == 2 { word(first + 2)? } else { 0 };
        Some((u64::from(upper) << 32 | u64::from(word(first)?)) & known)
    };
    Some(Capabilities { permitted: set(1)?, inheritable: set(2)?, effective: magic & 1 != 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An attribute with these words.
    fn read(words: &[u32], map: &str) -> Option<Capabilities> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let map: Vec<Range> = map.lines().filter_map(range).collect();
        capabilities(&bytes, u64::MAX, &map)
    }

    #[test]
    fn root_of_another_users_namespace_is_told_from_root() {
        let namespace = |map: &str, owners: &[u32]| UserNamespace {
            map: Some(map.lines().filter_map(range).collect()),
            owners: owners.to_vec(),
        };
        for (map, owners, another) in [
            ("0 0 4294967295", &[0, 0][..], false),
            // Root made it.
            ("0 0 1", &[0, 0], false),
            ("0 0 65536", &[0, 0], false),
            // A directory of nobody's, as seen from the first namespace.
            ("0 0 4294967295", &[OVERFLOW], false),
            ("0 1000 1", &[OVERFLOW, OVERFLOW], true),
            // A container of an ordinary user, which has files of its own.
            ("0 1000 1\n1 100000 65536", &[0, 0], true),
            // The same once more.
            ("0 0 1", &[OVERFLOW, OVERFLOW], true),
            ("0 0 1", &[0, OVERFLOW], true),
            // No user is root.
            ("1000 1000 1", &[1000], true),
            ("", &[OVERFLOW, OVERFLOW], true),
        ] {
            assert_eq!(namespace(map, owners).is_of_another(), another, "{map:?} {owners:?}");
        }
        assert!(namespace("5 0 3", &[]).has(7) && !namespace("5 0 3", &[]).has(8) && !namespace("", &[]).has(0));
        assert!(UserNamespace { map: None, owners: Vec::new() }.has(0));
    }

    #[test]
    fn attributes_are_read_in_all_their_forms() {
        let is = |permitted, inheritable, effective| Some(Capabilities { permitted, inheritable, effective });
        assert_eq!(read(&[0x0100_0001, 1 << 13, 4], ""), is(1 << 13, 4, true));
        assert_eq!(read(&[0x0200_0000, 1 << 13, 0, 1, 2], ""), is(1 << 32 | 1 << 13, 2 << 32, false));
        assert_eq!(read(&[0x0200_0001, 1 << 13, 0, 1], ""), None);
        assert_eq!(read(&[0x0300_0001, 1 << 13, 0, 0, 0, 0], "0 1000 1"), is(1 << 13, 0, true));
        assert_eq!(read(&[0x0300_0001, 1 << 13, 0, 0, 0, 1000], "1000 0 1"), is(1 << 13, 0, true));
        assert_eq!(read(&[0x0300_0001, 1 << 13, 0, 0, 0, 1000], "0 0 4294967295"), None);
        assert_eq!(read(&[0x0400_0001, 1 << 13, 0, 0, 0, 0], ""), None);
        assert_eq!(read(&[], ""), None);
    }
}
