//! An explanation as text: a label and its lines.

use std::fmt::Write;

use textwrap::{WordSeparator, WordSplitter};

use super::translated::Translated;
use super::{Cpu, Credentials, Explanation, Header, PlanView, Row};
use crate::output;
use crate::output::json::Bytes;
use crate::output::{BAD, GOOD, WARNING, paint};
use crate::platform::labels::Module;
use crate::program::invoked;
use crate::registry::ownership;

/// Width of the labels.
const LABEL: usize = 12;

/// Labels of commands, which are not wrapped.
const COMMANDS: [&str; 4] = ["fix", "or now", "if not", "argv"];

struct Page {
    text: String,
    /// The width to wrap at; none outside a terminal.
    width: Option<usize>,
}

impl Page {
    /// Adds a line; only the first line of a label shows the label.
    fn line(&mut self, label: &str, text: &str) {
        let first = format!("  {label:LABEL$}");
        let text = match self.width.filter(|_| !COMMANDS.contains(&label)) {
            Some(width) => {
                let rest = " ".repeat(first.len());
                let options = textwrap::Options::new(width).initial_indent(&first).subsequent_indent(&rest);
                textwrap::fill(
                    text,
                    options
                        .break_words(false)
                        .word_separator(WordSeparator::AsciiSpace)
                        .word_splitter(WordSplitter::NoHyphenation),
                )
            }
            None => first + text,
        };
        let _ = writeln!(self.text, "{}", text.trim_end());
    }
}

/// The whole explanation: the verdict, what to do, and then the reasons in sections.
pub fn render(explanation: &Explanation) -> String {
    let mut page = Page { text: String::new(), width: output::width() };
    let verdict = &explanation.verdict;
    let place = match (&explanation.root, &explanation.host) {
        (None, None) => "here".to_owned(),
        (Some(root), None) => format!("in {root}"),
        (None, Some(host)) => format!("on {host}"),
        (Some(root), Some(host)) => format!("in {root} on {host}"),
    };
    let outcome = match verdict.runs {
        Some(true) if !verdict.certain => paint(WARNING, format!("may run {place}")),
        Some(true) => paint(GOOD, format!("runs {place}")),
        _ => paint(BAD, format!("does not run {place}")),
    };
    let _ = writeln!(page.text, "{}: {outcome}{}", &explanation.file, it_is_for(explanation));
    page.line("why", &verdict.reason);
    if let Some(remedy) = &verdict.remedy {
        page.line("fix", remedy);
    }
    if let Some(now) = &verdict.now {
        page.line(if verdict.runs == Some(true) { "if not" } else { "or now" }, now);
    }
    let _ = writeln!(page.text);
    for (index, script) in explanation.scripts.iter().enumerate() {
        page.line(if index == 0 { "script" } else { "" }, &format!("run by {script}"));
    }
    if let Some(header) = &explanation.header {
        page.line("program", &program(header));
        page.line("machine", &machine(header, explanation.architecture.as_ref()));
        if !header.abi.is_empty() {
            page.line("abi", &header.abi.join(", "));
        }
    }
    kernel(&mut page, explanation);
    if let Some(probe) = &explanation.probe {
        let fault = probe.fault.as_ref().map_or("ran".to_owned(), Clone::clone);
        page.line("probe", &format!("a test program of {} {fault}", probe.architecture));
    }
    if let Some(found) = &explanation.credentials {
        page.line("credentials", &credentials(found, explanation.privileged));
    }
    for (index, module) in explanation.security.iter().enumerate() {
        page.line(if index == 0 { "label" } else { "" }, &label(module, explanation.label.as_deref()));
    }
    emulator(&mut page, explanation);
    if let Some(found) = &explanation.plan {
        plan(&mut page, found);
    }
    if let Some(found) = &explanation.cpu {
        page.line("cpu", &cpu(found));
    }
    for (index, line) in explanation.translations.iter().flat_map(Translated::lines).enumerate() {
        page.line(if index == 0 { "translated" } else { "" }, &line);
    }
    for (index, note) in explanation.notes.iter().enumerate() {
        page.line(if index == 0 { "note" } else { "" }, note);
    }
    page.text.truncate(page.text.trim_end().len());
    page.text + "\n"
}

