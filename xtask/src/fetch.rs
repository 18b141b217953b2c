//! `fetch`: downloads Debian's programs that the tests, the demonstrations and the benchmarks need
//! and that are not installed, below `target/`. A file `complete` beside them lists the contents.

mod contents;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::debian::{Index, Mirror, extract, host_architecture, unpack};
use crate::files::{self, put, with_ending, work_in};
use crate::machines::{Kernel, Machine, the_one};
use crate::{Result, root};

/// Fetch Debian's programs that ci/ needs and that are not installed
///
/// Without a subcommand, fetches the missing ones for the tests and the demonstrations: foreign
/// programs, emulators of two releases, set-user-ID programs, `ThreadSanitizer`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    only: Option<Only>,
}

/// Downloads that are fetched only by name.
#[derive(Debug, clap::Subcommand)]
enum Only {
    /// Fetch the toolchain of `ci/build --host`, unless it is there
    Toolchain {
        /// Fetch that for a CPU that is no host yet instead, by Debian's name of the architecture
        #[arg(value_parser = NO_HOSTS.map(|download| download.parts[0]))]
        architecture: Option<String>,
    },
    /// Fetch what the tests of other hosts need: that toolchain, and emulators
    Hosts,
    /// Fetch all emulators for a host, for `ci/package`: 70 MB
    Qemu {
        /// The host, by Debian's name of the architecture
        #[arg(value_parser = QEMU.map(|download| download.parts[0]))]
        architecture: String,
    },
    /// Fetch QEMU's source package, for `ci/emulators`: 40 MB
    Source,
    /// Fetch kubectl, for `ci/kubernetes`: 16 MB
    Kubectl,
    /// Fetch a kernel for `ci/hosts`, into target/kernels/RELEASE-FLAVOUR
    Kernel(Kernel),
    /// Fetch the programs of a machine for `ci/hosts`, into target/machines/ARCHITECTURE
    Machine(Machine),
}

/// A download with a directory of its own.
struct Download {
    /// The directory below `target/`. In capitals, it is the end of the variable
    /// `BINFMT_DISPATCH`_… that names another directory.
    name: &'static str,
    /// Title for people; `{}` stands for the parts.
    title: &'static str,
    /// The directory is complete if its file `complete` lists these, or those of them that are for
    /// this machine.
    parts: &'static [&'static str],
    /// The machines that it is for.
    machines: Machines,
    fetch: fn(&Fetching, &[&'static str]) -> Result<()>,
}

/// The machines that a download is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Machines {
    /// All of them, with the same parts.
    All,
    /// All of them. The parts are architectures, and foreign: amd64 takes the place of the
    /// machine's own.
    Foreign,
    /// Those whose programs it contains, amd64. It is large, and fetched only by name.
    Amd64,
}

const DOWNLOADS: [Download; 9] = [
    Download {
        name: "guests",
        title: "busybox-static for {}",
        parts: &["arm64", "armhf", "armel", "mips64el", "mipsel", "ppc64el", "riscv64", "s390x"],
        machines: Machines::Foreign,
        fetch: contents::guests,
    },
    // The tests compare these, whatever is installed: <release>/usr/bin/qemu-*.
    Download {
        name: "emulators",
        title: "the emulators of {}",
        parts: &["bookworm", "trixie"],
        machines: Machines::All,
        fetch: contents::emulators,
    },
    // Packages; ci/demo-setuid unpacks them. The last one ensures that no program has to be run for
    // it.
    Download {
        name: "setuid",
        title: "foreign {}",
        parts: &["sudo", "iputils-ping", "util-linux", "dash", "coreutils", "usr-is-merged"],
        machines: Machines::All,
        fetch: |fetching, packages| {
            let architecture = foreign("arm64", &host_architecture()?);
            fetching.packages("bookworm", architecture, packages, &fetching.directory)
        },
    },
    // The tests make bases of containers from these packages: what installs hello, and hello.
    Download {
        name: "packages",
        title: "packages for containers of {}",
        parts: &["arm64", "armhf", "ppc64el", "riscv64", "s390x"],
        machines: Machines::Foreign,
        fetch: |fetching, architectures| {
            const PACKAGES: [&str; 7] = ["base-files", "coreutils", "dash", "diffutils", "dpkg", "hello", "libc-bin"];
            architectures
                .iter()
                .try_for_each(|it| fetching.packages("trixie", it, &PACKAGES, &fetching.directory.join(it)))
        },
    },
    // Not every release has it for all architectures, and its cross compilers do not have it.
    Download {
        name: "sanitizer",
        title: "ThreadSanitizer for {}",
        parts: &["arm64", "riscv64"],
        machines: Machines::Foreign,
        fetch: |fetching, architectures| fetching.roots("trixie", architectures, &["libtsan2"]),
    },
    // What reads the formats of `generate`. Unpacked, as the installed packages would register
    // entries of their own.
    Download {
        name: "consumers",
        title: "the programs of {}",
        parts: &["binfmt-support", "libpipeline1", "openrc"],
        machines: Machines::All,
        // usr/sbin/update-binfmts, lib/rc/sh/binfmt.sh. Newer releases have OpenRC's script elsewhere,
        // and it is the same there.
        fetch: |fetching, packages| fetching.unpacked("bookworm", packages),
    },
    // ci/bench starts these: emulated programs, and this machine's own for comparison. Each takes
    // half a minute to fetch: 20 MB, 100 MB unpacked.
    Download {
        name: "roots",
        title: "{} for the benchmark",
        parts: &["bash", "coreutils", "dash", "libc-bin", "perl-base", "python3-minimal"],
        machines: Machines::All,
        fetch: |fetching, packages| fetching.roots("trixie", &["arm64", &host_architecture()?], packages),
    },
    // For `ci/build --host`: Rust, linkers, and Rust's and C's libraries for other hosts, of one
    // release, so that the built files do not depend on the release that this machine has.
    Download {
        name: "toolchain",
        title: "a toolchain for {}",
        parts: &["arm64", "riscv64"],
        machines: Machines::Amd64,
        fetch: contents::toolchain,
    },
    // The tests write images for these hosts: <architecture>/usr/bin/qemu-*.
    Download {
        name: "hosts",
        title: "emulators for {} hosts",
        parts: &["arm64", "riscv64"],
        machines: Machines::Amd64,
        fetch: contents::hosts,
    },
];

