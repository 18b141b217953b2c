//! Output on standard output.

mod columns;
pub mod json;
mod text;

pub use columns::Columns;
pub use text::print;
