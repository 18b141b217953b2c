//! Output on standard output, with the colours that all commands share.

mod columns;
pub mod json;
pub mod metrics;
mod text;

pub use crate::style::{BAD, GOOD, OUTPUT, WARNING, paint};
pub use columns::{Cell, Columns, Narrow};
pub use text::{print, size, width, write};
