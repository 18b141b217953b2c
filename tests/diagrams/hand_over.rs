//! docs/hand-over.svg: the memory of one process, as made by the kernel and as found by the
//! emulator.

use std::collections::BTreeSet;

use crate::compare_or_write;
use crate::drawing::{Fill, Svg};
use crate::example::Example;
use crate::maps::{Part, What, parts};
use crate::support::{Namespace, Report, compiled, need};

const TITLE: &str = "The process before and after the hand-over";
const FILLS: [Fill<'_>; 6] = [
    ("code", "#cfe3f7", "#1d3f63"),
    ("data", "#d3efdc", "#1d4a2f"),
    ("program", "#f6e3c5", "#57401a"),
    ("moved", "#f0b95a", "#8a5f12"),
    ("open", "none", "none"),
    ("tip", "#59636e", "#9198a1"),
];
/// In pixels.
const WIDTH: u32 = 760;
const TOP: u32 = 74;
const COLUMN: u32 = 300;
const COLUMNS: [u32; 2] = [16, WIDTH - 16 - COLUMN];
/// Height of a used part, and of a free one.
const ROW: u32 = 38;
const FREE: u32 = 14;
/// In about one of sixty starts the kernel maps the image below the emulator's base, and nothing is
/// reserved.
const TRIES: usize = 5;

/// The process of one start: the parts of its memory before and after.
fn start(example: &Example) -> [Vec<Part>; 2] {
    let maps = compiled("maps", "tests/support/callers/maps.c", &["-static"]);
    let image = example.scratch.at("image");
    for _ in 0..TRIES {
        let seen = Namespace::of_image(&image).run(&example.scratch, &format!("{} ./guest", maps.display()));
        let report = Report::of(&seen);
        let before: String = report.all("before").iter().map(|line| format!("{line}\n")).collect();
        let after = report.get("proc-maps").replace(r"\x0a", "\n");
        let found = [parts(example, &before), parts(example, &after)];
        let base = example.programs[1].1.base;
        let [below, emulator, above, ..] = found[1][..] else { continue };
        let reserved = [below, above].iter().all(|part| part.what == What::Reserved);
        if reserved && emulator.what == What::Program(1) && emulator.start == base {
            return found;
        }
    }
    panic!("in {TRIES} starts the emulator was never below the image, at its base");
}

/// The height at which each address that begins or ends a part is drawn.
struct Scale(Vec<(u64, u32)>);

impl Scale {
    fn new(columns: &[Vec<Part>; 2]) -> Self {
        let all = || columns.iter().flatten();
        let addresses: BTreeSet<u64> = all().flat_map(|part| [part.start, part.end]).collect();
        let addresses: Vec<u64> = addresses.into_iter().rev().collect();
        let mut y = TOP;
        let mut places = vec![(addresses[0], y)];
        for pair in addresses.windows(2) {
            let taken = all().any(|part| part.start <= pair[1] && pair[0] <= part.end);
            y += if taken { ROW } else { FREE };
            places.push((pair[1], y));
        }
        Scale(places)
    }

    fn y(&self, address: u64) -> u32 {
        self.0.iter().find(|(known, _)| *known == address).expect("an address of a part").1
    }

    fn end(&self) -> u32 {
        self.0[self.0.len() - 1].1
    }
}

