//! Longer work, through an image and with QEMU registered directly: making a root directory,
//! installing packages of Debian, Python and Node.js in one, and compiling a project.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::choices::{BUILD_PACKAGES, NODE_PACKAGES, PROJECT, PROJECT_SOURCE, PYTHON_PACKAGES};
use super::pair::Pair;
use super::rounds::{Named, Took, measure};
use crate::Result;
use crate::debian::{Mirror, unpack};
use crate::files::{self, put, work_in};
use crate::program::quietly;

const WAYS: [&str; 2] = ["image", "direct"];

/// The certificates that programs of Debian trust.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What is installed is put below this directory of the root directory, and removed after it.
const SCRATCH: &str = "srv";

/// A piece of work.
pub struct Work {
    pub name: &'static str,
    /// How often it is done in each way.
    rounds: usize,
    /// Fetches what it needs.
    fetch: fn(&Builds<'_>) -> Result<()>,
    /// Prepares one run, and returns the command to time.
    command: fn(&Builds<'_>, &str) -> Result<Command>,
}

/// Every piece of work, in the order in which they are measured.
pub const WORKS: [Work; 5] = [
    Work { name: "root", rounds: 3, fetch: |_| Ok(()), command: |builds, way| builds.make_root(way) },
    Work { name: "install", rounds: 2, fetch: |builds| builds.make_base(), command: |builds, way| builds.install(way) },
    Work { name: "pip", rounds: 1, fetch: |builds| builds.unpack(), command: |builds, way| builds.pip(way) },
    Work { name: "npm", rounds: 1, fetch: |builds| builds.unpack(), command: |builds, way| builds.npm(way) },
    Work {
        name: "project",
        rounds: 1,
        fetch: |builds| builds.fetch_project(),
        command: |builds, way| builds.compile(way),
    },
];

/// Where the work is done.
pub struct Builds<'b> {
    pub pair: &'b Pair<'b>,
    pub mirror: &'b Mirror,
}

impl Builds<'_> {
    /// Some of the work, in both ways.
    pub fn measured(&self, works: &[&Work]) -> Result<Named<Named<Vec<Took>>>> {
        if quietly(Command::new("mmdebstrap").arg("--version")).is_err() {
            return Err("there is no mmdebstrap: ci/setup installs it".into());
        }
        self.pair.write_image()?;
        works.iter().try_for_each(|work| (work.fetch)(self))?;
        let mut all = Named::default();
        for work in works {
            all.0.push((work.name, measure(work.name, &WAYS, work.rounds, |way| (work.command)(self, way))?));
        }
        files::remove(&self.made())?;
        for root in [self.unpacked(), self.pair.root()] {
            files::remove(&root.join(SCRATCH))?;
        }
        Ok(all)
    }

    fn registered(&self, way: &str) -> Result<Command> {
        if way == "image" { Ok(self.pair.in_image()) } else { self.pair.direct() }
    }

    /// The root directory that is made, or into which packages are installed.
    fn made(&self) -> PathBuf {
        self.pair.place.join("made")
    }

    /// A root directory with apt, and the packages that it is to install.
    fn base(&self) -> PathBuf {
        self.pair.place.join(format!("base-{}", self.pair.architecture.name))
    }

    /// A root directory with pip and npm, whose packages are unpacked but not configured.
    fn unpacked(&self) -> PathBuf {
        self.pair.place.join(format!("builds-{}", self.pair.architecture.name))
    }

    fn archive(&self) -> PathBuf {
        self.pair.place.join(format!("{PROJECT}.tar.gz"))
    }

    /// An mmdebstrap command without its options.
    fn mmdebstrap(&self, way: &str) -> Result<Command> {
        let mut command = self.registered(way)?;
        command.args(["mmdebstrap", "--mode=root", "--skip=check/qemu"]);
        command.arg(format!("--architectures={}", self.pair.architecture.name));
        Ok(command)
    }

    /// A shell script in a root directory that has the machine's devices, for one run.
    fn inside(&self, way: &str, root: &Path, script: &str) -> Result<Command> {
        const ENTER: &str = r#"
            for directory in dev proc; do mount --rbind "/$directory" "$0/$directory" || exit; done
            exec chroot "$0" /bin/bash -c "$1""#;
        let mut command = self.registered(way)?;
        command.args(["bash", "-c", ENTER]).arg(root).arg(script);
        command.env("HOME", "/root").env("NODE_EXTRA_CA_CERTS", CERTIFICATES);
        Ok(command)
    }

