//! The ways in which the interpreter is started. Together they make every call of the table.

use serde_json::json;

use super::injector::Run;
use crate::support::{FOREIGN, Kind, Namespace, Row, Scratch, TOOL, dynamic_guest, patience, reporting};

/// A dynamic linker that never exists.
const LINKER: &str = "/nonexistent/ld-aarch64.so.1";
/// Seconds until a run counts as one that hangs.
const HANG: u32 = 20;
/// The offset of the headers of a guest that has them far into its file.
const FAR: usize = 0x1_0000;

/// A way to start the interpreter.
pub struct Scenario {
    scratch: Scratch,
    namespace: Namespace,
    /// Shell commands that run first.
    setup: String,
    /// A command that changes the user who starts the program.
    user: u32,
    /// The program, with argv.
    program: &'static str,
    /// Words in front of each job.
    prefix: &'static str,
    /// Whether the program is the command, and not a guest.
    pub command: bool,
    /// Whether the emulator is embedded and prelinked.
    pub prelinked: bool,
    /// Whether `AT_SECURE` is set.
    pub secure: bool,
    /// Exit code and text of the refusal that occurs without any fault; `None` if the guest runs.
    pub refused: Option<(i32, &'static str)>,
}

impl Scenario {
    fn new(scratch: Scratch, namespace: Namespace) -> Self {
        Scenario {
            scratch,
            namespace,
            setup: "export OTHER=1".to_owned(),
            user: 0,
            program: "./guest zero one two",
            prefix: "",
            command: false,
            prelinked: false,
            secure: false,
            refused: None,
        }
    }

    /// An embedded emulator, in an image that is written with `options`.
    fn inside(kind: Kind, options: &[&str]) -> Self {
        let (scratch, _) = reporting(kind);
        let namespace = Namespace::embedding(&scratch, options);
        Scenario { prelinked: kind != Kind::Fixed && options.is_empty(), ..Self::new(scratch, namespace) }
    }

    /// An emulator that is opened by its path, with a row that `change` changes.
    fn path(kind: Kind, change: impl FnOnce(&Scratch, Row) -> Row) -> Self {
        let (scratch, row) = reporting(kind);
        let row = change(&scratch, row);
        let namespace = Namespace::with_table(&scratch, &row.table());
        Self::new(scratch, namespace)
    }

    /// For a guest that an ordinary user starts and that becomes another user's.
    fn privileged(self) -> Self {
        let setup = "chmod 4755 guest; export OTHER=1 QEMU_ANY=1 QEMU_LD_PREFIX=/".to_owned();
        let namespace = self.namespace.flags("POCF").mapped();
        Scenario { namespace, setup, user: 1000, prelinked: false, secure: true, ..self }
    }

    /// For a guest whose dynamic linker is only below a sysroot.
    fn dynamic(far: bool) -> Self {
        let scenario = Self::path(Kind::Pie, |scratch, row| {
            scratch.write(format!("root{LINKER}"), "");
            row.with("sysroots", json!([scratch.at("none"), scratch.at("root")]))
        });
        let table = dispatch_table::ArchTable::builtin();
        let near = dynamic_guest(table.find(FOREIGN).unwrap().probe_elf(), LINKER);
        let mut guest = near.clone();
        if far {
            guest.resize(FAR, 0);
            guest.extend(&near);
            // e_phoff, and p_offset of PT_INTERP, which comes first.
            for (field, value) in [(32, 64), (FAR + 64 + 8, 64 + 2 * 56)] {
                guest[field..field + 8].copy_from_slice(&((FAR + value) as u64).to_le_bytes());
            }
        }
        scenario.scratch.write("guest", guest);
        scenario
    }

    /// Without standard input, so that the guest's descriptor is 0.
    fn without_input(self) -> Self {
        Scenario { prefix: "<&- ", ..self }
    }

    /// The results of these jobs, each in a process of its own.
    pub fn run(&self, jobs: &[String]) -> Vec<Run> {
        let lines: String = jobs.iter().map(|job| format!("{}{job}\n", self.prefix)).collect();
        self.scratch.write("jobs", lines);
        let script = format!("{}; $INJECT {} {} {} <jobs", self.setup, patience(HANG), self.user, self.program);
        let seen = self.namespace.run(&self.scratch, &script);
        let runs = Run::read_all(seen.succeeded().out());
        assert_eq!(runs.len(), jobs.len(), "{seen}");
        runs
    }

