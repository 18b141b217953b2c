//! What is measured of a program that runs once.

use std::error::Error;
use std::fmt;
use std::process::Command;
use std::str::FromStr;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

/// One run.
#[derive(Clone, Copy)]
pub struct Sample {
    /// From before it was started until it had ended.
    pub time: Duration,
    /// Page faults without input or output (`ru_minflt`), of the process and of those that it started.
    pub faults: u64,
}

impl Sample {
    /// Runs the command, which must succeed.
    pub fn of(command: &mut Command) -> Result<Self, Box<dyn Error>> {
        let before = faults()?;
        let start = Instant::now();
        let status = command.status();
        let time = start.elapsed();
        match status? {
            status if status.success() => Ok(Sample { time, faults: faults()? - before }),
            status => Err(status.to_string().into()),
        }
    }
}

/// Those of all children that have been waited for.
fn faults() -> nix::Result<u64> {
    Ok(getrusage(UsageWho::RUSAGE_CHILDREN)?.minor_page_faults().unsigned_abs())
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.time.as_nanos(), self.faults)
    }
}

impl FromStr for Sample {
    type Err = Box<dyn Error>;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (time, faults) = text.trim_end().split_once(' ').ok_or("no sample")?;
        Ok(Sample { time: Duration::from_nanos(time.parse()?), faults: faults.parse()? })
    }
}
