//! The ids of a user namespace that this process makes.
//!
//! Only a process outside the namespace may map more than one id, so a helper process is started
//! before the namespace is made, and maps the ids afterwards. For root it maps each id to itself.
//! For any other user it maps the ids that `/etc/subuid` and `/etc/subgid` (subuid(5), subgid(5))
//! give to the user, through the set-user-ID programs newuidmap(1) and newgidmap(1): the user
//! becomes root, and the other ids follow from 1 on, as with `podman unshare`. Where that is
//! impossible, the process maps its own id to root's.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{self, Child, Command, Stdio};

use dispatch_core::message::Text;
use nix::unistd::{Gid, Uid, getegid, geteuid};
use rustix::fs::{StatVfsMountFlags, fgetxattr, fstatvfs};
use rustix::thread;

use super::helper;
use crate::failure::{show, text, warn};

/// A kind of ids.
struct Kind {
    /// What messages call these ids.
    ids: &'static str,
    /// Their map, below `/proc/PID`.
    map: &'static str,
    /// The file with the ranges of each user.
    file: &'static str,
    /// The program that maps them.
    program: &'static str,
    /// The option of usermod(8) that gives a user a range.
    option: &'static str,
}

const USERS: Kind =
    Kind { ids: "user ids", map: "uid_map", file: "/etc/subuid", program: "newuidmap", option: "--add-subuids" };
const GROUPS: Kind =
    Kind { ids: "group ids", map: "gid_map", file: "/etc/subgid", program: "newgidmap", option: "--add-subgids" };

/// The bit of a file's mode (inode(7)).
const SET_USER_ID: u32 = 0o4000;
/// The extended attribute that holds a file's capabilities (capabilities(7)), and the length of its
/// longest form, in bytes: `VFS_CAP_REVISION_3`.
const CAPABILITIES: &str = "security.capability";
const MOST_CAPABILITIES: usize = 24;

/// The first id that useradd(8) gives to a user as a subordinate one, and how many it gives
/// (`SUB_UID_MIN` and `SUB_UID_COUNT` in login.defs(5)).
const USUAL_RANGE: Range = Range { first: 100_000, count: 65_536 };

/// The ids `first`, `first + 1`, …
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: u32,
    count: u32,
}

impl Range {
    fn last(self) -> u32 {
        self.first.saturating_add(self.count.saturating_sub(1))
    }

    fn overlaps(self, other: Range) -> bool {
        self.first <= other.last() && other.first <= self.last()
    }
}

/// Begins a line of the helper's report that says why ids are not mapped.
const PROBLEM: char = '!';

/// A helper process outside the namespace, which maps the ids when it is told to.
pub struct Mapper {
    /// `None` if it could not be started.
    child: Option<Child>,
    uid: u32,
    gid: u32,
}

impl Mapper {
    /// Starts the helper. This has to precede the namespace.
    pub fn start() -> Self {
        let mut command = helper::command("write-maps");
        command.arg(process::id().to_string());
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        if let Err(error) = &child {
            log::info!("the helper that maps ids cannot be started: {}", text(error));
        }
        Mapper { child: child.ok(), uid: geteuid().as_raw(), gid: getegid().as_raw() }
    }

    /// Has the helper map the ids of this process's new namespace, and maps one id of each kind
    /// that the helper has not mapped. That is a warning if `others` are needed.
    ///
    /// # Errors
    /// Not even the process's own id can be mapped.
    pub fn map(self, others: bool) -> io::Result<()> {
        if let Some(mut child) = self.child {
            // A helper that does not learn it maps nothing.
            let _ = child.stdin.take().map(|mut stdin| stdin.write_all(b"\n"));
            let said = child.wait_with_output().map(|output| output.stdout).unwrap_or_default();
            for line in String::from_utf8_lossy(&said).lines() {
                match line.strip_prefix(PROBLEM) {
                    Some(problem) if others => warn(problem),
                    Some(problem) => log::info!("{problem}"),
                    None => log::info!("{line}"),
                }
            }
        }
        let users = own(&USERS, self.uid)?;
        let groups = own(&GROUPS, self.gid)?;
        log::info!("in a user namespace of its own, with user ids: {users}, group ids: {groups}");
        Ok(())
    }
}