/// The end of the first line: the machine that the program is for.
fn it_is_for(explanation: &Explanation) -> String {
    let Some(header) = &explanation.header else { return ".".to_owned() };
    let bits = format!("{}, {}", header.class, header.system);
    match &explanation.architecture {
        Some(Row { name, aliases, .. }) => match aliases.first() {
            Some(alias) => format!(". It is for {name} ({alias}, {bits})."),
            None => format!(". It is for {name} ({bits})."),
        },
        None => match &header.machine_name {
            Some(name) => format!(". It is for {name} ({bits})."),
            None => format!(". It is for ELF machine {} ({bits}).", header.machine),
        },
    }
}

fn credentials(credentials: &Credentials, privileged: bool) -> String {
    let Credentials { uid, gid, asks, taken_away } = credentials;
    let mark = if privileged { ", marked as privileged (AT_SECURE)" } else { "" };
    let ids = format!("uid {uid}, gid {gid}{mark}");
    match (asks.as_slice(), taken_away) {
        ([], _) => ids,
        (asks, None) => format!("{ids}; the file has {}", asks.join(" and ")),
        (asks, Some(why)) => format!("stays {ids}; the file has {}, without effect: {why}", asks.join(" and ")),
    }
}

fn program(header: &Header) -> String {
    let linking = match &header.dynamic_linker {
        Some(linker) => format!("dynamic, by {linker}"),
        None => "static".to_owned(),
    };
    let appimage = header.appimage.map_or(String::new(), |number| format!(", an AppImage (type {number})"));
    format!("ELF {} {} {}, {linking}, for {}{appimage}", header.class, header.data, header.kind, header.system)
}

fn machine(header: &Header, row: Option<&Row>) -> String {
    let name = header.machine_name.as_ref().map_or(String::new(), |name| format!("{name} = "));
    let number = format!("{name}{}", header.machine);
    match row {
        Some(row) if row.aliases.is_empty() => format!("{}: {number}", row.name),
        Some(row) => format!("{}: {number}, also called {}", row.name, row.aliases.join(", ")),
        None => format!("{number}, flags {:#x}: no row of the table takes it", header.flags),
    }
}

fn kernel(page: &mut Page, explanation: &Explanation) {
    let kernel = &explanation.kernel;
    let native = explanation.verdict.runs == Some(true) && explanation.plan.is_none();
    match &kernel.unavailable {
        // Entries are for programs of other machines.
        _ if explanation.host.is_some() => {}
        _ if kernel.entries.is_empty() && (explanation.header.is_none() || native) => {}
        Some(reason) if kernel.may_have_entries => {
            page.line("kernel", &format!("its entries cannot be seen: {reason}"));
        }
        Some(reason) => page.line("kernel", &format!("it has no entries: {reason}")),
        None if kernel.entries.is_empty() => page.line("kernel", "no entry of binfmt_misc takes it"),
        None => {}
    }
    let winner = kernel.winner();
    for (index, entry) in kernel.entries.iter().enumerate() {
        let interpreter = ownership::show(&entry.interpreter, entry.ours);
        let flags = entry.flags.0.to_string();
        let flags = if flags.is_empty() { "no flags".to_owned() } else { format!("flags {flags}") };
        let what = match (entry.role, winner) {
            ("wins", _) if entry.flags.0.loader => format!("entry {} replaces its dynamic linker", entry.name),
            ("wins", _) => format!("entry {} takes it", entry.name),
            ("shadowed", Some(winner)) => format!("entry {} would, but {} is newer", entry.name, winner.name),
            _ => format!("entry {} would take it, and is turned off", entry.name),
        };
        let by = if entry.matches == "extension" { ", by its extension" } else { "" };
        let missing = match &explanation.root {
            _ if !entry.missing => "",
            Some(_) => "; that file is not in the root directory",
            None => "; that file does not exist",
        };
        let text = format!("{what}{by}, with {interpreter} ({flags}){missing}");
        page.line(if index == 0 { "kernel" } else { "" }, &text);
    }
    let executed = explanation.plan.as_ref().is_some_and(|plan| plan.strategy == "exec");
    let runs = explanation.verdict.runs != Some(false);
    if runs && !executed && winner.is_some_and(|winner| winner.flags.0.transparent) {
        page.line("process", "is the program for everyone: /proc/PID/exe is its file (flag T)");
    }
}

