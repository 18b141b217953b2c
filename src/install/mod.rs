//! The files of an installation.

pub mod boot;
pub mod documents;
pub mod files;
pub mod place;
