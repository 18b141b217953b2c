//! The files of an installation.

pub mod boot;
pub mod files;
