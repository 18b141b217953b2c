//! SVG files for light and dark pages: the common part of the charts and the diagrams.

use std::fmt::{Arguments, Write};

/// A class of shapes, and its colour on light and on dark pages.
pub type Fill<'f> = (&'f str, &'f str, &'f str);

/// Left end of text lines, in pixels.
pub const MARGIN: u32 = 16;

/// A drawing with a title at the top.
pub struct Svg {
    text: String,
}

impl Svg {
    /// An empty drawing of this size, in pixels.
    pub fn new(title: &str, width: u32, height: u32, fills: &[Fill<'_>]) -> Self {
        let style = style(fills);
        let mut svg = Svg { text: String::new() };
        svg.add(format_args!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">"#
        ));
        svg.add(format_args!("<title>{title}</title>\n<style>{style}</style>"));
        svg.add(format_args!(r#"<text class="title" x="{MARGIN}" y="26">{title}</text>"#));
        svg
    }

    /// Adds an element.
    pub fn add(&mut self, element: Arguments<'_>) {
        let _ = writeln!(self.text, "{element}");
    }

    /// Adds small text.
    pub fn note(&mut self, y: u32, text: &str) {
        self.add(format_args!(r#"<text class="small" x="{MARGIN}" y="{y}">{text}</text>"#));
    }

    /// The whole file.
    pub fn end(self) -> String {
        self.text + "</svg>\n"
    }
}

/// The style sheet. The class `one` makes a line dashed, `grid` thin, and `stroke` solid.
fn style(fills: &[Fill<'_>]) -> String {
    let fill = |dark: bool| -> String {
        fills
            .iter()
            .map(|(class, light, night)| format!(".{class}{{fill:{}}}", if dark { night } else { light }))
            .collect()
    };
    format!(
        "text{{font:13px system-ui,sans-serif;fill:#1f2328}}.title{{font-size:16px;font-weight:600}}\
         .small{{font-size:11px;fill:#59636e}}.one{{stroke:#1f2328;stroke-dasharray:4 3}}.grid{{stroke:#d1d9e0}}\
         .stroke{{stroke:#59636e;fill:none}}{}\
         @media(prefers-color-scheme:dark){{text{{fill:#f0f6fc}}.small{{fill:#9198a1}}.one{{stroke:#f0f6fc}}\
         .grid{{stroke:#3d444d}}.stroke{{stroke:#9198a1}}{}}}",
        fill(false),
        fill(true)
    )
}
