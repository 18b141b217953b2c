//! An explanation as text: a label and its lines.

use std::fmt::Write;

use super::{Cpu, Explanation, Header, PlanView, Row};
use crate::output::json::Bytes;
use crate::output::{BAD, GOOD, paint};
use crate::program::invoked;
use crate::registry::ownership;

/// Width of the labels.
const LABEL: usize = 12;

struct Page(String);

impl Page {
    /// Adds a line; only the first line of a label shows the label.
    fn line(&mut self, label: &str, text: &str) {
        let _ = writeln!(self.0, "  {}", format_args!("{label:LABEL$}{text}").to_string().trim_end());
    }
}

/// The whole explanation.
pub fn render(explanation: &Explanation) -> String {
    let mut page = Page(String::new());
    let _ = writeln!(page.0, "{}", &explanation.file);
    for (index, script) in explanation.scripts.iter().enumerate() {
        page.line(if index == 0 { "script" } else { "" }, &format!("run by {script}"));
    }
    if let Some(header) = &explanation.header {
        page.line("program", &program(header));
        page.line("machine", &machine(header, explanation.architecture.as_ref()));
    }
    kernel(&mut page, explanation);
    if explanation.privileged {
        page.line("privileges", "the kernel marks its start as privileged (AT_SECURE)");
    }
    for (index, tried) in explanation.emulators.iter().enumerate() {
        let outcome = tried.error.as_ref().map_or(String::new(), |error| format!(": {error}"));
        page.line(if index == 0 { "emulator" } else { "" }, &format!("{}{outcome}", &tried.path));
    }
    if let Some(found) = &explanation.plan {
        plan(&mut page, found);
    }
    if let Some(found) = &explanation.cpu {
        page.line("cpu", &cpu(found));
    }
    for (index, note) in explanation.notes.iter().enumerate() {
        page.line(if index == 0 { "note" } else { "" }, note);
    }
    let verdict = &explanation.verdict;
    let runs = if verdict.runs { paint(GOOD, "it runs") } else { paint(BAD, "it does not run:") };
    page.line("verdict", &format!("{runs} {}", verdict.reason));
    if let Some(remedy) = &verdict.remedy {
        page.line("to do", remedy);
    }
    page.0
}

fn program(header: &Header) -> String {
    let linking = match &header.dynamic_linker {
        Some(linker) => format!("dynamic, by {linker}"),
        None => "static".to_owned(),
    };
    format!("ELF {} {} {}, {}, for {}", header.class, header.data, header.kind, linking, header.system)
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
    let native = explanation.verdict.runs && explanation.plan.is_none();
    match &kernel.unavailable {
        // Entries are for programs of other machines.
        _ if kernel.entries.is_empty() && (explanation.header.is_none() || native) => {}
        Some(reason) if kernel.may_have_entries => {
            page.line("kernel", &format!("its entries cannot be seen: {reason}"));
        }
        Some(reason) => page.line("kernel", &format!("it has no entries: {reason}")),
        None if kernel.entries.is_empty() => page.line("kernel", "no entry of binfmt_misc takes it"),
        None => {}
    }
    for (index, entry) in kernel.entries.iter().enumerate() {
        let interpreter = ownership::show(&entry.interpreter, entry.ours);
        let text = format!("entry {} takes it, with {interpreter} (flags {})", &entry.name, entry.flags.0);
        page.line(if index == 0 { "kernel" } else { "" }, &text);
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
