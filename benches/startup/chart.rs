//! The start-up times as a bar chart, an SVG file that goes with light and dark pages.

use std::fmt::Write;

use crate::report::{Machine, Report, Table};

/// Who has a bar, and its colour on light and on dark pages. The first contestant is the line at 1.
const BARS: [(&str, &str, &str); 4] = [
    ("exec", "#9a9a9a", "#7d7d7d"),
    ("path", "#7fb0e0", "#4c7fb3"),
    ("image", "#2f7ed8", "#5aa0ee"),
    ("prelinked", "#1a9850", "#3fb86f"),
];
/// In pixels: the whole, where bars begin, the length of a bar of 1.
const WIDTH: u32 = 760;
const LEFT: u32 = 90;
const UNIT: f64 = 460.0;
/// Width of a character in the legend, if the font is a wide one, and of a figure.
const CHARACTER: u32 = 8;
const FIGURE: f64 = 30.0;
/// Height of a bar with what is between it and the next, and of the space between architectures.
const BAR: u32 = 14;
const GAP: u32 = 14;
/// Height of what is above the bars: the title, the legend, the label of the line.
const TOP: u32 = 96;

/// The chart.
pub fn svg(report: &Report) -> String {
    let group = BARS.len() as u32 * BAR + GAP;
    let bottom = TOP + group * report.starts.len() as u32;
    let height = bottom + 34;
    let line = f64::from(LEFT) + UNIT;
    let mut svg = String::new();
    let mut add = |text: std::fmt::Arguments<'_>| {
        let _ = writeln!(svg, "{text}");
    };
    add(format_args!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">"#
    ));
    add(format_args!("<title>Time to start a program, as a multiple of QEMU registered directly</title>"));
    add(format_args!("{}", style()));
    add(format_args!(
        r#"<text class="title" x="16" y="26">Time to start a program, as a multiple of QEMU registered directly</text>"#
    ));
    let mut x = 16;
    for (name, ..) in BARS {
        add(format_args!(r#"<rect class="{name}" x="{x}" y="44" width="11" height="11" rx="2"/>"#));
        add(format_args!(r#"<text x="{}" y="54">{}</text>"#, x + 17, legend(name)));
        x += 17 + legend(name).len() as u32 * CHARACTER + 22;
    }
    add(format_args!(r#"<text class="small" x="{line}" y="84" text-anchor="middle">1.00</text>"#));
    for (index, table) in report.starts.iter().enumerate() {
        let y = TOP + index as u32 * group;
        let middle = y + BARS.len() as u32 * BAR / 2 + 4;
        add(format_args!(r#"<text x="{}" y="{middle}" text-anchor="end">{}</text>"#, LEFT - 10, table.name));
        for (bar, y) in BARS.iter().zip((y..).step_by(BAR as usize)) {
            add(format_args!("{}", one(table, bar.0, y)));
        }
    }
    add(format_args!(r#"<line x1="{line}" y1="90" x2="{line}" y2="{bottom}"/>"#));
    add(format_args!(r#"<text class="small" x="16" y="{}">{}</text>"#, height - 12, footer(report)));
    add(format_args!("</svg>"));
    svg
}

/// A bar and its figure.
fn one(table: &Table, name: &str, y: u32) -> String {
    let Some(ratio) = table.ratio(name) else { return String::new() };
    // What is far out ends at the edge; the figure still says how far.
    let width = (ratio * UNIT).min(f64::from(WIDTH - LEFT - 50));
    let (mut end, base, line) = (f64::from(LEFT) + width + 6.0, y + 10, f64::from(LEFT) + UNIT);
    // A figure that the line would cross goes behind it.
    if (line - FIGURE..line + 4.0).contains(&end) {
        end = line + 6.0;
    }
    format!(
        r#"<rect class="{name}" x="{LEFT}" y="{y}" width="{width:.1}" height="{}" rx="2"/><text class="small" x="{end:.1}" y="{base}">{ratio:.2}</text>"#,
        BAR - 2
    )
}

fn legend(name: &str) -> &'static str {
    match name {
        "exec" => "executes QEMU",
        "path" => "maps QEMU from its path",
        "image" => "QEMU embedded",
        _ => "QEMU embedded, prelinked",
    }
}

fn footer(report: &Report) -> String {
    let Machine { cpu, cpus, kernel, qemu } = &report.machine;
    let rounds = report.starts.iter().map(|table| table.rounds).min().unwrap_or(0);
    let kernel = kernel.split('-').next().unwrap_or(kernel);
    let qemu = qemu.split(' ').nth(1).unwrap_or(qemu);
    format!("exit(0), medians of {rounds} interleaved rounds; {cpus} CPUs ({cpu}), Linux {kernel}, QEMU {qemu}")
}

fn style() -> String {
    let fills = |pick: fn(&(&str, &'static str, &'static str)) -> &'static str| -> String {
        BARS.iter().map(|bar| format!(".{}{{fill:{}}}", bar.0, pick(bar))).collect()
    };
    format!(
        "<style>text{{font:13px system-ui,sans-serif;fill:#1f2328}}.title{{font-size:16px;font-weight:600}}\
         .small{{font-size:11px;fill:#59636e}}line{{stroke:#1f2328;stroke-dasharray:4 3}}{}\
         @media(prefers-color-scheme:dark){{text{{fill:#f0f6fc}}.small{{fill:#9198a1}}line{{stroke:#f0f6fc}}{}}}</style>",
        fills(|bar| bar.1),
        fills(|bar| bar.2)
    )
}
