//! Each refusal with its message, the compiled form read back, and the probe.

use dispatch_core::elf::{Class, Data, Machine};
use dispatch_core::table::{Argv0, Strategy};
use dispatch_core::{Guest, Table};

use crate::{ArchTable, Flags};

/// A table of two rows in which every field is used; the refusals below are edits of it.
const GOOD: &str = r#"{
"version": 1,
"architectures": [
{"name": "one", "aliases": ["uno", "one/v2"], "machine": [{"name": "EM_A", "number": 4660}, {"name": "EM_B", "number": 7}],
 "class": 32, "data": "big", "flags": {"mask": "0x0000e020", "value": "0x20"}, "osabi": [0, 1, 97],
 "emulators": ["emu", "/bin/emu"], "options": ["-x", ""], "environment": {"Z": "1", "A": "b=c"},
 "sysroots": ["/one"], "native_on": ["one", "two"], "argv0": "dash-zero", "strategy": "exec",
 "probe": {"code": "0a0B", "flags": "0x00000021"}, "notes": ""},
{"name": "two", "aliases": [], "machine": [{"name": "EM_B", "number": 7}],
 "class": 64, "data": "little",
 "emulators": ["/bin/two"], "options": [], "environment": {},
 "sysroots": [], "native_on": [], "argv0": "none",
 "probe": {"code": "00", "flags": "0x0"}, "notes": ""}
]}"#;

