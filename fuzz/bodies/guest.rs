//! Any bytes as a foreign program: its header is read or refused, the table's choice agrees with
//! the kernel's rules, and the plan never opens a path for a privileged guest.

use std::ffi::CStr;
use std::sync::OnceLock;

use dispatch_core::elf::{Class, Data, Machine, PT_GNU_PROPERTY, PT_INTERP};
use dispatch_core::emulator_file::{HEAD, Host};
use dispatch_core::handoff::Invocation;
use dispatch_core::image::Image;
use dispatch_core::pipeline::{
    self, Emulator, PART, Part, Process, START, World, choose, find_emulator, find_sysroot, identify,
};
use dispatch_core::plan::{Cpu, ENOENT};
use dispatch_core::table::Identity;
use dispatch_core::{Guest, Refusal, Row, Rule, Table};
use dispatch_table::{ArchTable, Asked, Assignment};

const HOST: Host = Host { machine: Machine(62), class: Class::Elf64, data: Data::Little };
/// Number of bytes of a program that the interpreter reads at once.
const READ: usize = 1024;
/// A row with a larger model, so that the notes of programs are read.
const MODELS: &str = r#"{"version": 1, "architectures": [{"name": "aarch64",
    "property": {"type": "0xc0000000", "bits": ["one", "two"], "required": true},
    "versions": [{"since": "7.0", "cpu": "usual", "lacks": ["two"], "larger_cpu": "larger"}],
    "below": [{"directory": "/old", "options": ["-x"]}]}]}"#;
/// Where the program is, and whether its directory has a row of its own.
const PLACES: [(&[u8], bool); 2] = [(b"/old/program", true), (b"/older/program", false)];

fn table() -> &'static [u8] {
    static TABLE: OnceLock<Vec<u8>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let version = "7.2".parse().ok();
        let asked = Asked { file: identity(), path: "/emulator".into(), version: "7.2".into() };
        let given = Assignment { version, asked: Some(asked), ..Assignment::default() };
        let given = [("aarch64", given.clone()), ("aarch64 below /old", given)];
        ArchTable::builtin().merge(MODELS).expect("a good row").compile_with(&given)
    })
}

