//! The image: the interpreter with a payload as its last segment (docs/image-format.md).

pub mod contents;
pub mod destination;
pub mod emulators;
mod interpreter;
mod layout;
mod origin;
mod own;
mod reader;
mod rows;
pub mod request;
pub mod site;
mod sources;
mod temporary;
pub mod translations;
mod writer;

pub use own::{OWN, own, own_path, registrable, this_command};
pub use reader::{Effective, OpenImage, Translated};
pub use rows::title_of;
pub use temporary::Temporary;
pub use writer::{Content, write};