    /// The argument that passes a sysroot to the emulator, if there is one.
    pub fn sysroot(&self) -> String {
        self.scratch.at("root")
    }
}

/// All scenarios, by name.
pub mod all {
    use super::*;

    pub fn inside() -> Scenario {
        Scenario::inside(Kind::Pie, &[])
    }
    pub fn inside_without_input() -> Scenario {
        Scenario::inside(Kind::Pie, &[]).without_input()
    }
    pub fn inside_at_fixed_addresses() -> Scenario {
        Scenario::inside(Kind::Fixed, &[])
    }
    pub fn inside_aligned_and_not_prelinked() -> Scenario {
        Scenario::inside(Kind::Aligned, &["--no-prelink"])
    }
    pub fn privileged() -> Scenario {
        Scenario::inside(Kind::Pie, &[]).privileged()
    }
    pub fn privileged_and_aligned_without_input() -> Scenario {
        Scenario::inside(Kind::Aligned, &[]).privileged().without_input()
    }
    pub fn privileged_at_fixed_addresses() -> Scenario {
        Scenario::inside(Kind::Fixed, &[]).privileged()
    }
    pub fn privileged_with_an_emulator_outside() -> Scenario {
        let refused = Some((126, "this start is privileged"));
        Scenario { refused, ..Scenario::path(Kind::Pie, |_, row| row).privileged() }
    }
    pub fn privileged_with_an_emulator_to_execute() -> Scenario {
        let exec = |_: &Scratch, row: Row| row.with("strategy", json!("exec"));
        let refused = Some((126, "this start is privileged"));
        Scenario { refused, ..Scenario::path(Kind::Pie, exec).privileged() }
    }
    pub fn by_path() -> Scenario {
        Scenario::path(Kind::Pie, |_, row| row)
    }
    pub fn by_path_without_input() -> Scenario {
        Scenario::path(Kind::Pie, |_, row| row).without_input()
    }
    pub fn by_path_at_fixed_addresses() -> Scenario {
        Scenario::path(Kind::Fixed, |_, row| row)
    }
    pub fn by_path_aligned() -> Scenario {
        Scenario::path(Kind::Aligned, |_, row| row)
    }
    pub fn by_the_second_path() -> Scenario {
        Scenario::path(Kind::Pie, |scratch, row| {
            row.with("emulators", json!([scratch.at("missing"), scratch.at("emulator")]))
        })
    }
    pub fn without_an_emulator() -> Scenario {
        let missing = |scratch: &Scratch, row: Row| row.with("emulators", json!([scratch.at("missing")]));
        let words: &str = format!("no emulator for {FOREIGN}").leak();
        Scenario { refused: Some((127, words)), ..Scenario::path(Kind::Pie, missing) }
    }
    pub fn without_flag_p() -> Scenario {
        let scenario = Scenario::path(Kind::Pie, |_, row| row);
        Scenario { namespace: scenario.namespace.flags("OF"), ..scenario }
    }
    pub fn with_a_sysroot() -> Scenario {
        Scenario::dynamic(false)
    }
    pub fn with_a_sysroot_and_far_headers() -> Scenario {
        Scenario::dynamic(true)
    }
    pub fn with_a_row_for_its_directory() -> Scenario {
        // The same emulator as elsewhere, so that it makes no difference if the path is unknown.
        Scenario::path(Kind::Pie, |scratch, row| {
            row.with("below", json!([{"directory": scratch.at(""), "emulators": [scratch.at("emulator")]}]))
        })
    }
    pub fn executed_by_the_rows_wish() -> Scenario {
        Scenario::path(Kind::Pie, |_, row| row.with("strategy", json!("exec")))
    }
    pub fn executed_as_it_is_dynamic() -> Scenario {
        Scenario::path(Kind::Dynamic, |_, row| row)
    }
    pub fn started_by_hand() -> Scenario {
        let scratch = Scratch::new();
        crate::support::tool(&["image", "--no-emulators", "--seed", "0", "-o", &scratch.at("image")]);
        assert!(std::path::Path::new(TOOL).is_file());
        let namespace = Namespace::with_lines("by hand", String::new());
        let program = "./image binfmt-dispatch --version";
        Scenario { program, command: true, prelinked: true, ..Scenario::new(scratch, namespace) }
    }
}