/// The kernel's rules, each with its row.
fn rules() -> &'static [(Row<'static>, Rule)] {
    static RULES: OnceLock<Vec<(Row<'static>, Rule)>> = OnceLock::new();
    RULES.get_or_init(|| {
        let rows = Table::read(table()).expect("the compiler's own").rows().map(|row| row.expect("the compiler's own"));
        rows.flat_map(|row| Rule::of_row(&row).map(move |rule| (row, rule.rule))).collect()
    })
}

/// Returns whether a row of the table accepts the program.
pub fn run(bytes: &[u8]) -> bool {
    let table = Table::read(table()).expect("the compiler's own");
    let chosen = Guest::identify(&bytes[..bytes.len().min(READ)]).map_err(Refusal::BadHeader).and_then(|guest| {
        let headers = guest.program_headers();
        assert!(headers.start <= headers.end);
        let rest = bytes.get(usize::try_from(headers.start).unwrap_or(usize::MAX)..).unwrap_or_default();
        for kind in [PT_INTERP, PT_GNU_PROPERTY] {
            assert!(guest.segment(rest, kind).is_none_or(|segment| segment.start <= segment.end));
        }
        let _ = guest.property(bytes, 0xc000_0000);
        table.choose(&guest)
    });
    // The kernel would pass on exactly the headers that have a row, except those with errors in
    // fields that no rule compares.
    let rows: Vec<Row<'_>> = rules().iter().filter(|(_, rule)| rule.accepts(bytes)).map(|(row, _)| *row).collect();
    match chosen {
        Ok(row) => assert_eq!(rows, [row]),
        Err(Refusal::BadHeader(_)) => assert!(rows.len() <= 1),
        Err(_) => assert!(rows.is_empty(), "{rows:?}"),
    }
    for (secure, (path, below)) in [false, true].into_iter().flat_map(|secure| PLACES.map(|place| (secure, place))) {
        plan(bytes, (path, below), table, secure, chosen.ok());
    }
    chosen.is_ok()
}

fn plan(bytes: &[u8], (path, below): (&[u8], bool), table: Table<'_>, secure: bool, row: Option<Row<'_>>) {
    let known = row.is_some();
    let mut files = Disk { guest: bytes, path, opened: 0 };
    let invocation = Invocation { path: 1, argv0: 2 };
    let process = Process { secure, host: HOST, page: 4096 };
    let (image, mut start, mut head) = (Image::without_programs(table), [0; START], [0; HEAD]);
    let mut part = [0; PART];
    let planned = identify(&mut files, File::Guest, &mut start).and_then(|guest| {
        let mut row = choose(&mut files, &table, &guest, process, &mut part)?;
        let emulator = find_emulator(&mut files, &image, &mut row, process, &mut head)?;
        let sysroot = find_sysroot(&mut files, &guest, &row, process, &mut part)?;
        assert!(!secure || sysroot.is_none());
        Ok((pipeline::plan(&mut files, &guest, &row, &emulator, process, invocation, sysroot), emulator))
    });
    match planned {
        Ok((plan, emulator)) => {
            assert!(known && !secure && matches!(emulator, Emulator::Mapped { file: File::Emulator, .. }));
            let tuned = row.is_some_and(|row| row.name() == c"aarch64");
            assert_eq!(tuned, matches!(plan.cpu, Cpu::Table(_)), "it is the emulator that was asked");
            assert_eq!(plan.options.iter().any(|option| option == c"-x"), tuned && below, "the directory decides");
        }
        Err(refusal) => {
            assert_eq!(known, secure && matches!(refusal, Refusal::Privileged { .. }));
            assert!((125..=127).contains(&refusal.exit_code()));
            assert!(!refusal.to_string().contains(char::is_control), "{refusal}");
        }
    }
    assert!(!secure || files.opened == 0, "security rule 1: no path chooses what a privileged guest runs");
}

#[derive(Clone, Copy, PartialEq)]
enum File {
    Guest,
    Emulator,
}

/// The guest, an emulator at every path, and a dynamic linker below every sysroot.
struct Disk<'g> {
    guest: &'g [u8],
    path: &'g [u8],
    opened: usize,
}

impl World for Disk<'_> {
    type File = File;

    fn open(&mut self, _: &CStr) -> Result<File, i32> {
        self.opened += 1;
        Ok(File::Emulator)
    }

    fn read_at<'b>(&mut self, file: File, buffer: &'b mut [u8], offset: u64) -> Result<&'b [u8], i32> {
        let bytes = if file == File::Guest { self.guest } else { emulator() };
        let rest = bytes.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(&buffer[..len])
    }

    fn identity(&mut self, _: File) -> Result<Identity, i32> {
        Ok(identity())
    }

    fn look_for(&mut self, root: &CStr, _: &CStr) -> Result<(), i32> {
        if root.is_empty() { Err(ENOENT) } else { Ok(()) }
    }

    fn path<'b>(&mut self, _: File, buffer: &'b mut Part) -> Option<&'b [u8]> {
        let buffer = buffer.get_mut(..self.path.len())?;
        buffer.copy_from_slice(self.path);
        Some(buffer)
    }

    fn env_is_set(&mut self, _: &[u8]) -> bool {
        false
    }
}

/// Which file it is.
fn identity() -> Identity {
    Identity { size: emulator().len() as u64, inode: 1, seconds: 2, nanoseconds: 3 }
}

/// The smallest program for this host: the probe of its row.
fn emulator() -> &'static [u8] {
    static PROBE: OnceLock<Vec<u8>> = OnceLock::new();
    PROBE.get_or_init(|| {
        let table = ArchTable::builtin();
        let row = table.architectures().iter().find(|row| row.machine[0].number == HOST.machine.0);
        row.expect("the table has this host").probe_elf()
    })
}
