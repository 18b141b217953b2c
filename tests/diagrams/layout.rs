//! docs/image-layout.svg: the parts of an image in their order, as its header describes them.

use dispatch_core::elf::{PF_R, PF_W, PF_X};
use dispatch_core::image::{ImageHeader, OriginRecord, ProgramRecord, SegmentRecord, WordRecord};
use dispatch_core::record::Field;
use dispatch_core::table::{RowRecord, TableHeader};

use crate::compare_or_write;
use crate::drawing::{Fill, Svg};
use crate::example::Example;
use crate::support::need;

const TITLE: &str = "The image: file, payload, and an emulator in it";
const FILLS: [Fill<'_>; 4] = [
    ("code", "#cfe3f7", "#1d3f63"),
    ("data", "#d3efdc", "#1d4a2f"),
    ("program", "#f6e3c5", "#57401a"),
    ("open", "none", "none"),
];
/// In pixels.
const WIDTH: u32 = 760;
const TOP: u32 = 74;
const ROW: u32 = 40;
/// The columns: their positions and widths.
const COLUMNS: [(u32, u32); 3] = [(16, 180), (262, 240), (568, 176)];

/// A part of a column.
struct Part {
    /// Its place in the file or in memory, to sort by.
    at: u64,
    class: &'static str,
    name: String,
    note: String,
}

fn part(at: u64, class: &'static str, name: impl Into<String>, note: impl Into<String>) -> Part {
    Part { at, class, name: name.into(), note: note.into() }
}

/// The whole file: the part in front of the payload, and the payload.
fn file(example: &Example) -> Vec<Part> {
    let kib = example.payload / 1024;
    assert_eq!(kib * 1024, example.payload);
    vec![
        part(0, "code", "interpreter", "ELF header, code, data"),
        part(example.payload, "data", "payload", format!("at {kib} KiB, last PT_LOAD")),
    ]
}

/// The payload, in the order in which its parts lie.
fn payload(example: &Example) -> Vec<Part> {
    let header = &example.header;
    let count = |len: u64, size: usize| {
        assert_eq!(len % size as u64, 0);
        format!("{} × {size} bytes", len / size as u64)
    };
    let rows = TableHeader::read(example.part(header.table)).unwrap().rows;
    let table = format!("{} bytes, {rows} × {} bytes, strings", TableHeader::SIZE, RowRecord::SIZE);
    let mut parts = vec![
        part(0, "data", "header", format!("{} bytes", ImageHeader::SIZE)),
        part(header.table.offset, "data", "compiled table", table),
        part(header.json.offset, "data", "table as JSON", "for people"),
        part(header.programs.offset, "data", "program records", count(header.programs.len, ProgramRecord::SIZE)),
        part(header.origins.offset, "data", "origin records", count(header.origins.len, OriginRecord::SIZE)),
    ];
    let details = example.programs.iter().map(|(_, record)| record.segments.offset.min(record.words.offset)).min();
    let sizes = format!("{} and {} bytes each, and names", SegmentRecord::SIZE, WordRecord::SIZE);
    parts.push(part(details.unwrap(), "data", "segments and words", sizes));
    for (number, (_, record)) in example.programs.iter().enumerate() {
        assert_eq!(record.body.offset % header.page, 0);
        let name = format!("program {number}: {}", example.name(number));
        parts.push(part(record.body.offset, "program", name, "from the start of a page"));
    }
    parts.sort_by_key(|part| part.at);
    parts
}

/// An emulator's body, with the memory behind it.
fn body(example: &Example, number: usize) -> Vec<Part> {
    let record = &example.programs[number].1;
    let segments = example.part(record.segments).chunks_exact(SegmentRecord::SIZE);
    let mut parts: Vec<Part> = Vec::new();
    for segment in segments.filter_map(SegmentRecord::read) {
        let letters = [(PF_R, 'R'), (PF_W, 'W'), (PF_X, 'X')];
        let flags: String = letters
            .iter()
            .filter(|(flag, _)| segment.flags & u64::from(*flag) != 0)
            .map(|(_, letter)| letter)
            .collect();
        let note = match &flags[..] {
            "RX" => "code",
            "RW" => "data, its pointers prelinked",
            "" => "zeros between segments",
            _ => "constants",
        };
        let name = if flags.is_empty() { "gap".to_owned() } else { format!("segment {flags}") };
        parts.push(part(segment.address, "program", name, note));
    }
    if record.high > record.low + record.body.len {
        parts.push(part(record.high, "open", "bss", "zeros behind the body"));
    }
    parts
}

/// Draws a column whose parts begin at `top`. Returns the end of each part.
fn column(svg: &mut Svg, (x, width): (u32, u32), heading: &str, parts: &[Part], row: u32) -> Vec<u32> {
    let top = TOP;
    svg.add(format_args!(r#"<text x="{x}" y="{}">{heading}</text>"#, top - 12));
    let mut ends = Vec::new();
    for (part, y) in parts.iter().zip((top..).step_by(row as usize)) {
        let Part { class, name, note, .. } = part;
        let dashes = if *class == "open" { r#" stroke-dasharray="4 3""# } else { "" };
        svg.add(format_args!(
            r#"<g class="stroke"><rect class="{class}" x="{x}" y="{y}" width="{width}" height="{row}"{dashes}/></g>"#
        ));
        let (text, middle) = (x + 10, y + row / 2);
        svg.add(format_args!(r#"<text x="{text}" y="{}">{name}</text>"#, middle - 3));
        svg.add(format_args!(r#"<text class="small" x="{text}" y="{}">{note}</text>"#, middle + 12));
        ends.push(y + row);
    }
    ends
}

/// Lines from a part to the column that shows its contents.
fn zoom(svg: &mut Svg, from: (u32, u32), part: (u32, u32), to: u32, whole: (u32, u32)) {
    let x = from.0 + from.1;
    for (y, end) in [(part.0, whole.0), (part.1, whole.1)] {
        svg.add(format_args!(r#"<line class="one" x1="{x}" y1="{y}" x2="{to}" y2="{end}"/>"#));
    }
}

/// The drawing.
fn svg(example: &Example) -> String {
    let (file, payload) = (file(example), payload(example));
    let shown = example.programs.len() - 1;
    let body = body(example, shown);
    let whole = payload.len() as u32 * ROW;
    let mut svg = Svg::new(TITLE, WIDTH, TOP + whole + 44, &FILLS);
    let [first, second, third] = COLUMNS;
    // The height of the payload's column, which has these parts.
    let files = column(&mut svg, first, "file", &file, whole / 2);
    let payloads = column(&mut svg, second, "payload", &payload, ROW);
    let row = whole / body.len().max(5) as u32;
    let bodies = column(&mut svg, third, &format!("{}, in memory", example.name(shown)), &body, row);
    zoom(&mut svg, first, (files[0], files[1]), second.0, (TOP, payloads[payloads.len() - 1]));
    let end = payloads[payloads.len() - 1];
    zoom(&mut svg, second, (end - ROW, end), third.0, (TOP, bodies[bodies.len() - 1]));
    svg.note(
        TOP + whole + 28,
        "Offsets grow downwards; heights say nothing of sizes. Programs lie in the file as they will lie in memory.",
    );
    svg.end()
}

#[test]
fn image_layout() {
    need!(Compiler);
    compare_or_write("image-layout.svg", &svg(&Example::new()));
}
