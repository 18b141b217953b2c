//! Translations: code that an emulator has made of a program, kept for every later start of it.
//!
//! A process in namespaces of its own ([`train`]) runs programs of a root directory with an image
//! whose emulator records what it translates; the original process gives the records to the writer
//! of the next image ([`request`]). An installation remembers the root directories ([`roots`]), and
//! keeps or renews its translations ([`keep`]). docs/translations-format.md describes the records.

pub mod keep;
pub mod request;
pub mod roots;
pub mod train;
