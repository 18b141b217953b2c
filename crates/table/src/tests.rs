//! Each refusal with its message, the compiled form read back, and the probe.

use dispatch_core::elf::{Class, Data, Machine};
use dispatch_core::table::{Argv0, Strategy};
use dispatch_core::{Guest, Table};

use crate::{ArchTable, Flags};

mod site;

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

/// The same without line and column.
#[track_caller]
fn refused_key(from: &str, to: &str) -> String {
    refusal(from, to).split_once(": ").map(|(_, rest)| rest.to_owned()).unwrap_or_default()
}

#[test]
fn rows_of_another_table_replace_or_are_added() {
    let table = ArchTable::parse(GOOD).unwrap();
    let one_row = |row: &str| format!(r#"{{"version": 1, "architectures": [{row}]}}"#);
    let rows = &GOOD[GOOD.find(r#"{"name": "two""#).unwrap()..GOOD.rfind("\n]}").unwrap()];
    let replaced = table.clone().merge(&one_row(&rows.replace("/bin/two", "/opt/two"))).unwrap();
    assert_eq!(replaced.architectures().len(), 2);
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
    let [one, two] = table.architectures() else { panic!("{table:?}") };
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
    assert_eq!(found("ARM64"), Some("aarch64"));
    for absent in ["", "arm6", "linux/", "linux/linux/arm64", "linux"] {
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
    assert_eq!(refusal("\"class\": 32,", "\"class\": 32,,"), "5:14: not JSON: key must be a string");
    let ended = "not JSON: it ends too early, perhaps for a bracket or a quote that is not closed";
    for (json, place) in [("", "1:1"), ("{", "1:1"), ("{\"version\": 1,\n \"archi", "2:7")] {
        assert_eq!(ArchTable::parse(json).unwrap_err().to_string(), format!("{place}: {ended}"));
    }
    assert_eq!(ArchTable::parse("[]").unwrap_err().to_string(), format!("1:1: [] is not allowed here: use {WHOLE}"));
}

/// A table must be an object with these keys.
const WHOLE: &str = "an object with the keys version and architectures";

#[test]
fn values_of_another_kind_are_refused_with_what_is_allowed() {
    let wrong = |from: &str, to: &str, place: &str, allowed: &str| {
        let value = to.rsplit_once(": ").map_or(to, |(_, value)| value);
        assert_eq!(refusal(from, to), format!("{place}: {value} is not allowed here: use {allowed}"));
    };
    wrong("\"version\": 1", "\"version\": 2", "2:12: version", "1");
    wrong("\"version\": 1", "\"version\": \"1\"", "2:12: version", "1");
    wrong("\"class\": 32", "\"class\": 31", "5:11: architectures[0].class", "32 or 64");
    wrong("\"class\": 32", "\"class\": \"32\"", "5:11: architectures[0].class", "32 or 64");
    wrong("\"big\"", "\"middle\"", "5:23: architectures[0].data", "\"little\" or \"big\"");
    wrong("\"exec\"", "\"fork\"", "7:87: architectures[0].strategy", "\"map\" or \"exec\"");
    wrong("\"none\"", "\"-0\"", "12:44: architectures[1].argv0", "\"dash-zero\", \"auxv\" or \"none\"");
    wrong("4660", "65536", "4:86: architectures[0].machine[0].number", "0 to 65535");
    for number in ["20", "0x", "0x+1", "0x123456789"] {
        let allowed = "a 32-bit number like \"0x0000e020\", in quotes";
        wrong("\"0x20\"", &format!("\"{number}\""), "5:71: architectures[0].flags.value", allowed);
    }
    for code in ["0", "0g", "0x00", "+0"] {
        let allowed = "an even number of hexadecimal digits, in quotes";
        wrong("\"0a0B\"", &format!("\"{code}\""), "8:20: architectures[0].probe.code", allowed);
    }
    assert_eq!(
        refusal("\"osabi\": [0", "\"osabi\": [256"),
        "5:90: architectures[0].osabi[0]: 256 is not allowed here: use 0 to 255"
    );
    assert_eq!(
        refusal("\"b=c\"", "[\"b\", 12345678901234567890, \"0123456789012345678901234567890123\"]"),
        "6:90: architectures[0].environment.A: [\"b\",12345678901234567890,\"012345678901234567890123456789012... is not \
         allowed here: use a string"
    );
}

#[test]
fn keys_are_refused_with_those_that_there_are() {
    let keys = "name, aliases, machine, class, data, flags, osabi, emulators, options, versions, cpu, cpus, property, environment, \
                sysroots, native_on, argv0, strategy, disabled, below, probe, notes";
    assert_eq!(
        refusal("\"strategy\"", "\"stratgy\""),
        format!("7:75: architectures[0].stratgy: no such key: perhaps strategy is meant; use one of {keys}")
    );
    assert_eq!(
        refusal("\"strategy\"", "\"a\\nb\""),
        format!("7:75: architectures[0].\"a\\nb\": no such key: use one of {keys}")
    );
    assert_eq!(
        refusal("\"mask\"", "\"Mask\""),
        "5:40: architectures[0].flags.Mask: no such key: perhaps mask is meant; use one of mask, value"
    );
    assert_eq!(
        refusal("\"version\": 1", "\"version\": 1, \"comment\": \"\""),
        "2:15: comment: no such key: use one of version, architectures"
    );
    assert_eq!(
        refusal(", \"native_on\": []", ""),
        "9:1: architectures[1]: the key native_on is missing: add it, with a list of names of rows"
    );
    assert_eq!(
        refusal("\"name\": \"two\", ", ""),
        "9:1: architectures[1]: the key name is missing: add it, with 1 to 64 of a-z, 0-9 and _, in quotes"
    );
    assert_eq!(
        refusal("\"class\": 32", "\"class\": 32, \"class\": 64"),
        "5:24: architectures[0].class: the key is there twice: keep one of them"
    );
}

#[test]
fn another_table_is_refused_by_its_own_places() {
    let refusal = |rows: &str| {
        let table = format!("{{\"version\": 1, \"architectures\": [\n{rows}\n]}}");
        ArchTable::parse(GOOD).unwrap().merge(&table).unwrap_err().to_string()
    };
    for (rows, message) in [
        (
            "{\"osabi\": [1]}",
            "2:1: architectures[0]: the key name is missing: add it, with 1 to 64 of a-z, 0-9 and _, in quotes",
        ),
        (
            "{\"name\": \"two\"},\n{\"name\": \"one\", \"osabi\": [1, 300]}",
            "3:30: architectures[1].osabi[1]: 300 is not allowed here: use 0 to 255",
        ),
        (
            "{\"name\": \"two\", \"emulators\": [\"a/b\"]}",
            "2:31: architectures[0].emulators[0]: emulator \"a/b\" is neither a file name nor an absolute path",
        ),
        (
            "{\"name\": \"two\", \"aliases\": [\"uno\"]}",
            "2:29: architectures[0].aliases[0]: the name or alias \"uno\" is taken by architecture one",
        ),
        // A change that makes other places wrong.
        (
            "{\"name\": \"one\", \"aliases\": [\"two\"]}",
            "2:1: architecture two: the name or alias \"two\" is taken by architecture one",
        ),
        ("{\"name\": \"three\"}", "2:1: architectures[0]: the key aliases is missing: add it, with a list of strings"),
    ] {
        assert_eq!(refusal(rows), message);
    }
}

#[test]
fn each_field_is_checked() {
    // Together with `-x`, `b=c` and two settings.
    let options = |count| format!("\"-x\"{}", ", \"-y\"".repeat(count));
    let too_many = refused_key("\"-x\"", &options(97));
    assert!(ArchTable::parse(&GOOD.replace("\"-x\"", &options(96))).is_ok());
    let name_of_65 = "n".repeat(65);
    let cases = [
        (
            refused_key("\"emu\"", "\"bin/emu\""),
            r#"architectures[0].emulators[0]: emulator "bin/emu" is neither a file name nor an absolute path"#,
        ),
        (
            refused_key("\"emu\"", "\"\""),
            r#"architectures[0].emulators[0]: emulator "" is neither a file name nor an absolute path"#,
        ),
        (
            refused_key("\"emu\"", "\"..\""),
            r#"architectures[0].emulators[0]: emulator ".." is neither a file name nor an absolute path"#,
        ),
        (refused_key("\"emu\"", "\"/bin/emu\""), r#"architectures[0].emulators: emulators has "/bin/emu" twice"#),
        (refused_key("\"emu\"", "\"e\\u0000\""), r#"architectures[0].emulators[0]: emulators has a NUL in "e\0""#),
        (refused_key("[\"/bin/two\"]", "[]"), "architectures[1].emulators: emulators is empty"),
        (refused_key("[0, 1, 97]", "[]"), "architectures[0].osabi: osabi is empty"),
        (refused_key("[0, 1, 97]", "[0, 1, 0]"), "architectures[0].osabi: osabi has 0 twice"),
        (refused_key(r#"[{"name": "EM_B", "number": 7}],"#, "[],"), "architectures[1].machine: machine is empty"),
        (refused_key("4660", "7"), "architectures[0].machine: machine has 7 twice"),
        (refused_key("0x0000e020", "0x0"), "architectures[0].flags.mask: flags has mask 0, which looks at nothing"),
        (
            refused_key("\"0x20\"", "\"0x30\""),
            "architectures[0].flags.value: flags has value 0x00000030, which is not inside its mask 0x0000e020",
        ),
        (refused_key("\"-x\"", "\"-\\u0000x\""), r#"architectures[0].options[0]: options has a NUL in "-\0x""#),
        (refused_key("\"b=c\"", "\"\\u0000\""), r#"architectures[0].environment: environment has a NUL in "\0""#),
        (
            refused_key("\"Z\"", "\"\""),
            r#"architectures[0].environment: environment has the name "", which is empty or contains ="#,
        ),
        (
            refused_key("\"Z\"", "\"Z=\""),
            r#"architectures[0].environment: environment has the name "Z=", which is empty or contains ="#,
        ),
        (refused_key("\"Z\"", "\"A\""), "architectures[0].environment.A: the key is there twice: keep one of them"),
        (
            too_many,
            "architectures[0].options: options, those of versions included, and environment are 101 in all, more than 100",
        ),
        (
            refused_key("[\"/one\"]", "[\"one\"]"),
            r#"architectures[0].sysroots[0]: sysroot "one" is not an absolute path"#,
        ),
        (refused_key("[\"/one\"]", "[\"\"]"), r#"architectures[0].sysroots[0]: sysroot "" is not an absolute path"#),
        (refused_key("[\"/one\"]", "[\"/one\", \"/one\"]"), r#"architectures[0].sysroots: sysroots has "/one" twice"#),
        (refused_key("[\"/one\"]", "[\"/\\u0000\"]"), r#"architectures[0].sysroots[0]: sysroots has a NUL in "/\0""#),
        (
            refused_key("\"dash-zero\"", "\"auxv\""),
            "architectures[0].argv0: argv0 auxv does not go with strategy exec, which cannot set AT_FLAGS",
        ),
        (refused_key("\"0a0B\"", "\"\""), "architectures[0].probe.code: probe code is 0 bytes long, not 1 to 64"),
        (
            refused_key("\"0a0B\"", &format!("\"{}\"", "00".repeat(65))),
            "architectures[0].probe.code: probe code is 65 bytes long, not 1 to 64",
        ),
        (
            refused_key("0x00000021", "0x00000001"),
            "architectures[0].probe.flags: probe flags 0x00000001 are not accepted by the architecture itself",
        ),
        (
            refused_key("\"uno\"", "\"u\\nno\""),
            r#"architectures[0].aliases[0]: alias "u\nno" is not made of letters, digits and _ - . /, or begins with linux/"#,
        ),
        (
            refused_key("\"uno\"", "\"linux/uno\""),
            r#"architectures[0].aliases[0]: alias "linux/uno" is not made of letters, digits and _ - . /, or begins with linux/"#,
        ),
        (
            refused_key("\"name\": \"two\"", "\"name\": \"Two\""),
            r#"architectures[1].name: "Two" is not allowed here: use 1 to 64 of a-z, 0-9 and _"#,
        ),
        (
            refused_key("\"name\": \"two\"", "\"name\": \"\""),
            r#"architectures[1].name: "" is not allowed here: use 1 to 64 of a-z, 0-9 and _"#,
        ),
        (
            refused_key("\"name\": \"two\"", "\"name\": \"a/b\""),
            r#"architectures[1].name: "a/b" is not allowed here: use 1 to 64 of a-z, 0-9 and _"#,
        ),
    ];
    for (message, expected) in cases {
        assert_eq!(message, expected);
    }
    let message = refused_key("\"name\": \"two\"", &format!("\"name\": \"{name_of_65}\""));
    assert_eq!(
        message,
        format!("architectures[1].name: {name_of_65:?} is not allowed here: use 1 to 64 of a-z, 0-9 and _")
    );
}

#[test]
fn architectures_are_checked_among_each_other() {
    let taken = |name: &str, by: &str| format!("the name or alias {name:?} is taken by architecture {by}");
    let row = |key: &str, message: String| format!("architectures{key}: {message}");
    assert_eq!(refused_key("\"name\": \"two\"", "\"name\": \"one\""), row("[1].name", taken("one", "one")));
    assert_eq!(refused_key("\"aliases\": []", "\"aliases\": [\"one\"]"), row("[1].aliases[0]", taken("one", "one")));
    assert_eq!(refused_key("\"aliases\": []", "\"aliases\": [\"uno\"]"), row("[1].aliases[0]", taken("uno", "one")));
    assert_eq!(refused_key("\"aliases\": []", "\"aliases\": [\"two\"]"), row("[1].aliases[0]", taken("two", "two")));
    assert_eq!(refused_key("\"uno\", ", "\"uno\", \"uno\", "), row("[0].aliases[1]", taken("uno", "one")));
    assert_eq!(
        refused_key("[\"one\", \"two\"]", "[\"one\", \"uno\"]"),
        row("[0].native_on[1]", "native_on has \"uno\", which is no architecture's name".to_owned())
    );
    assert_eq!(
        refused_key("[\"one\", \"two\"]", "[\"one\", \"one\"]"),
        row("[0].native_on", "native_on has \"one\" twice".to_owned())
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
    let ambiguous = Err("9:43: architectures[1].machine: accepts headers that architecture one accepts".to_owned());
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
        assert_eq!(rows.len(), table.architectures().len());
        for (architecture, row) in table.architectures().iter().zip(rows) {
            let strings = |list: dispatch_core::bytes::Strings<'_>| -> Vec<String> {
                list.iter().map(|string| string.to_str().unwrap().to_owned()).collect()
            };
            let flags = architecture.flags.unwrap_or(Flags { mask: 0, value: 0 });
            let environment = architecture.environment.iter().map(|(name, value)| format!("{name}={value}"));
            assert_eq!(row.name().to_str().unwrap(), architecture.name);
            assert_eq!((row.class(), row.data()), (architecture.class, architecture.data));
            assert_eq!((row.flags_mask(), row.flags_value()), (flags.mask, flags.value));
            assert!(row.machines().eq(architecture.machine.iter().map(|machine| Machine(machine.number))));
            assert_eq!(row.osabi(), architecture.osabi);
            assert!(strings(row.paths()).iter().eq(architecture.emulator_paths()));
            assert_eq!(strings(row.options()), architecture.options);
            assert!(strings(row.environment()).into_iter().eq(environment));
            assert_eq!(strings(row.sysroots()), architecture.library_places());
            assert_eq!((row.argv0(), row.strategy()), (architecture.argv0, architecture.strategy));
        }
    }
}

#[test]
fn equal_bytes_are_compiled_once() {
    let table = ArchTable::builtin();
    let mut twice = table.clone();
    twice.architectures.extend(table.architectures().iter().cloned());
    let records = table.architectures().len() * <dispatch_core::table::RowRecord as dispatch_core::record::Field>::SIZE;
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
    for architecture in ArchTable::builtin().architectures() {
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
    for architecture in table.architectures() {
        let probe = architecture.probe_elf();
        let row = reader.choose(&Guest::identify(&probe).unwrap()).unwrap();
        assert_eq!(row.name().to_str().unwrap(), architecture.name);
        let rules = table.architectures().iter().flat_map(super::architecture::Architecture::rules);
        let takers: Vec<String> = rules.filter(|entry| entry.rule.accepts(&probe)).map(|entry| entry.name).collect();
        assert_eq!(takers, [format!("qemu-{}", architecture.name)]);
    }
}
