//! The times to start programs as a bar chart.

use crate::drawing::{Fill, MARGIN, Svg};
use crate::report::{Machine, Report, Table};
use crate::subject::{PROGRAMS, WORKER_ARCHITECTURE};

/// The contestants with a bar, their colours on light and on dark pages, and their names. The first
/// contestant is the line at 1.
const BARS: [(Fill<'_>, &str); 5] = [
    (("exec", "#9a9a9a", "#7d7d7d"), "executes QEMU"),
    (("path", "#7fb0e0", "#4c7fb3"), "maps QEMU"),
    (("image", "#2f7ed8", "#5aa0ee"), "QEMU embedded"),
    (("prelinked", "#1a9850", "#3fb86f"), "QEMU embedded, prelinked"),
    (("native", "#d98a1f", "#e8a94f"), "native"),
];
/// In pixels: total width, start of the bars, length of a bar of 1.
const WIDTH: u32 = 760;
const LEFT: u32 = 150;
const UNIT: f64 = 460.0;
/// Width of a character in the legend, for a wide font, and of a figure.
const CHARACTER: u32 = 8;
const FIGURE: f64 = 30.0;
/// Height of a bar and the gap behind it, of the space between groups, and of a heading.
const BAR: u32 = 14;
const GAP: u32 = 14;
const HEADING: u32 = 30;
/// Height of the part above the bars: the title, the legend, the label of the line.
const TOP: u32 = 96;
const TITLE: &str = "CPU time to start and end a program, as a multiple of QEMU registered directly";

/// The chart.
pub fn svg(report: &Report) -> String {
    let panels = [
        ("exit(0), static".to_owned(), &report.starts),
        (format!("programs of Debian, {WORKER_ARCHITECTURE}"), &report.programs),
    ];
    let height = |tables: &[Table]| if tables.is_empty() { 0 } else { HEADING + tables.iter().map(group).sum::<u32>() };
    let bottom = TOP + panels.iter().map(|(_, tables)| height(tables)).sum::<u32>();
    let line = f64::from(LEFT) + UNIT;
    let mut svg = Svg::new(TITLE, WIDTH, bottom + 50, &BARS.map(|(fill, _)| fill));
    let mut x = MARGIN;
    for ((class, ..), name) in BARS {
        svg.add(format_args!(r#"<rect class="{class}" x="{x}" y="44" width="11" height="11" rx="2"/>"#));
        svg.add(format_args!(r#"<text x="{}" y="54">{name}</text>"#, x + 17));
        x += 17 + name.len() as u32 * CHARACTER + 16;
    }
    svg.add(format_args!(r#"<text class="small" x="{line}" y="84" text-anchor="middle">1.00</text>"#));
    let mut y = TOP;
    for (heading, tables) in panels.iter().filter(|(_, tables)| !tables.is_empty()) {
        svg.note(y + 16, heading);
        y += HEADING;
        for table in *tables {
            y = bars(&mut svg, table, y);
        }
    }
    svg.add(format_args!(r#"<line class="one" x1="{line}" y1="90" x2="{line}" y2="{bottom}"/>"#));
    footer(report).iter().zip([bottom + 22, bottom + 38]).for_each(|(note, y)| svg.note(y, note));
    svg.end()
}

/// The height of the bars of a table, with the space behind them.
fn group(table: &Table) -> u32 {
    BARS.iter().filter(|((name, ..), _)| table.ratio(name).is_some()).count() as u32 * BAR + GAP
}

/// Draws the bars of a table from `top` on, with their labels; returns where the next table may
/// begin.
fn bars(svg: &mut Svg, table: &Table, top: u32) -> u32 {
    let middle = top + (group(table) - GAP) / 2;
    let label = PROGRAMS.iter().find(|program| program.name == table.name);
    let label = label.map_or(table.name.clone(), super::subject::Program::label);
    let x = LEFT - 10;
    svg.add(format_args!(r#"<text x="{x}" y="{middle}" text-anchor="end">{label}</text>"#));
    if let Some(row) = table.row("direct") {
        let (y, whole) = (middle + 14, row.cpu.milliseconds.median);
        svg.add(format_args!(r#"<text class="small" x="{x}" y="{y}" text-anchor="end">1.00 is {whole:.1} ms</text>"#));
    }
    let present = BARS.iter().filter_map(|((name, ..), _)| Some((name, table.ratio(name)?)));
    let mut y = top;
    for (name, ratio) in present {
        one(svg, name, ratio, y);
        y += BAR;
    }
    y + GAP
}

/// A bar and its figure.
fn one(svg: &mut Svg, name: &str, ratio: f64, y: u32) {
    // Bars that are too long end at the edge; the figure still shows the value.
    let width = (ratio * UNIT).min(f64::from(WIDTH - LEFT - 50));
    let (mut end, base, line) = (f64::from(LEFT) + width + 6.0, y + 10, f64::from(LEFT) + UNIT);
    // A figure that the line would cross is moved behind the line.
    if (line - FIGURE..line + 4.0).contains(&end) {
        end = line + 6.0;
    }
    let height = BAR - 2;
    svg.add(format_args!(
        r#"<rect class="{name}" x="{LEFT}" y="{y}" width="{width:.1}" height="{height}" rx="2"/><text class="small" x="{end:.1}" y="{base}">{ratio:.2}</text>"#
    ));
}

/// The two lines that describe the measurement.
fn footer(report: &Report) -> [String; 2] {
    let Machine { cpu, cpus, kernel, qemu, models } = &report.machine;
    let rounds = |tables: &[Table]| tables.iter().map(|table| table.rounds).min().unwrap_or(0);
    let (starts, programs) = (rounds(&report.starts), rounds(&report.programs));
    let kernel = kernel.split('-').next().unwrap_or(kernel);
    let qemu = qemu.split(' ').nth(1).unwrap_or(qemu);
    let models: Vec<String> = models.iter().map(|(name, model)| format!("{name}: {model}")).collect();
    let models = if models.is_empty() { String::new() } else { format!("; {} for all", models.join(", ")) };
    [
        format!("Medians of {starts} and of {programs} interleaved rounds, QEMU {qemu}{models}"),
        format!("{cpus} CPUs ({cpu}), Linux {kernel}"),
    ]
}