/// Maps each of `ids`, those that this process had before it made its namespace, to itself.
///
/// # Errors
/// The kernel forbids it.
pub fn keep((uid, gid): (Uid, Gid)) -> io::Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write(format!("/proc/self/{}", USERS.map), format!("{uid} {uid} 1"))?;
    fs::write(format!("/proc/self/{}", GROUPS.map), format!("{gid} {gid} 1"))
}

/// Maps `id` to root's unless ids of this kind are mapped already. Returns how many ids there are.
fn own(kind: &Kind, id: u32) -> io::Result<u64> {
    let path = format!("/proc/self/{}", kind.map);
    if number_of_ids(&fs::read_to_string(&path)?) == 0 {
        if kind.map == GROUPS.map {
            // Otherwise a process could leave a group that denies it access (user_namespaces(7)).
            fs::write("/proc/self/setgroups", "deny")?;
        }
        fs::write(&path, format!("0 {id} 1"))?;
    }
    Ok(number_of_ids(&fs::read_to_string(&path)?))
}

/// The helper's part: waits for a line on standard input, then maps ids in the namespace of process
/// `pid`. If standard input ends without a line, nothing is mapped. Returns a report, in lines.
pub fn write(pid: u32) -> String {
    let told = io::stdin().read(&mut [0]).is_ok_and(|len| len == 1);
    let lines = match (told, geteuid().is_root()) {
        (false, _) => Vec::new(),
        (true, true) => [USERS, GROUPS].iter().filter_map(|kind| write_every_id(kind, pid).err()).map(Err).collect(),
        (true, false) => write_subordinate_ids(pid),
    };
    let line = |line| match line {
        Ok(done) => format!("{done}\n"),
        Err(problem) => format!("{PROBLEM}{problem}\n"),
    };
    lines.into_iter().map(line).collect()
}

/// A line of the report: what was done, or why it was not, and how to change that.
type Line = Result<String, String>;

/// Maps every id of this namespace to itself.
///
/// # Errors
/// This process may not, as in a container without `CAP_SETUID`.
fn write_every_id(kind: &Kind, pid: u32) -> Result<(), String> {
    let (from, to) = (format!("/proc/self/{}", kind.map), format!("/proc/{pid}/{}", kind.map));
    let written = fs::read_to_string(from).and_then(|map| fs::write(&to, identity(&map)));
    written.map_err(|error| format!("{to}: cannot be written, so the {} are one: {}", kind.ids, text(&error)))
}

/// The map that maps each id to itself, made from a map with lines "inside outside count".
fn identity(map: &str) -> String {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let &[inside, _, count] = &fields[..] else { return String::new() };
        format!("{inside} {inside} {count}\n")
    };
    map.lines().map(line).collect()
}

/// The number of ids in a map.
fn number_of_ids(map: &str) -> u64 {
    map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok()).sum()
}

/// Maps the subordinate ids of this user, those of both kinds or, if something is missing, of
/// neither: programs that give files to users give them to groups too.
fn write_subordinate_ids(pid: u32) -> Vec<Line> {
    let kinds = [(USERS, geteuid().as_raw()), (GROUPS, getegid().as_raw())];
    let absent = kinds.iter().find(|(kind, _)| which::which(kind.program).is_err());
    if let Some((Kind { program, .. }, _)) = absent {
        return vec![Err(format!("{program}: is not in PATH: for more than one id, install the package uidmap"))];
    }
    let read = |path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let owners = owners(&read("/etc/passwd"), geteuid().as_raw());
    let files = kinds.each_ref().map(|(kind, _)| read(kind.file));
    let ranges = files.each_ref().map(|file| ranges(file, Some(&owners)));
    let lacking = |index: &usize| ranges[*index].is_empty();
    let hint = |index: usize| Err(hint(&kinds[index].0, &files[index], &owners[0]));
    let hints: Vec<Line> = (0..kinds.len()).filter(lacking).map(hint).collect();
    if !hints.is_empty() {
        return hints;
    }
    let mut lines = Vec::new();
    for ((kind, own), ranges) in kinds.iter().zip(&ranges) {
        let mapped = kind.map(pid, *own, ranges);
        let failed = mapped.is_err();
        lines.push(mapped);
        if failed {
            break;
        }
    }
    lines
}

