//! The files of an installation.

pub mod boot;
pub mod documents;
pub mod earlier;
pub mod files;
pub mod place;
