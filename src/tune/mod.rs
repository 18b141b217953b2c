//! How fast programs of an architecture run with each CPU model of its emulator, measured with real
//! ones.
//!
//! A process in namespaces of its own ([`arena`]) runs every workload with every contestant in turn
//! ([`contest`]); what it measured is summed up outside ([`report`]), and the site's table gets the
//! winner ([`site`]).

pub mod arena;
pub mod contest;
pub mod report;
pub mod request;
pub mod site;
pub mod workload;

use serde::{Deserialize, Serialize};

/// One way to run the programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contestant {
    /// Its name in the report.
    pub name: String,
    /// The model that it gets by `QEMU_CPU`, if any.
    pub cpu: Option<String>,
    /// Whether it goes through an image instead of the emulator itself.
    pub image: bool,
}

impl Contestant {
    /// The emulator as it is, registered directly.
    pub fn plain() -> Self {
        Contestant { name: "default".into(), cpu: None, image: false }
    }

    /// The emulator, registered directly, with a model.
    pub fn model(cpu: &str) -> Self {
        Contestant { name: cpu.into(), cpu: Some(cpu.into()), image: false }
    }

    /// An image with the emulator embedded, which chooses as its table says.
    pub fn image() -> Self {
        Contestant { name: dispatch_core::NAME.into(), cpu: None, image: true }
    }
}

/// The time that one run took, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// CPU time of the program and all its children, in user and kernel mode.
    pub cpu: f64,
    /// Elapsed time from start to end.
    pub wall: f64,
}

/// The samples of a contestant, or why there are none.
pub type Samples = Result<Vec<Sample>, String>;

/// All measurements.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Measurements {
    /// The contestants, or why one did not take part; the others are compared with the first.
    pub contestants: Vec<(Contestant, Option<String>)>,
    /// By workload, the samples of each of the contestants that took part.
    pub workloads: Vec<(String, Vec<Samples>)>,
    /// Workloads that were left out, and why.
    pub left_out: Vec<(String, String)>,
}
