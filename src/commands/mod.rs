//! One file per command: its arguments, and what it does.

pub mod container;
pub mod explain;
pub mod generate;
pub mod helper;
pub mod image;
pub mod install;
pub mod lint;
pub mod list;
pub mod register;
pub mod run;
pub mod status;
pub mod tune;
pub mod uninstall;
pub mod unregister;
pub mod unshare;