/// Toolchains for CPUs that are no hosts yet (docs/decisions.md). Only ci/cross and ci/interpreters
/// need them, and nothing else fetches them: each is a download of 270 MB, and 1.1 GB unpacked.
const NO_HOSTS: [Download; 3] = [
    no_host("toolchain_ppc64el", &["ppc64el"]),
    no_host("toolchain_s390x", &["s390x"]),
    no_host("toolchain_loong64", &["loong64"]),
];

const fn no_host(name: &'static str, parts: &'static [&'static str]) -> Download {
    Download { name, title: "a toolchain for {}", parts, machines: Machines::Amd64, fetch: contents::toolchain }
}

/// Debian's packages of all emulators for a host. Packages, since they tell their version and what
/// is linked into the emulators, and need a seventh of the space. Only ci/package needs them.
const QEMU: [Download; 3] =
    [qemu("qemu_amd64", &["amd64"]), qemu("qemu_arm64", &["arm64"]), qemu("qemu_riscv64", &["riscv64"])];

const fn qemu(name: &'static str, parts: &'static [&'static str]) -> Download {
    Download {
        name,
        title: "all emulators for {} hosts",
        parts,
        machines: Machines::All,
        fetch: |fetching, hosts| {
            hosts.iter().try_for_each(|host| fetching.packages("trixie", host, &["qemu-user"], &fetching.directory))
        },
    }
}

/// `usr/bin/kubectl`. Debian 12's cannot read the manifests. Only ci/kubernetes needs it.
const KUBECTL: Download = Download {
    name: "kubectl",
    title: "{}",
    parts: &["kubectl"],
    machines: Machines::All,
    fetch: |fetching, packages| fetching.unpacked("trixie", packages),
};

/// QEMU's source package of Debian 13. Only ci/emulators needs it.
const SOURCE: Download = Download {
    name: "source",
    title: "the source package of {}",
    parts: &["qemu"],
    machines: Machines::All,
    fetch: |fetching, packages| {
        let index = fetching.index("trixie", &[])?;
        let files = packages.iter().map(|package| index.download_source(package));
        replace(files.collect::<Result<Vec<_>>>()?.concat(), &fetching.directory, "")
    },
};

/// Fetches the named downloads, or all missing ones.
pub fn run(args: &Args) -> Result<()> {
    match &args.only {
        Some(Only::Kernel(kernel)) => kernel.fetch(),
        Some(Only::Machine(machine)) => machine.fetch(),
        Some(Only::Toolchain { architecture: None }) => named("toolchain").try_for_each(Download::ensure),
        Some(Only::Toolchain { architecture: Some(name) }) => {
            NO_HOSTS.iter().filter(|download| download.parts == [name]).try_for_each(Download::ensure)
        }
        Some(Only::Qemu { architecture }) => {
            QEMU.iter().filter(|download| download.parts == [architecture]).try_for_each(Download::ensure)
        }
        Some(Only::Source) => SOURCE.ensure(),
        Some(Only::Kubectl) => KUBECTL.ensure(),
        Some(Only::Hosts) => {
            DOWNLOADS.iter().filter(|one| one.machines == Machines::Amd64).try_for_each(Download::ensure)
        }
        None => DOWNLOADS.iter().filter(|one| one.machines != Machines::Amd64).try_for_each(Download::ensure),
    }
}

/// Debian's name of x86-64.
const AMD64: &str = "amd64";

/// `architecture`, or amd64 if that is the architecture `host` itself.
fn foreign(architecture: &'static str, host: &str) -> &'static str {
    if architecture == host { AMD64 } else { architecture }
}

/// The download of this name.
fn named(name: &str) -> impl Iterator<Item = &'static Download> {
    DOWNLOADS.iter().filter(move |download| download.name == name)
}

impl Download {
    /// Fetches the download, unless it is complete.
    fn ensure(&self) -> Result<()> {
        let parts = self.parts(&host_architecture()?);
        if parts.is_empty() {
            return Ok(());
        }
        let (directory, listed) = (self.directory(), parts.join(" "));
        let complete = directory.join("complete");
        if fs::read_to_string(&complete).is_ok_and(|text| text.trim_end() == listed) {
            return Ok(());
        }
        let mirror = Mirror::of_this_machine()?;
        println!("Fetching {}", self.title.replace("{}", &listed));
        let fetching = Fetching { mirror, work: work_in(&directory)?, directory };
        // From now on the directory is incomplete.
        if complete.exists() {
            fs::remove_file(&complete)?;
        }
        (self.fetch)(&fetching, &parts)?;
        files::write(&complete, &(listed + "\n"))
    }

    /// The parts for a machine of the architecture `host`.
    fn parts(&self, host: &str) -> Vec<&'static str> {
        match self.machines {
            Machines::Amd64 if host != AMD64 => Vec::new(),
            Machines::Foreign => self.parts.iter().map(|part| foreign(part, host)).collect(),
            Machines::All | Machines::Amd64 => self.parts.to_vec(),
        }
    }

    fn directory(&self) -> PathBuf {
        let variable = env::var_os(format!("BINFMT_DISPATCH_{}", self.name.to_uppercase()));
        match variable.filter(|value| !value.is_empty()) {
            Some(value) => root().join(value),
            None => root().join("target").join(self.name),
        }
    }
}

/// A download in progress.
struct Fetching {
    mirror: Mirror,
    directory: PathBuf,
    work: TempDir,
}

impl Fetching {
    fn index(&self, release: &str, architectures: &[&str]) -> Result<Index> {
        let directory = self.work.path().join("index").join(release).join(architectures.join(","));
        Index::read(&self.mirror, release, architectures, directory)
    }

    /// Makes root directories from packages and everything that they need, one for each
    /// architecture.
    fn roots(&self, release: &str, architectures: &[&str], packages: &[&str]) -> Result<()> {
        let place = |architecture: &str| self.directory.join(architecture);
        architectures.iter().try_for_each(|it| unpack(&self.mirror, release, it, packages, &place(it)))
    }

    /// Unpacks packages for this machine, without those that they need.
    fn unpacked(&self, release: &str, packages: &[&str]) -> Result<()> {
        let (host, tree) = (host_architecture()?, self.work.path().join("tree"));
        let index = self.index(release, &[&host])?;
        for package in packages {
            extract(the_one(&index.download(package, &[&host])?)?, &tree)?;
        }
        for part in with_ending(&tree, "")? {
            put(&part, &self.directory.join(part.file_name().unwrap_or_default()))?;
        }
        Ok(())
    }

    /// Fetches packages and everything that they need into the directory `place`. Replaces earlier
    /// ones.
    fn packages(&self, release: &str, architecture: &str, packages: &[&str], place: &Path) -> Result<()> {
        let new = self.index(release, &[architecture])?.download_with_dependencies(packages)?;
        replace(new, place, ".deb")
    }
}

/// Moves files into the directory `place`, where they replace those whose names end with `end`.
fn replace(new: Vec<PathBuf>, place: &Path, end: &str) -> Result<()> {
    fs::create_dir_all(place)?;
    for old in with_ending(place, end)?.iter().filter(|old| old.is_file()) {
        fs::remove_file(old)?;
    }
    for file in new {
        fs::rename(&file, place.join(file.file_name().unwrap_or_default()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_download_has_a_directory_of_its_own() {
        let all: Vec<&Download> = DOWNLOADS.iter().chain(&NO_HOSTS).chain(&QEMU).chain([&KUBECTL, &SOURCE]).collect();
        let names: BTreeSet<&str> = all.iter().map(|download| download.name).collect();
        assert_eq!(names.len(), all.len());
        assert!(all.iter().all(|download| download.title.contains("{}") && !download.parts.is_empty()));
    }

    #[test]
    fn foreign_programs_are_never_the_machines_own() {
        let guests = |host| DOWNLOADS[0].parts(host);
        assert_eq!(guests("amd64"), DOWNLOADS[0].parts);
        assert_eq!(guests("arm64")[..2], ["amd64", "armhf"]);
        assert!(DOWNLOADS.iter().all(|download| !download.parts(AMD64).is_empty()));
        assert!(named("toolchain").all(|download| download.parts("arm64").is_empty()));
    }
}