    fn make_root(&self, way: &str) -> Result<Command> {
        files::remove(&self.made())?;
        let mut command = self.mmdebstrap(way)?;
        command
            .arg("--variant=essential")
            .arg(self.pair.architecture.release)
            .arg(self.made())
            .arg(&self.mirror.address);
        Ok(command)
    }

    fn make_base(&self) -> Result<()> {
        if self.base().is_dir() {
            return Ok(());
        }
        println!("Making a root directory for {}", self.pair.architecture.name);
        let work = work_in(self.pair.place)?;
        let tree = work.path().join("tree");
        let fetch = format!(
            "--customize-hook=APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -y --no-install-recommends --download-only install {}",
            BUILD_PACKAGES.join(" ")
        );
        let mut command = self.mmdebstrap("image")?;
        command.args(["--variant=apt", "--skip=cleanup/apt"]).arg(fetch);
        quietly(command.arg(self.pair.architecture.release).arg(&tree).arg(&self.mirror.address))?;
        put(&tree, &self.base())
    }

    /// Installs a compiler, whose packages are there.
    fn install(&self, way: &str) -> Result<Command> {
        files::remove(&self.made())?;
        quietly(Command::new("cp").arg("-a").args([self.base(), self.made()]))?;
        let install = "apt-get -y --no-install-recommends --no-download -o APT::Sandbox::User=root install";
        let script = format!("DEBIAN_FRONTEND=noninteractive {install} {}", BUILD_PACKAGES.join(" "));
        self.inside(way, &self.made(), &script)
    }

    fn unpack(&self) -> Result<()> {
        let (architecture, root) = (self.pair.architecture, self.unpacked());
        if !root.is_dir() {
            println!("Fetching pip and npm for {}", architecture.name);
            let packages = ["bash", "coreutils", "libc-bin", "nodejs", "npm", "python3-pip"];
            unpack(self.mirror, architecture.release, architecture.name, &packages, &root)?;
        }
        // For the network.
        for file in ["/etc/resolv.conf", CERTIFICATES] {
            let copy = root.join(&file[1..]);
            fs::create_dir_all(copy.parent().unwrap_or(&root))?;
            fs::copy(file, copy).map_err(|error| format!("{file}: {error}"))?;
        }
        Ok(())
    }

    /// Installs packages of Python from their registry.
    fn pip(&self, way: &str) -> Result<Command> {
        emptied(&self.unpacked())?;
        let install = "python3 -m pip install --no-cache-dir --break-system-packages --root-user-action=ignore";
        let script = format!("{install} --target /{SCRATCH} {}", PYTHON_PACKAGES.join(" "));
        self.inside(way, &self.unpacked(), &script)
    }

    /// Installs packages of Node.js from their registry.
    fn npm(&self, way: &str) -> Result<Command> {
        emptied(&self.unpacked())?;
        let install = format!("npm install --no-audit --no-fund --cache /{SCRATCH}/cache --prefix /{SCRATCH}");
        self.inside(way, &self.unpacked(), &format!("{install} {}", NODE_PACKAGES.join(" ")))
    }

    /// Fetches the project's source.
    fn fetch_project(&self) -> Result<()> {
        if self.archive().exists() {
            return Ok(());
        }
        let work = work_in(self.pair.place)?;
        let new = work.path().join("archive");
        let mut helper = Command::new("/usr/lib/apt/apt-helper");
        helper.args(["-o", "APT::Sandbox::User=root", "download-file"]);
        quietly(helper.arg(format!("{}/{PROJECT_SOURCE}", self.mirror.address)).arg(&new))?;
        put(&new, &self.archive())
    }

    /// Configures and compiles the project with the compiler of the root directory.
    fn compile(&self, way: &str) -> Result<Command> {
        let scratch = emptied(&self.pair.root())?;
        quietly(Command::new("tar").arg("-xf").arg(self.archive()).arg("-C").arg(scratch))?;
        self.inside(way, &self.pair.root(), &format!("cd /{SCRATCH}/{PROJECT} && ./configure && make"))
    }
}

/// The directory for what is installed in `root`, without contents.
fn emptied(root: &Path) -> Result<PathBuf> {
    let scratch = root.join(SCRATCH);
    files::remove(&scratch)?;
    fs::create_dir_all(&scratch)?;
    Ok(scratch)
}