/// What a security module makes of the process, and of a file with SELinux's label `file`.
fn label(module: &Module, file: Option<&str>) -> String {
    let mode = match module.enforcing {
        Some(true) => ", enforcing",
        Some(false) => ", not enforcing",
        None => "",
    };
    let caller = module.caller.as_deref().unwrap_or("unknown");
    let file = file.filter(|_| module.name == "SELinux").map_or(String::new(), |file| format!("; of the file: {file}"));
    format!("of {}{mode}: {caller}{file}", module.name)
}

/// The emulator, and the paths where it was not found.
fn emulator(page: &mut Page, explanation: &Explanation) {
    let version = explanation.plan.as_ref().and_then(|plan| plan.version.as_ref());
    let version = version.map_or(String::new(), |version| format!(", version {version}"));
    let below = explanation.plan.as_ref().and_then(|plan| plan.below.as_ref());
    let version = version + &below.map_or(String::new(), |below| format!(", for programs below {below}"));
    for (index, tried) in explanation.emulators.iter().enumerate() {
        let outcome = match &tried.error {
            Some(error) => format!(": {error}"),
            None if tried.chosen => version.clone(),
            None => String::new(),
        };
        page.line(if index == 0 { "emulator" } else { "" }, &format!("{}{outcome}", &tried.path));
    }
    match &explanation.plan {
        Some(plan) if plan.strategy == "image" && !plan.private => {
            page.line("emulator", &format!("{}{version}", plan.emulator));
        }
        _ => {}
    }
}

fn cpu(cpu: &Cpu) -> String {
    let model = cpu.model.as_ref().map_or("as the emulator chooses".to_owned(), Bytes::to_string);
    if cpu.property.is_empty() {
        return model;
    }
    let says = if cpu.required { "needs" } else { "can use" };
    let lacks = match cpu.lacks.as_slice() {
        [] => String::new(),
        lacks => format!(", of which this lacks {}", lacks.join(", ")),
    };
    format!("{model}; the program says that it {says} {}{lacks}", cpu.property.join(", "))
}

fn plan(page: &mut Page, plan: &PlanView) {
    page.line(
        "strategy",
        match plan.strategy {
            "image" if plan.private => {
                "the emulator is embedded in the private image, unless unshare had --no-emulators"
            }
            "image" => "the emulator is embedded in the image, and moved to its place in the process",
            "map" => "the emulator is mapped into the process that the kernel started",
            _ => "the emulator is executed in place of the dispatcher",
        },
    );
    let argv: Vec<String> = plan.argv.iter().map(quote).collect();
    page.line("argv", &argv.join(" "));
    let list = |names: &[Bytes]| names.iter().map(quote).collect::<Vec<_>>().join(" ");
    match (plan.environment.removed.as_slice(), plan.environment.added.as_slice()) {
        ([], []) => page.line("environment", "as it is"),
        ([], added) => page.line("environment", &format!("with {}", list(added))),
        (removed, []) => page.line("environment", &format!("without {}", list(removed))),
        (removed, added) => page.line("environment", &format!("without {}, with {}", list(removed), list(added))),
    }
    if let Some(root) = &plan.sysroot {
        page.line("sysroot", &format!("{root}, since its dynamic linker is not in /"));
    }
}

fn quote(word: &Bytes) -> String {
    invoked::quote(word.as_bytes())
}