/// The names under which a user owns ranges: the user's names in `passwd` (passwd(5)), and the
/// number. A user of a directory service, whom `passwd` does not have, is whom $USER names;
/// newuidmap(1) verifies it.
fn owners(passwd: &str, uid: u32) -> Vec<String> {
    let uid = uid.to_string();
    let name = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1) == Some(&uid)).then(|| name.to_owned())
    };
    let mut owners: Vec<String> = passwd.lines().filter_map(name).collect();
    if owners.is_empty() {
        owners.extend(std::env::var("USER").ok().filter(|name| !name.is_empty()));
    }
    owners.push(uid);
    owners
}

/// The ranges of these owners in a file of subuid(5), or of all owners. Lines with faults are left
/// out, as newuidmap(1) ignores them.
fn ranges(file: &str, owners: Option<&[String]>) -> Vec<Range> {
    let range = |line: &str| {
        let fields: Vec<&str> = line.trim().split(':').collect();
        let &[owner, first, count] = &fields[..] else { return None };
        let range = Range { first: first.parse().ok()?, count: count.parse().ok().filter(|count| *count > 0)? };
        let owned = owners.is_none_or(|owners| owners.iter().any(|name| name == owner));
        (owned && first_and_last_exist(range)).then_some(range)
    };
    file.lines().filter_map(range).collect()
}

/// Whether all ids of a range exist. The last number is no id (-1 is "no change" for chown(2)).
fn first_and_last_exist(range: Range) -> bool {
    range.first.checked_add(range.count).is_some()
}

/// How a user without ids of this kind gets some: the usual number, behind all that are given
/// away in `file`.
fn hint(kind: &Kind, file: &str, name: &str) -> String {
    let ends = ranges(file, None).into_iter().map(|range| range.last().saturating_add(1));
    let first = ends.fold(USUAL_RANGE.first, u32::max);
    let last = Range { first, ..USUAL_RANGE }.last();
    let (path, name) = (kind.file, Text(name.as_bytes()));
    format!("{path}: has no ids for {name}: as root, run `usermod {} {first}-{last} {name}`", kind.option)
}

