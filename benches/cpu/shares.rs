//! A chart of shares of the CPU time with QEMU registered directly.

use crate::chart::{BAR, GAP, TOP, WIDTH, bar, begin, legend};

/// In pixels.
const LEFT: f64 = 260.0;
const RIGHT: f64 = 60.0;
/// End of the axis.
const MOST: f64 = 1.2;

/// The chart. Each work has shares, with the numbers of their names.
pub fn chart(title: &str, names: &[String], works: &[(&str, Vec<(usize, f64)>)], note: &str) -> String {
    let bars: u32 = works.iter().map(|(_, shares)| shares.len() as u32 * BAR + GAP).sum();
    let height = TOP + bars + 40;
    let mut svg = begin(title, height);
    legend(&mut svg, 170, names.iter().cloned());
    let position = |share: f64| LEFT + share.min(MOST) / MOST * (f64::from(WIDTH) - LEFT - RIGHT);
    for mark in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let (x, class) = (position(mark), if mark == 1.0 { "one" } else { "grid" });
        svg.add(format_args!(r#"<text class="small" x="{x:.1}" y="74" text-anchor="middle">{mark}</text>"#));
        svg.add(format_args!(r#"<line class="{class}" x1="{x:.1}" y1="80" x2="{x:.1}" y2="{}"/>"#, height - 34));
    }
    let mut top = TOP;
    for (what, shares) in works.iter().filter(|(_, shares)| !shares.is_empty()) {
        let middle = top + shares.len() as u32 * BAR / 2 + 4;
        svg.add(format_args!(r#"<text x="{}" y="{middle}" text-anchor="end">{what}</text>"#, LEFT - 10.0));
        for (row, (index, share)) in (0..).zip(shares) {
            bar(&mut svg, (*index, top + row * BAR), (LEFT, position(*share)), *share);
        }
        top += shares.len() as u32 * BAR + GAP;
    }
    svg.note(height - 12, note);
    svg.end()
}

/// The median; not a number if there are no values.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    f64::midpoint(middle(values.len().saturating_sub(1) / 2), middle(values.len() / 2))
}
