//! Tests of the architecture of the code: which package and which module may use which, where
//! `unsafe` and code that depends on the CPU may be, and that only arch-table.json describes guest
//! architectures.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Longest source file, in lines; style says about 300.
const LONGEST: usize = 450;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A source file.
struct Source {
    /// Its path from the root of the repository.
    path: String,
    text: String,
}

impl Source {
    /// Its lines of code with their numbers, without comments and without the tests at its end.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = |line: &str| line.ends_with("mod tests {") && !line.starts_with(' ');
        let code = (1..).zip(self.text.lines()).take_while(move |(_, line)| !tests(line));
        code.map(|(number, line)| (number, line.split("//").next().unwrap_or_default()))
    }
}

/// The files that belong to the repository: those that git does not ignore. Without git, all files
/// except those in `target`.
fn files() -> Vec<String> {
    let listed = Command::new("git").args(["ls-files", "-z", "-co", "--exclude-standard"]).current_dir(ROOT).output();
    let mut names: Vec<String> = match listed {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).split_terminator('\0').map(str::to_owned).collect()
        }
        _ => {
            let mut names = Vec::new();
            walk(Path::new(ROOT), &mut names);
            names
        }
    };
    names.retain(|name| Path::new(ROOT).join(name).is_file());
    names.sort();
    names
}

fn walk(directory: &Path, names: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(ROOT).unwrap().to_str().unwrap().to_owned();
        match path.is_dir() {
            true if name != "target" && name != ".git" => walk(&path, names),
            true => {}
            false => names.push(name),
        }
    }
}

fn sources() -> Vec<Source> {
    let rust = files().into_iter().filter(|name| name.ends_with(".rs"));
    rust.map(|path| Source { text: fs::read_to_string(Path::new(ROOT).join(&path)).unwrap(), path }).collect()
}

/// Source files of the shipped packages.
fn shipped() -> impl Iterator<Item = Source> {
    sources().into_iter().filter(|source| {
        let tests = source.path.contains("/tests/") || source.path.ends_with("/tests.rs");
        !tests && (source.path.starts_with("src/") || source.path.starts_with("crates/"))
    })
}

/// Fails and lists every place, as `path:line: code`, for which `wrong` returns true.
fn forbid(sources: impl Iterator<Item = Source>, rule: &str, wrong: impl Fn(&Source, &str) -> bool) {
    let mut places = Vec::new();
    for source in sources {
        let found = source.code().filter(|(_, line)| wrong(&source, line));
        places.extend(found.map(|(number, line)| format!("{}:{number}: {}", source.path, line.trim())));
    }
    assert!(places.is_empty(), "{rule}:\n{}", places.join("\n"));
}

/// Whether `line` has `word` as a word of its own.
fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}

/// The top-level modules of the package in `directory`, and the modules that each one uses.
fn imports(directory: &str, sources: impl Iterator<Item = Source>) -> BTreeMap<String, BTreeSet<String>> {
    let mut modules: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut exported: BTreeMap<String, String> = BTreeMap::new();
    for source in sources {
        let Some(path) = source.path.strip_prefix(directory) else { continue };
        let module = path.split(['/', '.']).next().unwrap_or_default().to_owned();
        let code: String = source.code().map(|(_, line)| line).collect();
        if path == "lib.rs" {
            for path in code.split("pub use ").skip(1) {
                let Some((module, names)) = path.split_once("::") else { continue };
                exported.extend(heads(names).into_iter().map(|name| (name.to_owned(), module.to_owned())));
            }
        }
        let named = code.split("crate::").skip(1).flat_map(heads).filter(|name| *name != module);
        modules.entry(module.clone()).or_default().extend(named.map(str::to_owned).collect::<Vec<_>>());
    }
    // Other names are defined in the root.
    let known: BTreeSet<String> = modules.keys().cloned().collect();
    let owner = |name: String| match exported.get(&name) {
        Some(module) => module.clone(),
        None if known.contains(&name) => name,
        None => "main".to_owned(),
    };
    let owned =
        |module: &str, names: BTreeSet<String>| names.into_iter().map(owner).filter(|name| name != module).collect();
    modules.into_iter().map(|(module, names)| (module.clone(), owned(&module, names))).collect()
}

