//! Remains of the interpreter in a guest's memory. An emulator does not isolate its guest: a guest
//! may read the whole memory of its process. So everything that is left there must also be in a
//! public file.

use dispatch_core::image::{ImageHeader, ProgramRecord};
use dispatch_core::record::Field;

use crate::lab::Lab;
use crate::support::{Elf, Release, need, page};

/// `p_type` of a segment to map.
const PT_LOAD: u32 = 1;
/// Largest memory that the interpreter may leave behind, in bytes.
const LEFT_BEHIND: usize = 64 * 1024;

/// Runs a program until it stops itself. Saves its memory map, and the pages that come from the
/// image.
const STOPPED: &str = r"
setpriv --reuid 1000 --regid 1000 --clear-groups ../$program wait >out &
until grep -q '^State:.T' /proc/$!/status; do sleep 0.02; done
cp /proc/$!/maps maps
grep '/image$' maps | while IFS='- ' read -r start end rest; do
    dd if=/proc/$!/mem of=pages.$start bs=4096 skip=$((0x$start / 4096)) count=$(((0x$end - 0x$start) / 4096)) status=none
done
kill -9 $!
";

/// A part of the process's memory that comes from the image.
struct Mapping {
    start: u64,
    writable: bool,
    offset: usize,
    bytes: Vec<u8>,
}

/// The parts that come from the image in the memory of `program`, by address.
fn mappings(lab: &Lab, program: &str) -> Vec<Mapping> {
    let seen = lab.run(&format!("rm -f pages.*; program={program}{STOPPED}"), "");
    let read = |name: &str| std::fs::read(lab.scratch.path().join("attacker").join(name)).unwrap();
    let out = String::from_utf8(read("out")).unwrap();
    assert!(out.contains(if program == "victim" { "\nsecure 1\n" } else { "\nsecure 0\n" }), "{out}{seen}");
    let maps = String::from_utf8(read("maps")).unwrap();
    let mapping = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let start = words[0].split('-').next().unwrap();
        Mapping {
            start: u64::from_str_radix(start, 16).unwrap(),
            writable: words[1].contains('w'),
            offset: usize::from_str_radix(words[2], 16).unwrap(),
            bytes: read(&format!("pages.{start}")),
        }
    };
    maps.lines().filter(|line| line.ends_with("/image")).map(mapping).collect()
}

#[test]
fn nothing_is_left_that_is_not_in_a_public_file() {
    need!(Namespace, Root, Compiler, CrossCompilers, BothQemus);
    for release in Release::ALL {
        let lab = Lab::ours(release);
        let found = mappings(&lab, "victim");
        let image = Elf(std::fs::read(lab.scratch.at("image")).unwrap());
        let last = *image.program_headers(PT_LOAD).last().unwrap();
        let payload = usize::try_from(image.word(last + 8)).unwrap();
        let header = ImageHeader::read(&image.0[payload..]).unwrap();
        let record = payload + usize::try_from(header.programs.offset).unwrap() + ProgramRecord::SIZE;
        let body = ProgramRecord::read(&image.0[record..]).unwrap().body;
        let start = payload + usize::try_from(body.offset).unwrap();
        let emulator = start..start + usize::try_from(body.len).unwrap();

        // Of the payload, the emulator and the table are mapped, but not the command or another
        // emulator.
        let (theirs, ours): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|mapping| emulator.contains(&mapping.offset));
        assert!(!theirs.is_empty());
        let table = payload + usize::try_from(header.table.offset + header.table.len).unwrap();
        let ends = ours.iter().map(|mapping| mapping.offset + mapping.bytes.len());
        // The name of the emulator follows the table.
        assert!(ends.max().unwrap() <= table.next_multiple_of(page()) + page());
        // The interpreter is mapped too. It contains only bytes of its file, its own addresses, and
        // zeros: the kernel clears the last page of its data after what the file has of it.
        let left: usize = ours.iter().map(|mapping| mapping.bytes.len()).sum();
        assert!((1..=LEFT_BEHIND).contains(&left), "{left} bytes");
        let low = ours.iter().map(|mapping| mapping.start).min().unwrap();
        let own = low..low + LEFT_BEHIND as u64;
        for mapping in &ours {
            let file = image.0[mapping.offset..].chunks_exact(8);
            for (word, stored) in mapping.bytes.chunks_exact(8).zip(file) {
                let address = u64::from_le_bytes(word.try_into().unwrap());
                let changed = mapping.writable && (address == 0 || own.contains(&address));
                assert!(word == stored || changed, "{word:x?} is not {stored:x?} at {:x}", mapping.start);
            }
        }
    }
}

#[test]
fn where_a_privileged_program_lies_cannot_be_known() {
    need!(Namespace, Root, Compiler, CrossCompilers, BothQemus);
    for release in Release::ALL {
        let lab = Lab::ours(release);
        // The emulator is the largest part.
        let base = |program| {
            let found = mappings(&lab, program);
            found.iter().max_by_key(|mapping| mapping.bytes.len()).unwrap().start
        };
        let (plain, again) = (base("plain"), base("plain"));
        assert_eq!(plain, again, "prelinked, it always lies where it was prelinked for");
        let [first, second] = [base("victim"), base("victim")];
        assert!(first != second && first != plain && second != plain, "{plain:x} {first:x} {second:x}");
    }
}