/// A part's colour and label.
fn label(example: &Example, part: &Part, after: Option<&[Part]>) -> (&'static str, String) {
    let name = |number| example.name(number);
    // The first addresses of the interpreter and of the emulator.
    let place = |what| after.and_then(|parts| parts.iter().find(|part| part.what == what)).map(|part| part.start);
    match (part.what, after.is_some()) {
        (What::Stack, false) => ("data", "stack: arguments, environment, auxv".to_owned()),
        (What::Stack, true) => ("data", "the same stack, changed in place".to_owned()),
        (What::Interpreter, false) => ("code", "interpreter".to_owned()),
        (What::Interpreter, true) => ("code", "interpreter, not used any more".to_owned()),
        (What::Meta, false) => ("data", "header, table, records".to_owned()),
        (What::Meta, true) => ("data", "header, table".to_owned()),
        (What::Program(1), false) => ("moved", name(1)),
        (What::Program(1), true) => ("moved", format!("{}, at its base", name(1))),
        (What::Program(number), _) => ("program", name(number)),
        (What::Reserved, _) if Some(part.start) > place(What::Interpreter) => {
            ("open", "reserved: the rest of the payload".to_owned())
        }
        (What::Reserved, _) if Some(part.start) > place(What::Program(1)) => {
            ("open", "reserved, at most 1 TiB".to_owned())
        }
        (What::Reserved, _) => ("open", "reserved, less than 1 GiB".to_owned()),
    }
}

/// The drawing.
fn svg(example: &Example, columns: &[Vec<Part>; 2]) -> String {
    let scale = Scale::new(columns);
    let end = scale.end() + ROW;
    let mut svg = Svg::new(TITLE, WIDTH, end + 40, &FILLS);
    let headings = ["before: as the kernel made it", "after: as the emulator finds it"];
    let free = ["free", "free: generated code and the guest"];
    for ((x, parts), (heading, free)) in COLUMNS.into_iter().zip(columns).zip(headings.into_iter().zip(free)) {
        svg.add(format_args!(r#"<text x="{x}" y="{}">{heading}</text>"#, TOP - 12));
        let height = end - TOP;
        svg.add(format_args!(r#"<rect class="stroke" x="{x}" y="{TOP}" width="{COLUMN}" height="{height}"/>"#));
        let after = (x == COLUMNS[1]).then_some(&parts[..]);
        for part in parts {
            let (top, bottom) = (scale.y(part.end), scale.y(part.start));
            let (class, text) = label(example, part, after);
            let (height, middle) = (bottom - top, u32::midpoint(top, bottom) + 4);
            let dashes = if class == "open" { r#" stroke-dasharray="4 3""# } else { "" };
            svg.add(format_args!(
                r#"<g class="stroke"><rect class="{class}" x="{x}" y="{top}" width="{COLUMN}" height="{height}"{dashes}/></g>"#
            ));
            svg.add(format_args!(r#"<text x="{}" y="{middle}">{text}</text>"#, x + 10));
        }
        svg.add(format_args!(r#"<text class="small" x="{}" y="{}">{free}</text>"#, x + 10, end - ROW / 2 + 4));
    }
    arrow(&mut svg, &scale, columns);
    svg.note(end + 24, "High addresses on top; heights say nothing of sizes. Drawn from one process.");
    svg.end()
}

/// A line from the emulator in the payload to its place in memory.
fn arrow(svg: &mut Svg, scale: &Scale, columns: &[Vec<Part>; 2]) {
    let middle = |parts: &[Part]| {
        let part = parts.iter().find(|part| part.what == What::Program(1)).expect("the emulator is there");
        u32::midpoint(scale.y(part.start), scale.y(part.end))
    };
    let (from, to) = (middle(&columns[0]), middle(&columns[1]));
    let (left, right) = (COLUMNS[0] + COLUMN, COLUMNS[1]);
    let half = u32::midpoint(left, right);
    let tip = right - 2;
    svg.add(format_args!(
        r#"<path class="stroke" stroke-width="2" d="M{left} {from} C{half} {from} {half} {to} {} {to}"/>"#,
        right - 9
    ));
    svg.add(format_args!(r#"<path class="tip" d="M{tip} {to} l-9 -5 v10 z"/>"#));
    svg.add(format_args!(r#"<text x="{half}" y="{}" text-anchor="middle">mremap</text>"#, to + 24));
}

#[test]
fn hand_over() {
    need!(Namespace, Compiler);
    let example = Example::new();
    example.scratch.probe("guest", "aarch64");
    let columns = start(&example);
    compare_or_write("hand-over.svg", &svg(&example, &columns));
}