/// The first names of a path, or of each path in braces.
fn heads(rest: &str) -> Vec<&str> {
    let head = |path: &'_ str| path.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(path.len());
    let Some(group) = rest.strip_prefix('{') else { return vec![&rest[..head(rest)]] };
    let (mut depth, mut names, mut start) = (1, Vec::new(), 0);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || depth == 1 && character == ',' {
            let path = group[start..at].trim();
            names.push(&path[..head(path)]);
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The modules that are part of a cycle.
fn circles(mut imports: BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    loop {
        let named: BTreeSet<String> = imports.values().flatten().cloned().collect();
        let ends = |module: &str, names: &BTreeSet<String>| names.is_empty() || !named.contains(module);
        let Some(end) = imports.iter().find(|(module, names)| ends(module, names)).map(|(module, _)| module.clone())
        else {
            return imports.into_keys().collect();
        };
        imports.remove(&end);
        imports.values_mut().for_each(|names| _ = names.remove(&end));
    }
}

/// The names in the dependency sections of this package that have one of the kinds `kinds` (null is
/// an ordinary dependency).
fn dependencies(package: &str, kinds: &[Value]) -> BTreeSet<String> {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(ROOT)
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|found| found["name"] == package).expect("a package of the workspace");
    let wanted = package["dependencies"].as_array().unwrap().iter().filter(|found| kinds.contains(&found["kind"]));
    wanted.map(|found| found["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn packages_name_only_those_below_them() {
    let all = ["dev".into(), "build".into(), Value::Null];
    let shipped = ["build".into(), Value::Null];
    assert_eq!(dependencies("dispatch-core", &shipped), BTreeSet::new(), "core stands alone");
    let interpreter = dependencies("dispatch-interpreter", &all);
    assert_eq!(interpreter, ["dispatch-core".to_owned()].into(), "the interpreter has core and no libc");
    let table = dependencies("dispatch-table", &shipped);
    let allowed = ["dispatch-core", "serde", "serde_json", "serde_path_to_error", "strsim"].map(str::to_owned).into();
    assert!(table.is_subset(&allowed), "{table:?}");
    let entry = dependencies("binfmt-misc", &shipped);
    assert_eq!(entry, ["dispatch-core".to_owned()].into(), "entries are text, and need no kernel");
    let translations = dependencies("dispatch-translations", &shipped);
    assert_eq!(translations, ["dispatch-core".to_owned()].into(), "translations are bytes, and need no emulator");
    // ci/setup runs it before anything else is built.
    let tasks = dependencies("xtask", &all);
    let ours = |name: &String| name.starts_with("dispatch-") || name == "binfmt-dispatch";
    assert!(!tasks.iter().any(ours), "{tasks:?}");
    let tool = dependencies("binfmt-dispatch", &all);
    assert!(!tool.contains("dispatch-interpreter"), "the tool embeds the interpreter and does not link it");
}

#[test]
fn modules_name_only_those_below_them() {
    let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
    let invented = || {
        vec![
            source("src/main.rs", "use crate::cli::Cli;"),
            source("src/cli.rs", "use crate::{\n    a::{B, c},\n    low,\n};"),
            source("src/a/mod.rs", "// use crate::cli::Cli;\nuse crate::low;"),
            source("src/a/b.rs", "use crate::a::c;\nfn f() { crate::b::f() }"),
            source("src/b.rs", "use crate::{low::X, a};"),
            source("src/low.rs", "#[cfg(test)]\nmod tests {\n    use crate::a;\n}"),
        ]
    };
    let names = imports("src/", invented().into_iter());
    assert_eq!(names["cli"], ["a", "low"].map(str::to_owned).into());
    assert_eq!(circles(names), ["a", "b"].map(str::to_owned).into());
    let through_main = [source("src/main.rs", "use crate::a;"), source("src/a.rs", "use crate::NAME;")];
    assert_eq!(circles(imports("src/", through_main.into_iter())).len(), 2);

    let reexported = [
        source("src/lib.rs", "pub use a::{A, B};\npub use b::C;"),
        source("src/a.rs", "use crate::C;"),
        source("src/b.rs", "use crate::A;"),
    ];
    assert_eq!(circles(imports("src/", reexported.into_iter())), ["a", "b"].map(str::to_owned).into());

    let names = imports("src/", shipped());
    assert!(names["commands"].contains("image"), "{names:?}");
    for directory in [
        "src/",
        "crates/core/src/",
        "crates/interpreter/src/",
        "crates/table/src/",
        "crates/binfmt-misc/src/",
        "crates/translations/src/",
        "xtask/src/",
    ] {
        let names = imports(directory, sources().into_iter().filter(|source| !source.path.ends_with("tests.rs")));
        assert!(!names.is_empty(), "{directory} has no sources");
        let found = circles(names);
        assert!(found.is_empty(), "in {directory}, these lead back to themselves: {found:?}");
    }
}

#[test]
fn commands_are_leaves() {
    forbid(shipped(), "what two commands share belongs into a module beside src/commands", |source, line| {
        let Some(path) = source.path.strip_prefix("src/commands/") else { return false };
        let above = if path.ends_with("/mod.rs") || !path.contains('/') { "super::" } else { "super::super::" };
        line.contains("crate::commands") || line.contains(above)
    });
}

#[test]
fn libraries_forbid_unsafe_code() {
    for root in [
        "crates/core/src/lib.rs",
        "crates/binfmt-misc/src/lib.rs",
        "crates/table/src/lib.rs",
        "crates/translations/src/lib.rs",
        "xtask/src/main.rs",
    ] {
        let text = fs::read_to_string(Path::new(ROOT).join(root)).unwrap();
        assert!(text.contains("\n#![forbid(unsafe_code)]\n"), "{root}");
    }
}

#[test]
fn unsafe_stays_in_its_rooms() {
    const ROOMS: [&str; 7] = [
        "crates/interpreter/src/sys.rs",
        "crates/interpreter/src/stack.rs",
        "crates/interpreter/src/payload.rs",
        "crates/interpreter/src/load.rs",
        "crates/interpreter/src/start.rs",
        "src/main.rs",
        "src/platform/process.rs",
    ];
    let room = |path: &str| ROOMS.contains(&path) || path.starts_with("crates/interpreter/src/cpu/");
    let everything = sources().into_iter().filter(|source| source.path != "tests/tidy.rs");
    forbid(everything, "no unsafe code here", |source, line| !room(&source.path) && has_word(line, "unsafe"));
}

#[test]
fn arguments_come_from_main() {
    // The standard library learns the arguments in a constructor, and only glibc passes them to
    // constructors.
    forbid(shipped(), "take the arguments of `main`", |source, line| {
        source.path.starts_with("src/")
            && ["env::args", "try_parse()", "Cli::parse()"].iter().any(|it| line.contains(it))
    });
}

#[test]
fn what_depends_on_the_cpu_has_a_file_for_each_cpu() {
    let depends = |line: &str| {
        ["target_arch", "asm!", "naked_asm!", "__NR", "SYS_", "core::arch"].iter().any(|word| line.contains(word))
    };
    forbid(shipped(), "this belongs into crates/interpreter/src/cpu", |source, line| {
        !source.path.starts_with("crates/interpreter/src/cpu/") && depends(line)
    });
}

#[test]
fn the_files_of_all_cpus_have_the_same_names_in_the_same_order() {
    let files: Vec<Source> =
        sources().into_iter().filter(|it| it.path.starts_with("crates/interpreter/src/cpu/")).collect();
    // Constants, functions and symbols that other files use. Those of one CPU alone are private.
    let names = |source: &Source| -> Vec<String> {
        let starts = ["pub const ", "pub unsafe fn ", "pub fn ", "pub mod ", "\"_start", "\"dispatch_function "];
        let lines = source.text.lines().map(str::trim_start);
        let found = lines.filter_map(|line| starts.iter().find(|start| line.starts_with(**start)).map(|_| line));
        // Without values and types that differ.
        found.map(|line| line.split([':', '(', ',', '=']).next().unwrap_or_default().to_owned()).collect()
    };
    let (table, cpus): (Vec<&Source>, Vec<&Source>) = files.iter().partition(|it| it.path.ends_with("/mod.rs"));
    assert!(cpus.len() == 6 && names(cpus[0]).len() > 30, "{:?}", names(cpus[0]));
    for cpu in &cpus[1..] {
        assert_eq!(names(cpus[0]), names(cpu), "{} and {}", cpus[0].path, cpu.path);
    }
    // The module for each file.
    for cpu in cpus {
        let module = cpu.path.rsplit('/').next().and_then(|name| name.strip_suffix(".rs")).unwrap();
        assert!(table[0].text.contains(&format!("mod {module};\n")), "{module}");
    }
}

#[test]
fn architectures_are_described_in_the_table_only() {
    let table = dispatch_table::ArchTable::builtin();
    let words: Vec<String> = (table.architectures().iter())
        .flat_map(|row| {
            let machines = row.machine.iter().map(|machine| machine.name.clone());
            machines.chain([format!("qemu-{}", row.name), format!("\"{}\"", row.name), format!("c\"{}\"", row.name)])
        })
        .collect();
    forbid(shipped(), "this belongs into arch-table.json", |source, line| {
        // These name the host's architecture, the flags of the psABIs, and distributions' packages.
        let cpu = source.path.starts_with("crates/interpreter/src/cpu/");
        let names = ["src/commands/explain/abi.rs", "src/platform/distribution.rs"].contains(&source.path.as_str());
        !cpu && !names && words.iter().any(|word| line.contains(word.as_str()))
    });
}

#[test]
fn no_file_has_its_path_in_the_interpreter() {
    let door =
        |source: &Source| ["crates/interpreter/", "crates/core/"].iter().any(|place| source.path.starts_with(place));
    forbid(shipped().filter(door), "the interpreter reads nothing but what the image names", |_, line| {
        // /proc/self/fd leads to a privileged guest's own path; "/" begins a path.
        let known = ["*b\"/proc/self/./fd/\"", "UNKNOWN_PATH: &CStr = c\"/\"", "starts_with(b\"/\")"];
        line.contains("\"/") && !known.iter().any(|known| line.contains(known))
    });
}

#[test]
fn tests_are_skipped_by_need_only() {
    let known = ["tests/support/prerequisites.rs", "tests/tidy.rs"];
    let mut places = Vec::new();
    for source in sources() {
        if !source.path.starts_with("tests/") || known.contains(&&*source.path) {
            continue;
        }
        let mut in_test = false;
        for (number, line) in source.code() {
            in_test = (in_test || line.trim() == "#[test]") && line != "}";
            let early = in_test && (line.trim() == "return;" || line.contains("{ return }"));
            if early || line.contains("have(&") {
                places.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    assert!(
        places.is_empty(),
        "say what the test needs with need!(…), and do not end it early:\n{}",
        places.join("\n")
    );
}

#[test]
fn files_can_be_read_in_one_sitting() {
    let long = sources().into_iter().map(|source| (source.text.lines().count(), source.path));
    let long: Vec<_> = long.filter(|(lines, _)| *lines > LONGEST).collect();
    assert!(long.is_empty(), "split these, by what a reader would look for: {long:?}");
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    // The strings are built at run time, so that this file does not contain them either.
    let places = ["work", "root", "home"].map(|name| format!("/{name}/"));
    let named = |text: &str| places.iter().find(|place| text.contains(place.as_str())).cloned();
    let found: Vec<(PathBuf, String)> = (files().into_iter())
        .filter_map(|name| {
            let path = Path::new(ROOT).join(name);
            let place = named(&String::from_utf8_lossy(&fs::read(&path).ok()?))?;
            Some((path, place))
        })
        .collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn formats_are_documented_field_by_field() {
    documented("crates/core/src/image.rs", "docs/image-format.md");
    documented("crates/translations/src/layout.rs", "docs/translations-format.md");
}

/// Fails if the page does not have all records that the source file defines, and all their fields.
fn documented(definition: &str, path: &str) {
    let read = |path: &str| fs::read_to_string(Path::new(ROOT).join(path)).expect("it is there");
    let (definition, page) = (read(definition), read(path));
    let records = definition.split("record! {").skip(1).map(|rest| rest.split("\n}").next().unwrap_or_default());
    let declared = records.flat_map(str::lines).filter_map(|line| line.trim().strip_prefix("pub "));
    let names = declared.map(|rest| rest.trim_start_matches("struct ").split([':', ' ']).next().unwrap_or_default());
    // The documentation describes `Extent` in prose.
    let missing: Vec<&str> = names
        .filter(|name| !["Extent", "offset"].contains(name))
        .filter(|name| !page.contains(&format!("`{name}`")))
        .collect();
    assert!(missing.is_empty(), "{path} does not tell of {missing:?}");
}

/// String literals in Rust, each as the pieces between its arguments. A continued line is one line.
fn pieces(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for literal in code.split('"').skip(1).step_by(2) {
        let lines = literal.split("\\\n").enumerate();
        let joined: String = lines.map(|(index, line)| if index == 0 { line } else { line.trim_start() }).collect();
        found.extend(joined.split('{').map(|piece| piece.rsplit('}').next().unwrap_or_default().to_owned()));
    }
    found
}

#[test]
fn messages_have_tests_of_their_words() {
    let (of_messages, others): (Vec<Source>, Vec<Source>) =
        sources().into_iter().partition(|source| source.path.starts_with("src/failure/"));
    let own: String = of_messages.iter().filter_map(|source| Some(source.text.split_once("mod tests {")?.1)).collect();
    let tests: String =
        others.into_iter().filter(|source| source.path.starts_with("tests/")).map(|source| source.text).collect();
    let golden = files().into_iter().filter(|name| name.ends_with(".golden"));
    let golden: String = golden.map(|name| fs::read_to_string(Path::new(ROOT).join(name)).unwrap()).collect();
    let told = pieces(&own).join("\n") + &pieces(&tests).join("\n") + &golden;
    let mut untold = Vec::new();
    for source in &of_messages {
        let code: String = source.code().map(|(_, line)| format!("{line}\n")).collect();
        let said = pieces(&code).into_iter().map(|piece| piece.trim().to_owned());
        untold.extend(said.filter(|piece| piece.len() > 8 && !told.contains(piece)));
    }
    assert!(untold.is_empty(), "no test has the words of these messages: {untold:#?}");
}
