//! `container`: the entry point of container images. It takes the arguments of the images that
//! people use to register QEMU, and prints the same JSON.

mod install;
mod level;
mod platforms;
mod report;
mod uninstall;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args as ClapArgs;
use dispatch_core::NAME;
use dispatch_table::ArchTable;
use nix::unistd::Pid;
use serde::Serialize;

use crate::defaults;
use crate::failure::{ContainerFault, Failure, warn};
use crate::image::{self, OpenImage};
use crate::output::json::{self, Bytes};
use crate::output::print;
use crate::registry::Registry;
use crate::registry::mounting::Mounted;
use crate::registry::selection::Credentials;

/// Register the image of a container, or report what runs
///
/// This is the entry point of container images, which are used as in `docker run --privileged --rm
/// IMAGE --install all`. Prints, as JSON, the platforms whose programs run, and the names of the
/// enabled entries; with an option, after it has done what the option says. `binfmt_misc` is mounted
/// if it is missing. `container COMMAND …` is the same as `COMMAND …`.
#[derive(Clone, Debug, ClapArgs)]
pub struct Args {
    /// Register the image for these platforms: names of architectures, with commas between them, or
    /// `all`. The entries work when the container is gone. Those of another image of binfmt-dispatch
    /// are replaced. With '', nothing is installed
    #[arg(long, value_name = "PLATFORMS")]
    install: Option<String>,
    /// Remove the entries of binfmt-dispatch for these platforms, or with these names, which may be
    /// patterns such as `qemu-*`; before anything is installed
    #[arg(long, value_name = "PLATFORMS")]
    uninstall: Option<String>,
    /// Replace existing entries of the same names, whoever registered them
    #[arg(long, requires = "install")]
    replace: bool,
    #[command(flatten)]
    credentials: Credentials,
    /// Serve /metrics and /healthz over HTTP until SIGTERM or SIGINT; default: port 9813 of all
    /// addresses
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, conflicts_with_all = ["install", "uninstall"])]
    report: Option<Option<SocketAddr>>,
    /// The platforms that have to run for /healthz; default: those that the image has emulators for
    #[arg(long, value_name = "PLATFORMS", requires = "report")]
    expect: Option<String>,
    /// Print the versions of binfmt-dispatch and of the emulators in the image
    #[arg(long)]
    version: bool,
    /// Where `binfmt_misc` is, or is to be, mounted
    #[arg(long, value_name = "DIR", default_value = defaults::REGISTRY)]
    mount: PathBuf,
}

/// What the images that people use print, too.
#[derive(Serialize)]
struct State {
    supported: Vec<&'static str>,
    emulators: Vec<Bytes>,
}

impl Args {
    /// Whether it changes something.
    pub fn changes(&self) -> bool {
        given(self.install.as_ref()).or(given(self.uninstall.as_ref())).is_some()
    }
}

/// The list of an option. An empty one is as if the option were missing, as with the images that
/// people use: scripts pass a variable that may be empty.
fn given(list: Option<&String>) -> Option<&str> {
    list.map(String::as_str).filter(|list| !list.is_empty())
}

/// Does what the options say; the result is an exit code.
///
/// # Errors
/// Nothing can be done. Failures of single entries are reported, and the code is that of the first.
pub fn run(args: &Args, table: &ArchTable) -> Result<u8, Failure> {
    if args.version {
        return version();
    }
    if let Some(address) = args.report {
        return report::run(address, args.expect.as_deref(), table, &args.mount);
    }
    // All of the command line is understood before anything is changed.
    let install = given(args.install.as_ref()).map(|list| platforms::named(table, "--install", list)).transpose()?;
    if !args.changes() {
        return status(args, table);
    }
    let registry = Mounted::at(&args.mount)?;
    if !registry.enabled()? {
        return Err(Failure::AllDisabled { directory: args.mount.clone() });
    }
    if install.is_some() && !registry.lasting {
        let fault = Failure::Container(ContainerFault::NotLasting);
        // With its first process the container ends.
        if Pid::this().as_raw() == 1 {
            return Err(fault);
        }
        warn(fault);
    }
    let lock = registry.lock().map_err(in_container)?;
    let mut code = 0;
    if let Some(list) = given(args.uninstall.as_ref()) {
        code = uninstall::run(list, table, &registry)?;
    }
    if let Some(named) = install {
        let installed = install::run(args, named.as_deref(), table, &registry)?;
        code = if code == 0 { installed } else { code };
    }
    drop(lock);
    show(table, &registry)?;
    Ok(code)
}

/// Shows the state. Where the registry cannot be seen, as without privileges, there is still the
/// answer to which programs run.
fn status(args: &Args, table: &ArchTable) -> Result<u8, Failure> {
    match Mounted::at(&args.mount) {
        Ok(registry) => show(table, &registry)?,
        Err(failure @ Failure::Container(_)) => {
            warn(format_args!("the entries cannot be seen: {failure}"));
            json::print(&State { supported: platforms::supported(table), emulators: Vec::new() })?;
        }
        Err(failure) => return Err(failure),
    }
    Ok(0)
}

fn show(table: &ArchTable, registry: &Registry) -> Result<(), Failure> {
    let mut names: Vec<_> =
        registry.entries()?.into_iter().filter(|entry| entry.enabled).map(|entry| entry.name).collect();
    names.sort();
    json::print(&State { supported: platforms::supported(table), emulators: names.iter().map(Bytes::from).collect() })
}

fn version() -> Result<u8, Failure> {
    let mut versions = vec![format!("{NAME}/{}", env!("CARGO_PKG_VERSION"))];
    // The first program is the command.
    for program in image::own().map(|image| image.programs()).transpose()?.unwrap_or_default().iter().skip(1) {
        let family = program.name.split('-').next().unwrap_or_default();
        let version = format!("{family}/{}", program.version);
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    print(versions.join(" ") + "\n")?;
    Ok(0)
}

/// The image of the container, and its path for the kernel.
fn own_image() -> Result<(PathBuf, OpenImage), Failure> {
    image::registrable().ok_or(Failure::Container(ContainerFault::NoImage))
}

/// A failure with the remedy for a container.
fn in_container(failure: Failure) -> Failure {
    match failure {
        Failure::NotPermitted { directory, error } => {
            Failure::Container(ContainerFault::NotWritable { directory, error })
        }
        failure => failure,
    }
}