/// The message for [`GOOD`] after one edit.
#[track_caller]
fn refusal(from: &str, to: &str) -> String {
    assert_eq!(GOOD.matches(from).count(), 1, "the edit must have one place: {from}");
    match ArchTable::parse(&GOOD.replace(from, to)) {
        Ok(_) => panic!("accepted with {to}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn rows_of_another_table_replace_or_are_added() {
    let table = ArchTable::parse(GOOD).unwrap();
    let one_row = |row: &str| format!(r#"{{"version": 1, "architectures": [{row}]}}"#);
    let rows = &GOOD[GOOD.find(r#"{"name": "two""#).unwrap()..GOOD.rfind("\n]}").unwrap()];
    let replaced = table.clone().merge(&one_row(&rows.replace("/bin/two", "/opt/two"))).unwrap();
    assert_eq!(replaced.architectures.len(), 2);
    assert_eq!(replaced.find("two").unwrap().emulators, ["/opt/two"]);
    let third = rows.replace(r#""two""#, r#""three""#).replace(r#""number": 7"#, r#""number": 8"#);
    assert_eq!(table.clone().merge(&one_row(&third)).unwrap().architectures.len(), 3);

    let refusal = |row: &str| table.clone().merge(&one_row(row)).unwrap_err().to_string();
    let ambiguous = third.replace(r#""number": 8"#, r#""number": 7"#);
    assert!(refusal(&ambiguous).contains("two"), "{}", refusal(&ambiguous));
    assert!(refusal(&format!("{third},{third}")).contains("three"), "not the last one, silently");
}

#[test]
fn fields_have_the_values_of_the_json() {
    let table = ArchTable::parse(GOOD).unwrap();
    let [one, two] = &table.architectures[..] else { panic!("{table:?}") };
    assert_eq!((one.class, one.data), (Class::Elf32, Data::Big));
    assert_eq!((two.class, two.data), (Class::Elf64, Data::Little));
    assert_eq!((one.flags, two.flags), (Some(Flags { mask: 0xe020, value: 0x20 }), None));
    assert_eq!((&one.osabi[..], &two.osabi[..]), (&[0, 1, 97][..], &[0, 1, 2, 3][..]));
    assert_eq!((one.argv0, two.argv0), (Argv0::DashZero, Argv0::None));
    assert_eq!((one.strategy, two.strategy), (Strategy::Exec, Strategy::Map));
    assert_eq!((&one.probe.code[..], one.probe.flags), (&[0x0a, 0x0b][..], 0x21));
    let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(one.environment, [setting("Z", "1"), setting("A", "b=c")]);
    assert_eq!(one.emulator_names().collect::<Vec<_>>(), ["emu"]);
    assert_eq!(one.emulator_paths().collect::<Vec<_>>(), ["/bin/emu"]);
}

#[test]
fn architectures_are_found_by_name_and_alias() {
    let table = ArchTable::builtin();
    let found = |name| table.find(name).map(|architecture| architecture.name.as_str());
    assert_eq!(found("aarch64"), Some("aarch64"));
    assert_eq!(found("arm64"), Some("aarch64"));
    assert_eq!(found("linux/arm64"), Some("aarch64"));
    assert_eq!(found("linux/arm/v7"), Some("arm"));
    for absent in ["", "ARM64", "arm6", "linux/", "linux/linux/arm64", "linux"] {
        assert_eq!(found(absent), None, "{absent}");
    }
}

#[test]
fn entries_are_named_after_what_tells_them_apart() {
    let names = |table: &ArchTable, architecture| -> Vec<String> {
        table.find(architecture).unwrap().rules().into_iter().map(|entry| entry.name).collect()
    };
    let builtin = ArchTable::builtin();
    assert_eq!(names(&builtin, "aarch64"), ["qemu-aarch64"]);
    assert_eq!(names(&builtin, "i386"), ["qemu-i386", "qemu-i386-em6"]);
    assert_eq!(names(&builtin, "arm"), ["qemu-arm", "qemu-arm-osabi65", "qemu-arm-osabi97"]);
    assert_eq!(names(&builtin, "microblaze"), ["qemu-microblaze", "qemu-microblaze-em47787"]);
    let both = ["qemu-one", "qemu-one-osabi97", "qemu-one-em7", "qemu-one-em7-osabi97"];
    assert_eq!(names(&ArchTable::parse(GOOD).unwrap(), "one"), both);
}

#[test]
fn what_is_not_json_is_refused_with_its_place() {
    assert_eq!(refusal("\"class\": 32,", "\"class\": 32,,"), "line 5, column 14: key must be a string");
    assert_eq!(
        refusal("\"class\": 32", "\"class\": 31"),
        "line 5, column 12: invalid value: integer `31`, expected 32 or 64"
    );
    assert_eq!(
        refusal("\"big\"", "\"middle\""),
        "line 5, column 30: unknown variant `middle`, expected `little` or `big`"
    );
    assert_eq!(refusal("\"exec\"", "\"fork\""), "line 7, column 92: unknown variant `fork`, expected `map` or `exec`");
    assert_eq!(
        refusal("\"none\"", "\"-0\""),
        "line 12, column 47: unknown variant `-0`, expected one of `dash-zero`, `auxv`, `none`"
    );
    assert_eq!(
        refusal("\"osabi\": [0", "\"osabi\": [256"),
        "line 5, column 92: invalid value: integer `256`, expected u8"
    );
    assert_eq!(refusal("4660", "65536"), "line 4, column 90: invalid value: integer `65536`, expected u16");
    for number in ["20", "0x", "0x+1", "0x123456789"] {
        let expected = "expected a 32-bit number like \"0x0000e020\"";
        let column = 73 + number.len();
        let message = format!("line 5, column {column}: invalid value: string \"{number}\", {expected}");
        assert_eq!(refusal("\"0x20\"", &format!("\"{number}\"")), message);
    }
    for code in ["0", "0g", "0x00", "+0"] {
        let expected = "expected an even number of hexadecimal digits";
        let column = 21 + code.len();
        let message = format!("line 8, column {column}: invalid value: string \"{code}\", {expected}");
        assert_eq!(refusal("\"0a0B\"", &format!("\"{code}\"")), message);
    }
    let fields = "expected one of `name`, `aliases`, `machine`, `class`, `data`, `flags`, `osabi`, `emulators`, `options`, \
                  `versions`, `cpu`, `cpus`, `property`, `environment`, `sysroots`, `native_on`, `argv0`, `strategy`, `probe`, `notes`";
    assert_eq!(refusal("\"strategy\"", "\"stratgy\""), format!("line 7, column 83: unknown field `stratgy`, {fields}"));
    assert_eq!(refusal(", \"native_on\": []", ""), "line 13, column 54: missing field `native_on`");
    assert!(refusal("\"strategy\"", "\"a\\nb\"").contains("unknown field `a b`"));
    assert_eq!(refusal("\"version\": 1", "\"version\": 2"), "version is 2, not 1");
}

#[test]
fn each_field_is_checked() {
    // Beside `-x`, `b=c` and two settings.
    let options = |count| format!("\"-x\"{}", ", \"-y\"".repeat(count));
    let too_many = refusal("\"-x\"", &options(97));
    assert!(ArchTable::parse(&GOOD.replace("\"-x\"", &options(96))).is_ok());
    let name_of_65 = "n".repeat(65);
    let cases = [
        (
            refusal("\"emu\"", "\"bin/emu\""),
            r#"architecture one: emulator "bin/emu" is neither a file name nor an absolute path"#,
        ),
        (refusal("\"emu\"", "\"\""), r#"architecture one: emulator "" is neither a file name nor an absolute path"#),
        (
            refusal("\"emu\"", "\"..\""),
            r#"architecture one: emulator ".." is neither a file name nor an absolute path"#,
        ),
        (refusal("\"emu\"", "\"/bin/emu\""), r#"architecture one: emulators has "/bin/emu" twice"#),
        (refusal("\"emu\"", "\"e\\u0000\""), r#"architecture one: emulators has a NUL in "e\0""#),
        (refusal("[\"/bin/two\"]", "[]"), "architecture two: emulators is empty"),
        (refusal("[0, 1, 97]", "[]"), "architecture one: osabi is empty"),
        (refusal("[0, 1, 97]", "[0, 1, 0]"), "architecture one: osabi has 0 twice"),
        (refusal(r#"[{"name": "EM_B", "number": 7}],"#, "[],"), "architecture two: machine is empty"),
        (refusal("4660", "7"), "architecture one: machine has 7 twice"),
        (refusal("0x0000e020", "0x0"), "architecture one: flags has mask 0, which looks at nothing"),
        (
            refusal("\"0x20\"", "\"0x30\""),
            "architecture one: flags has value 0x00000030, which is not inside its mask 0x0000e020",
        ),
        (refusal("\"-x\"", "\"-\\u0000x\""), r#"architecture one: options has a NUL in "-\0x""#),
        (refusal("\"b=c\"", "\"\\u0000\""), r#"architecture one: environment has a NUL in "\0""#),
        (refusal("\"Z\"", "\"\""), r#"architecture one: environment has the name "", which is empty or contains ="#),
        (
            refusal("\"Z\"", "\"Z=\""),
            r#"architecture one: environment has the name "Z=", which is empty or contains ="#,
        ),
        (refusal("\"Z\"", "\"A\""), r#"architecture one: environment has "A" twice"#),
        (
            too_many,
            "architecture one: options, those of versions included, and environment are 101 in all, more than 100",
        ),
        (refusal("[\"/one\"]", "[\"one\"]"), r#"architecture one: sysroot "one" is not an absolute path"#),
        (refusal("[\"/one\"]", "[\"\"]"), r#"architecture one: sysroot "" is not an absolute path"#),
        (refusal("[\"/one\"]", "[\"/one\", \"/one\"]"), r#"architecture one: sysroots has "/one" twice"#),
        (refusal("[\"/one\"]", "[\"/\\u0000\"]"), r#"architecture one: sysroots has a NUL in "/\0""#),
        (
            refusal("\"dash-zero\"", "\"auxv\""),
            "architecture one: argv0 auxv does not go with strategy exec, which cannot set AT_FLAGS",
        ),
        (refusal("\"0a0B\"", "\"\""), "architecture one: probe code is 0 bytes long, not 1 to 64"),
        (
            refusal("\"0a0B\"", &format!("\"{}\"", "00".repeat(65))),
            "architecture one: probe code is 65 bytes long, not 1 to 64",
        ),
        (
            refusal("0x00000021", "0x00000001"),
            "architecture one: probe flags 0x00000001 are not accepted by the architecture itself",
        ),
        (
            refusal("\"uno\"", "\"u\\nno\""),
            r#"architecture one: alias "u\nno" is not made of letters, digits and _ - . /, or begins with linux/"#,
        ),
        (
            refusal("\"uno\"", "\"linux/uno\""),
            r#"architecture one: alias "linux/uno" is not made of letters, digits and _ - . /, or begins with linux/"#,
        ),
        (
            refusal("\"name\": \"two\"", "\"name\": \"Two\""),
            r#"architecture number 2: name "Two" is not 1 to 64 of a-z, 0-9 and _"#,
        ),
        (
            refusal("\"name\": \"two\"", "\"name\": \"\""),
            r#"architecture number 2: name "" is not 1 to 64 of a-z, 0-9 and _"#,
        ),
        (
            refusal("\"name\": \"two\"", "\"name\": \"a/b\""),
            r#"architecture number 2: name "a/b" is not 1 to 64 of a-z, 0-9 and _"#,
        ),
    ];
    for (message, expected) in cases {
        assert_eq!(message, expected);
    }
    let message = refusal("\"name\": \"two\"", &format!("\"name\": \"{name_of_65}\""));
    assert_eq!(message, format!("architecture number 2: name {name_of_65:?} is not 1 to 64 of a-z, 0-9 and _"));
}

#[test]
fn architectures_are_checked_among_each_other() {
    let taken = |name: &str, by: &str| format!("the name or alias {name:?} is taken by architecture {by}");
    let row = |name: &str, message: String| format!("architecture {name}: {message}");
    assert_eq!(refusal("\"name\": \"two\"", "\"name\": \"one\""), row("one", taken("one", "one")));
    assert_eq!(refusal("\"aliases\": []", "\"aliases\": [\"one\"]"), row("two", taken("one", "one")));
    assert_eq!(refusal("\"aliases\": []", "\"aliases\": [\"uno\"]"), row("two", taken("uno", "one")));
    assert_eq!(refusal("\"aliases\": []", "\"aliases\": [\"two\"]"), row("two", taken("two", "two")));
    assert_eq!(refusal("\"uno\", ", "\"uno\", \"uno\", "), row("one", taken("uno", "one")));
    assert_eq!(
        refusal("[\"one\", \"two\"]", "[\"one\", \"uno\"]"),
        row("one", "native_on has \"uno\", which is no architecture's name".to_owned())
    );
    assert_eq!(
        refusal("[\"one\", \"two\"]", "[\"one\", \"one\"]"),
        row("one", "native_on has \"one\" twice".to_owned())
    );
}

#[test]
fn architectures_that_share_a_header_are_refused() {
    let same_kind = |flags: &str| format!("\"class\": 32, \"data\": \"big\", {flags}\n \"emulators\": [\"/bin/two\"");
    let edit = |flags: &str, osabi: &str| {
        let flags = same_kind(flags);
        let from = "\"class\": 64, \"data\": \"little\",\n \"emulators\": [\"/bin/two\"";
        assert!(GOOD.contains(from));
        ArchTable::parse(&GOOD.replace(from, &flags).replace("[0, 1, 97]", osabi)).map_err(|error| error.to_string())
    };
    let ambiguous = Err("architecture two: accepts headers that architecture one accepts".to_owned());
    assert_eq!(edit("", "[0, 1, 97]").map(drop), ambiguous, "machine 7 and OSABI 0 are in both");
    assert_eq!(edit("\"flags\": {\"mask\": \"0x10\", \"value\": \"0x0\"},", "[0, 1, 97]").map(drop), ambiguous);
    assert_eq!(edit("\"flags\": {\"mask\": \"0x20\", \"value\": \"0x0\"},", "[0, 1, 97]").map(drop), Ok(()));
    assert_eq!(edit("", "[97]").map(drop), Ok(()));
}

#[test]
fn the_compiled_table_says_what_the_json_says() {
    for table in [ArchTable::builtin(), ArchTable::parse(GOOD).unwrap()] {
        let compiled = table.compile();
        let rows: Vec<_> = Table::read(&compiled).unwrap().rows().map(Result::unwrap).collect();
        assert_eq!(rows.len(), table.architectures.len());
        for (architecture, row) in table.architectures.iter().zip(rows) {
            let strings = |list: dispatch_core::bytes::Strings<'_>| -> Vec<String> {
                list.iter().map(|string| string.to_str().unwrap().to_owned()).collect()
            };
            let flags = architecture.flags.unwrap_or(Flags { mask: 0, value: 0 });
            let environment = architecture.environment.iter().map(|(name, value)| format!("{name}={value}"));
            assert_eq!(row.name.to_str().unwrap(), architecture.name);
            assert_eq!((row.class, row.data), (architecture.class, architecture.data));
            assert_eq!((row.flags_mask, row.flags_value), (flags.mask, flags.value));
            assert!(row.machines().eq(architecture.machine.iter().map(|machine| Machine(machine.number))));
            assert_eq!(row.osabi, architecture.osabi);
            assert!(strings(row.paths).iter().eq(architecture.emulator_paths()));
            assert_eq!(strings(row.options), architecture.options);
            assert!(strings(row.environment).into_iter().eq(environment));
            assert_eq!(strings(row.sysroots), architecture.sysroots);
            assert_eq!((row.argv0, row.strategy), (architecture.argv0, architecture.strategy));
        }
    }
}

#[test]
fn equal_bytes_are_compiled_once() {
    let table = ArchTable::builtin();
    let mut twice = table.clone();
    twice.architectures.extend(table.architectures.iter().cloned());
    let records = table.architectures.len() * <dispatch_core::table::RowRecord as dispatch_core::record::Field>::SIZE;
    assert_eq!(twice.compile().len(), table.compile().len() + records);
}

#[test]
fn a_table_cut_short_is_read_as_corrupt_or_not_at_all() {
    let compiled = ArchTable::builtin().compile();
    for len in 0..compiled.len() {
        let cut = Table::read(&compiled[..len]);
        assert!(cut.is_err() || cut.unwrap().rows().any(|row| row.is_err()), "cut at {len}");
    }
}

#[test]
fn the_probe_is_a_small_static_program() {
    for architecture in ArchTable::builtin().architectures {
        let name = &architecture.name;
        let probe = architecture.probe_elf();
        let elf = goblin::elf::Elf::parse(&probe).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            (elf.is_64, elf.little_endian),
            (architecture.class == Class::Elf64, architecture.data == Data::Little)
        );
        assert_eq!(elf.header.e_type, goblin::elf::header::ET_EXEC, "{name}");
        assert_eq!(elf.header.e_machine, architecture.machine[0].number, "{name}");
        assert_eq!(elf.header.e_flags, architecture.probe.flags, "{name}");
        assert_eq!(elf.header.e_ident[goblin::elf::header::EI_OSABI], architecture.osabi[0], "{name}");
        let [segment] = &elf.program_headers[..] else { panic!("{name}: {:?}", elf.program_headers) };
        assert_eq!((segment.p_type, segment.p_flags), (goblin::elf::program_header::PT_LOAD, 5), "{name}");
        assert_eq!((segment.p_offset, segment.p_vaddr, segment.p_align), (0, 0x1_0000, 0x1_0000), "{name}");
        assert_eq!((segment.p_filesz, segment.p_memsz), (probe.len() as u64, probe.len() as u64), "{name}");
        let code = elf.entry.checked_sub(segment.p_vaddr).and_then(|offset| probe.get(offset as usize..));
        assert_eq!(code, Some(&architecture.probe.code[..]), "{name}");
        assert!((80..=140).contains(&probe.len()), "{name}: {} bytes", probe.len());
        assert!(elf.section_headers.is_empty() && elf.interpreter.is_none(), "{name}");
    }
}

#[test]
fn the_probe_is_taken_by_its_own_entry_only() {
    let table = ArchTable::builtin();
    let compiled = table.compile();
    let reader = Table::read(&compiled).unwrap();
    for architecture in &table.architectures {
        let probe = architecture.probe_elf();
        let row = reader.choose(&Guest::identify(&probe).unwrap()).unwrap();
        assert_eq!(row.name.to_str().unwrap(), architecture.name);
        let rules = table.architectures.iter().flat_map(|architecture| architecture.rules());
        let takers: Vec<String> = rules.filter(|entry| entry.rule.accepts(&probe)).map(|entry| entry.name).collect();
        assert_eq!(takers, [format!("qemu-{}", architecture.name)]);
    }
}
