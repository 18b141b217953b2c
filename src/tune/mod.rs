//! Measures how fast real programs of an architecture run with each CPU model of its emulator.
//!
//! A process in namespaces of its own ([`arena`]) runs every workload with every contestant in turn
//! ([`contest`]); the original process evaluates the results ([`report`]), and writes the best
//! model to the site's table ([`site`]).

pub mod arena;
pub mod contest;
pub mod report;
pub mod request;
pub mod site;
pub mod workload;

use serde::{Deserialize, Serialize};

/// What is registered while programs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Registered {
    /// The emulator itself.
    Emulator,
    /// An image with the emulator embedded.
    Image,
    /// The same with translations.
    Translated,
}

/// One way to run the programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contestant {
    /// Its name in the report.
    pub name: String,
    /// The model that it gets through `QEMU_CPU`, if any.
    pub cpu: Option<String>,
    /// What is registered for it.
    pub registered: Registered,
}

impl Contestant {
    /// The emulator with its default model, registered directly.
    pub fn plain() -> Self {
        Contestant { name: "default".into(), cpu: None, registered: Registered::Emulator }
    }

    /// The emulator, registered directly, with a model.
    pub fn model(cpu: &str) -> Self {
        Contestant { name: cpu.into(), cpu: Some(cpu.into()), registered: Registered::Emulator }
    }

    /// An image with the emulator embedded, which chooses the model from its table.
    pub fn image() -> Self {
        Contestant { name: dispatch_core::NAME.into(), cpu: None, registered: Registered::Image }
    }

    /// The same with translations of the root directory's programs.
    pub fn translated() -> Self {
        Contestant { name: "with translations".into(), cpu: None, registered: Registered::Translated }
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

/// The samples of a contestant, or the reason why there are none.
pub type Samples = Result<Vec<Sample>, String>;

/// All measurements.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Measurements {
    /// The contestants; the others are compared with the first. With each, the reason if it was
    /// refused.
    pub contestants: Vec<(Contestant, Option<String>)>,
    /// For each workload, the samples of each contestant that took part.
    pub workloads: Vec<(String, Vec<Samples>)>,
    /// Workloads that were left out, with the reasons.
    pub left_out: Vec<(String, String)>,
}