impl Kind {
    /// Runs the program that maps `own` to 0, and `ranges` to the numbers from 1 on.
    fn map(&self, pid: u32, own: u32, ranges: &[Range]) -> Line {
        let Kind { program, ids, .. } = self;
        let failed = |problem: String| format!("{program}: failed, so the {ids} are one: {problem}");
        let numbers = lines(own, ranges).into_iter().flatten().map(|number| number.to_string());
        let numbers: Vec<String> = numbers.collect();
        let mut command = Command::new(program);
        let output = command.arg(pid.to_string()).args(&numbers).output().map_err(|error| failed(text(&error)))?;
        if output.status.success() {
            return Ok(format!("{program}: mapped the {ids} {}", numbers.join(" ")));
        }
        if let Some(problem) = which::which(program).ok().and_then(|path| powerless(&path)) {
            return Err(failed(problem));
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let line = said.lines().next().unwrap_or_default();
        let line = line.strip_prefix(program).and_then(|line| line.strip_prefix(": ")).unwrap_or(line);
        Err(failed(if line.is_empty() { output.status.to_string() } else { Text(line.as_bytes()).to_string() }))
    }
}

/// Why the program at `path` gives this process no privileges, and what to do; `None` if it may have
/// some.
fn powerless(path: &Path) -> Option<String> {
    let file = File::open(path).ok()?;
    let (metadata, mount) = (file.metadata().ok()?, fstatvfs(&file).ok()?);
    let set_id = metadata.mode() & SET_USER_ID != 0 && metadata.uid() == 0;
    let path = show(path.as_os_str());
    if thread::no_new_privs().is_ok_and(|set| set) {
        Some("no_new_privs takes its privileges away: leave the sandbox that sets it".to_owned())
    } else if mount.f_flag.contains(StatVfsMountFlags::NOSUID) {
        Some(format!("nosuid takes its privileges away: mount the file system of {path} without"))
    } else if !set_id && fgetxattr(&file, CAPABILITIES, &mut [0; MOST_CAPABILITIES]).is_err() {
        Some(format!("{path} is not set-user-ID: as root, run `chmod u+s {path}`"))
    } else {
        None
    }
}

/// The lines "inside outside count" of a map. Ranges that have an id twice are left out, since the
/// kernel would refuse the whole map.
fn lines(own: u32, ranges: &[Range]) -> Vec<[u32; 3]> {
    let mut kept = vec![Range { first: own, count: 1 }];
    for range in ranges {
        if !kept.iter().any(|other| other.overlaps(*range)) {
            kept.push(*range);
        }
    }
    let mut inside = 0;
    let line = |range: Range| {
        let line = [inside, range.first, range.count];
        inside += range.count;
        line
    };
    kept.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_stands_for_itself() {
        assert_eq!(identity("         0          0 4294967295\n"), "0 0 4294967295\n");
        assert_eq!(identity("0 100000 65536\n65536 5 1\n"), "0 0 65536\n65536 65536 1\n");
        assert_eq!(identity("what"), "");
    }

    #[test]
    fn ids_are_counted() {
        assert_eq!(number_of_ids(""), 0);
        assert_eq!(number_of_ids("         0          0 4294967295\n"), 4_294_967_295);
        assert_eq!(number_of_ids("0 1000 1\n1 100000 65536\n"), 65_537);
    }

    #[test]
    fn users_are_found_by_name_and_number() {
        let passwd = "root:x:0:0::/root:/bin/sh\na:x:7:7:7:/:\n\n:x:7:\nb:x:7:1:::\nbroken\nc:x:77:7:::\n";
        assert_eq!(owners(passwd, 7), ["a", "b", "7"]);
        assert_eq!(owners(passwd, 0), ["root", "0"]);
        assert_eq!(owners(passwd, 8).last().unwrap(), "8");
    }

    #[test]
    fn ranges_are_those_of_the_owner() {
        let range = |first, count| Range { first, count };
        let file = "a:100000:65536\nb:165536:65536\n7:300000:10\naa:1:1\na:5:2\n";
        let owners = ["a".to_owned(), "7".to_owned()];
        assert_eq!(ranges(file, Some(&owners)), [range(100_000, 65_536), range(300_000, 10), range(5, 2)]);
        assert_eq!(ranges(file, None).len(), 5);
        for bad in ["a", "a:1", "a:1:2:3", "a:x:1", "a:1:0", "a:-1:5", "a:1:4294967295", "a:4294967296:1", ":1:1", ""] {
            assert_eq!(ranges(bad, Some(&owners)), [], "{bad}");
        }
        assert_eq!(ranges("a:4294967294:1", Some(&owners)), [range(u32::MAX - 1, 1)]);
    }

    #[test]
    fn maps_begin_with_the_user_and_have_no_id_twice() {
        let range = |first, count| Range { first, count };
        let ranges = [range(100_000, 10), range(100_009, 1), range(999, 2), range(5, 3), range(100_010, 1)];
        assert_eq!(lines(1000, &ranges), [[0, 1000, 1], [1, 100_000, 10], [11, 5, 3], [14, 100_010, 1]]);
        // Ranges without a common id are never more than all ids, so the sum fits.
        let all = [range(0, 1000), range(1001, u32::MAX - 1001)];
        assert_eq!(lines(1000, &all), [[0, 1000, 1], [1, 0, 1000], [1001, 1001, u32::MAX - 1001]]);
    }

    #[test]
    fn the_hint_names_ids_that_are_free() {
        let hint = |file| hint(&GROUPS, file, "me");
        let expected = "/etc/subgid: has no ids for me: as root, run `usermod --add-subgids 100000-165535 me`";
        assert_eq!(hint(""), expected);
        assert_eq!(hint("a:5:5\n"), expected);
        assert!(hint("a:165536:65536\nb:100000:65536\n").ends_with(" 231072-296607 me`"));
    }
}
