//! Longer work, through an image and with QEMU registered directly: making a root directory, and
//! compiling a project in it.

use std::fs;
use std::process::Command;

use super::choices::{PROJECT, PROJECT_SOURCE};
use super::pair::Pair;
use super::rounds::{Named, Took, measure};
use crate::debian::Mirror;
use crate::files::{put, work_in};
use crate::program::quietly;
use crate::{Result, files};

const WAYS: [&str; 2] = ["image", "direct"];

/// Both kinds of work, in both ways.
pub fn measured(pair: &Pair, mirror: &Mirror) -> Result<Named<Named<Vec<Took>>>> {
    if quietly(Command::new("mmdebstrap").arg("--version")).is_err() {
        return Err("there is no mmdebstrap: ci/setup installs it".into());
    }
    fetch(pair, mirror)?;
    pair.write_image()?;
    let root = measure("minimal root directory", &WAYS, 3, |way| make_root(pair, mirror, way))?;
    let project = measure(PROJECT, &WAYS, 1, |way| compile(pair, way))?;
    fs::remove_dir_all(pair.root().join("srv").join(PROJECT))?;
    Ok(Named(vec![("root", root), ("project", project)]))
}

fn registered(pair: &Pair, way: &str) -> Result<Command> {
    if way == "image" { Ok(pair.in_image()) } else { pair.direct() }
}

/// Fetches the project's source.
fn fetch(pair: &Pair, mirror: &Mirror) -> Result<()> {
    let archive = pair.place.join(format!("{PROJECT}.tar.gz"));
    if archive.exists() {
        return Ok(());
    }
    let work = work_in(pair.place)?;
    let new = work.path().join("archive");
    let mut helper = Command::new("/usr/lib/apt/apt-helper");
    helper.args(["-o", "APT::Sandbox::User=root", "download-file"]);
    quietly(helper.arg(format!("{}/{PROJECT_SOURCE}", mirror.address)).arg(&new))?;
    put(&new, &archive)
}

/// Makes a minimal root directory.
fn make_root(pair: &Pair, mirror: &Mirror, way: &str) -> Result<Command> {
    let made = pair.place.join("made");
    files::remove(&made)?;
    let mut command = registered(pair, way)?;
    command.args(["mmdebstrap", "--mode=root", "--skip=check/qemu", "--variant=essential"]);
    command.arg(format!("--architectures={}", pair.architecture.name));
    command.arg(pair.architecture.release).arg(made).arg(&mirror.address);
    Ok(command)
}

/// Configures and compiles the project with the compiler of the root directory.
fn compile(pair: &Pair, way: &str) -> Result<Command> {
    let (root, archive) = (pair.root(), pair.place.join(format!("{PROJECT}.tar.gz")));
    let scratch = root.join("srv");
    files::remove(&scratch.join(PROJECT))?;
    fs::create_dir_all(&scratch)?;
    quietly(Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(scratch))?;
    let mut command = registered(pair, way)?;
    command.arg("chroot").arg(root).args(["bash", "-c"]);
    command.arg(format!("cd /srv/{PROJECT} && ./configure && make"));
    Ok(command)
}
