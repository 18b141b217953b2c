//! The diagrams in docs/, drawn from an image that the test writes, and from a process that it
//! starts. These tests fail if the files in docs/ differ from the drawing.
//! `BINFMT_DISPATCH_DIAGRAMS=docs` writes the files instead.

#[path = "../../benches/drawing/mod.rs"]
mod drawing;
// The image for the diagrams.
mod example;
// docs/hand-over.svg.
mod hand_over;
// docs/image-layout.svg.
mod layout;
// The contents of /proc/PID/maps, as parts.
mod maps;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};

/// Compares `svg` with the diagram `name` of the documents, or writes it.
#[track_caller]
fn compare_or_write(name: &str, svg: &str) {
    if let Some(directory) = std::env::var_os("BINFMT_DISPATCH_DIAGRAMS").map(PathBuf::from) {
        // Cargo runs tests in the package's directory.
        std::fs::write(directory.join(name), svg).unwrap();
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let anew = "BINFMT_DISPATCH_DIAGRAMS=docs cargo test --test diagrams";
    assert!(committed == svg, "docs/{name} is not what is drawn; write it anew with\n    {anew}\nDrawn:\n{svg}");
}
