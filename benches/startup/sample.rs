//! The measurements of one run of a program.

use std::error::Error;
use std::fmt;
use std::process::Command;
use std::str::FromStr;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// One run.
#[derive(Clone, Copy)]
pub struct Sample {
    /// Time from before the start to the end.
    pub wall: Duration,
    /// CPU time of the process and of those that it started, since the fork.
    pub cpu: Duration,
    /// Page faults without input or output (`ru_minflt`), of the same processes.
    pub faults: u64,
}

impl Sample {
    /// Runs the command, which must end with 0, or with another code up to `most`.
    pub fn of(command: &mut Command, most: i32) -> Result<Self, Box<dyn Error>> {
        let before = Used::now()?;
        let start = Instant::now();
        let status = command.status();
        let wall = start.elapsed();
        let after = Used::now()?;
        match status? {
            status if status.code().is_some_and(|code| code <= most) => Ok(Sample {
                wall,
                cpu: after.cpu.checked_sub(before.cpu).unwrap(),
                faults: after.faults - before.faults,
            }),
            status => Err(status.to_string().into()),
        }
    }
}

/// Resources used by all children that have been waited for.
struct Used {
    cpu: Duration,
    faults: u64,
}

impl Used {
    fn now() -> nix::Result<Self> {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
        let time = |time: TimeVal| {
            Duration::from_secs(time.tv_sec().unsigned_abs()) + Duration::from_micros(time.tv_usec().unsigned_abs())
        };
        Ok(Used {
            cpu: time(usage.user_time()) + time(usage.system_time()),
            faults: usage.minor_page_faults().unsigned_abs(),
        })
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.wall.as_nanos(), self.cpu.as_nanos(), self.faults)
    }
}

impl FromStr for Sample {
    type Err = Box<dyn Error>;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers = text.split_ascii_whitespace().map(str::parse).collect::<Result<Vec<u64>, _>>()?;
        let [wall, cpu, faults] = numbers[..] else { return Err("no sample".into()) };
        Ok(Sample { wall: Duration::from_nanos(wall), cpu: Duration::from_nanos(cpu), faults })
    }
}
