//! The charts: SVG files for light and dark pages.

use crate::drawing::{Fill, Svg};
use crate::results::Measured;

/// In pixels.
pub const WIDTH: u32 = 760;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 50.0;
pub const TOP: u32 = 84;
const LINE: u32 = 24;
pub const BAR: u32 = 12;
pub const GAP: u32 = 10;
/// Colours of the bars on light and on dark pages.
pub const COLOURS: [(&str, &str); 5] = [
    ("#2f7ed8", "#5aa0ee"),
    ("#1a9850", "#3fb86f"),
    ("#d98a1f", "#e8a94f"),
    ("#8a63c9", "#a98be0"),
    ("#c8443c", "#e07069"),
];
/// Ends and marks of the logarithmic axis.
const AXIS: (f64, f64) = (0.7, 20.0);
const MARKS: [f64; 6] = [1.0, 1.5, 2.0, 4.0, 8.0, 16.0];

/// Speed-up of each workload with the model that the table chooses.
pub fn workloads(models: &[Measured]) -> String {
    let shown: Vec<(&Measured, usize)> =
        (models.iter()).filter_map(|one| Some((one, one.place(one.chosen.as_deref()?)?))).take(COLOURS.len()).collect();
    let mut names: Vec<&str> = Vec::new();
    for workload in shown.iter().flat_map(|(one, _)| &one.workloads) {
        if !names.contains(&workload.name.as_str()) {
            names.push(&workload.name);
        }
    }
    let group = shown.len() as u32 * BAR + GAP;
    let height = TOP + group * names.len() as u32 + 40;
    let mut svg = begin("How many times faster with the CPU model of the table, by QEMU's version", height);
    legend(&mut svg, 146, shown.iter().map(|(one, _)| format!("{}, {}", one.debian, one.version())));
    axis(&mut svg, height);
    for (row, name) in names.iter().enumerate() {
        let top = TOP + row as u32 * group;
        let middle = top + group / 2;
        svg.add(format_args!(r#"<text x="{}" y="{middle}" text-anchor="end">{name}</text>"#, LEFT - 10.0));
        for (index, (one, place)) in shown.iter().enumerate() {
            let workload = one.workloads.iter().find(|workload| workload.name == *name);
            let Some(ratio) = workload.and_then(|workload| workload.ratio(*place)) else { continue };
            let y = top + index as u32 * BAR;
            let (from, to) = (position(1.0).min(position(ratio)), position(1.0).max(position(ratio)));
            bar(&mut svg, (index, y), (from, to), ratio);
        }
    }
    end(svg, models, height)
}

/// The geometric means of all measured models, for each architecture and emulator. The table's
/// choice is highlighted.
pub fn models(models: &[Measured]) -> String {
    let height = TOP + LINE * models.len() as u32 + 40;
    let mut svg = begin("All models that were measured: geometric mean of the workloads", height);
    svg.add(format_args!(
        r#"<circle class="c1" cx="22" cy="46" r="6"/><text x="34" y="50">what the table chooses</text>"#
    ));
    svg.add(format_args!(
        r#"<circle class="other" cx="222" cy="46" r="4"/><text x="234" y="50">another model, by its name</text>"#
    ));
    axis(&mut svg, height);
    for (row, one) in models.iter().enumerate() {
        let y = TOP + row as u32 * LINE + LINE / 2;
        svg.add(format_args!(
            r#"<text x="{}" y="{}" text-anchor="end">{}, {}</text>"#,
            LEFT - 10.0,
            y + 4,
            one.debian,
            one.version()
        ));
        let default = one.chosen.is_none();
        for (index, contestant) in one.present().enumerate() {
            let Some(mean) = contestant.mean else { continue };
            let chosen = one.chosen.as_deref() == Some(&contestant.name) || (default && index == 0);
            let (class, radius) = if chosen { ("c1", 6) } else { ("other", 4) };
            svg.add(format_args!(
                r#"<circle class="{class}" cx="{:.1}" cy="{y}" r="{radius}"><title>{} {mean:.2}</title></circle>"#,
                position(mean),
                contestant.name
            ));
        }
    }
    end(svg, models, height)
}

/// Position of a ratio on the axis.
fn position(ratio: f64) -> f64 {
    let (low, high) = (AXIS.0.ln(), AXIS.1.ln());
    let share = (ratio.clamp(AXIS.0, AXIS.1).ln() - low) / (high - low);
    LEFT + share * (f64::from(WIDTH) - LEFT - RIGHT)
}

fn axis(svg: &mut Svg, height: u32) {
    for mark in MARKS {
        let x = position(mark);
        let class = if mark == 1.0 { "one" } else { "grid" };
        svg.add(format_args!(r#"<text class="small" x="{x:.1}" y="74" text-anchor="middle">{mark}×</text>"#));
        svg.add(format_args!(r#"<line class="{class}" x1="{x:.1}" y1="80" x2="{x:.1}" y2="{}"/>"#, height - 34));
    }
}

/// The names of the bars' colours, `step` pixels apart.
pub fn legend(svg: &mut Svg, step: usize, names: impl Iterator<Item = String>) {
    for (index, name) in names.enumerate() {
        let x = 16 + index * step;
        svg.add(format_args!(r#"<rect class="c{index}" x="{x}" y="40" width="11" height="11" rx="2"/>"#));
        svg.add(format_args!(r#"<text x="{}" y="50">{name}</text>"#, x + 17));
    }
}

/// A bar of the colour `index` at `y`, with its figure.
pub fn bar(svg: &mut Svg, (index, y): (usize, u32), (from, to): (f64, f64), figure: f64) {
    svg.add(format_args!(
        r#"<rect class="c{index}" x="{from:.1}" y="{y}" width="{:.1}" height="{}" rx="2"/><text class="small" x="{:.1}" y="{}">{figure:.2}</text>"#,
        (to - from).max(1.0),
        BAR - 2,
        to + 5.0,
        y + 9
    ));
}

/// The drawing with its title.
pub fn begin(title: &str, height: u32) -> Svg {
    let classes: Vec<String> = (0..COLOURS.len()).map(|index| format!("c{index}")).collect();
    let colours = classes.iter().zip(COLOURS).map(|(class, (light, dark))| (class.as_str(), light, dark));
    let fills: Vec<Fill<'_>> = colours.chain([("other", "#9a9a9a", "#9a9a9a")]).collect();
    Svg::new(title, WIDTH, height, &fills)
}

fn end(mut svg: Svg, models: &[Measured], height: u32) -> String {
    if let Some(Measured { machine, .. }) = models.first() {
        let kernel = machine.kernel.split('-').next().unwrap_or(&machine.kernel);
        let (cpus, cpu) = (machine.cpus, &machine.cpu);
        let note = format!(
            "CPU time, medians, against the emulator's default; {cpus} CPUs ({cpu}), Linux {kernel}; logarithmic"
        );
        svg.note(height - 12, &note);
    }
    svg.end()
}
