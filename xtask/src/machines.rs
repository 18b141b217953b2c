//! What `ci/hosts` boots: Debian's kernels, and root directories that have Debian's programs alone,
//! so that none of this machine's are tested.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::debian::{self, Index, Mirror, extract, unpack};
use crate::files::{put, work_in};
use crate::{Result, root};

/// The architectures of the machines, as Debian calls them.
const ARCHITECTURES: [&str; 3] = ["amd64", "arm64", "riscv64"];

/// The release of the root directories. It is the first one with RISC-V.
const RELEASE: &str = "trixie";

/// The programs that the tests use, besides what these need.
const PACKAGES: [&str; 20] = [
    "base-passwd",
    "bash",
    "bsdutils",
    "busybox-static",
    "coreutils",
    "dash",
    "diffutils",
    "file",
    "findutils",
    "grep",
    "libc-bin",
    "libcap2-bin",
    "mawk",
    "mount",
    "passwd",
    "procps",
    "qemu-user",
    "sed",
    "strace",
    "util-linux",
];

/// The C libraries of cross compilers, in which dynamic foreign programs find their own. Each
/// release has them for every architecture.
const LIBRARIES: [&str; 5] =
    ["libc6-amd64-cross", "libc6-arm64-cross", "libc6-armhf-cross", "libc6-riscv64-cross", "libc6-s390x-cross"];

/// The architecture whose programs are not fetched for the tests here, because they are not
/// foreign.
const GUEST: &str = "amd64";

/// Packages that a kernel consists of.
const PARTS: [&str; 3] = ["linux-image-", "linux-binary-", "linux-modules-"];

/// A kernel.
#[derive(Debug, clap::Args)]
pub struct Kernel {
    /// The code name, as in bookworm
    #[arg(value_parser = word)]
    release: String,
    /// The end of the package's name, as in cloud-amd64
    #[arg(value_parser = word)]
    flavour: String,
}

/// A root directory.
#[derive(Debug, clap::Args)]
pub struct Machine {
    /// Debian's name of the architecture
    #[arg(value_parser = ARCHITECTURES)]
    architecture: String,
}

impl Kernel {
    /// Fetches the newest kernel: `boot/vmlinu*` or, since Linux 7.2, `usr/lib/modules/*/vmlinuz`,
    /// and its modules.
    pub fn fetch(&self) -> Result<()> {
        let architecture = self.flavour.split('-').find(|part| ARCHITECTURES.contains(part));
        let architecture = architecture.ok_or("a flavour has the name of an architecture")?;
        let mirror = Mirror::of_this_machine()?;
        println!("Fetching the kernel {} of {}", self.flavour, self.release);
        let directory = root().join("target/kernels");
        let work = work_in(&directory)?;
        let index = Index::read(&mirror, &self.release, &[architecture], work.path().join("index"))?;
        let tree = work.path().join("tree");
        // The package of this name has only dependencies.
        let mut wanted = VecDeque::from([format!("linux-image-{}", self.flavour)]);
        let mut had = Vec::new();
        while let Some(package) = wanted.pop_front() {
            let file = the_one(&index.download(&package, &[architecture])?)?.to_owned();
            extract(&file, &tree)?;
            wanted.extend(parts(&debian::field(&file, "Depends")?).map(str::to_owned));
            had.push(package);
            wanted.retain(|package| !had.contains(package));
        }
        // Newer kernels rely on the merged /usr.
        if !tree.join("lib").exists() {
            symlink("usr/lib", tree.join("lib"))?;
        }
        put(&tree, &directory.join(format!("{}-{}", self.release, self.flavour)))
    }
}

/// The packages with parts of a kernel among the dependencies of a package.
fn parts(dependencies: &str) -> impl Iterator<Item = &str> {
    let names = dependencies.split(", ").filter_map(|one| one.split(' ').next());
    names.filter(|name| PARTS.iter().any(|part| name.starts_with(part)))
}

impl Machine {
    /// Makes `system`, a root directory; `emulators/bookworm` where that release has the
    /// architecture; and on other CPUs `guests/amd64`, a foreign program there.
    pub fn fetch(&self) -> Result<()> {
        let architecture = &*self.architecture;
        let mirror = Mirror::of_this_machine()?;
        println!("Fetching programs for {architecture}");
        let directory = root().join("target/machines").join(architecture);
        let work = work_in(&directory)?;
        let packages = [&PACKAGES[..], &LIBRARIES[..]].concat();
        let own = format!("libc6-{architecture}-cross");
        let packages: Vec<&str> = packages.into_iter().filter(|package| *package != own).collect();
        let tree = work.path().join("system");
        unpack(&mirror, RELEASE, architecture, &packages, &tree)?;
        configure(&tree)?;
        put(&tree, &directory.join("system"))?;
        let index = Index::read(&mirror, "bookworm", &[architecture], work.path().join("index"));
        // RISC-V is not in it.
        if architecture != "riscv64" {
            let (unpacked, tree) = (work.path().join("unpacked"), work.path().join("bookworm"));
            extract(the_one(&index?.download("qemu-user-static", &[architecture])?)?, &unpacked)?;
            fs::create_dir_all(tree.join("usr"))?;
            fs::rename(unpacked.join("usr/bin"), tree.join("usr/bin"))?;
            fs::create_dir_all(directory.join("emulators"))?;
            put(&tree, &directory.join("emulators/bookworm"))?;
        }
        if architecture == GUEST {
            return Ok(());
        }
        let index = Index::read(&mirror, RELEASE, &[GUEST], work.path().join("guest"))?;
        let tree = work.path().join(GUEST);
        extract(the_one(&index.download("busybox-static", &[GUEST])?)?, &tree)?;
        symlink("usr/bin", tree.join("bin"))?;
        fs::create_dir_all(directory.join("guests"))?;
        put(&tree, &directory.join("guests").join(GUEST))
    }
}

/// Makes the files that the packages' scripts make when they are installed.
fn configure(tree: &Path) -> Result<()> {
    for name in ["passwd", "group"] {
        fs::copy(tree.join(format!("usr/share/base-passwd/{name}.master")), tree.join("etc").join(name))?;
    }
    symlink("mawk", tree.join("usr/bin/awk"))?;
    Ok(())
}

/// The package that was to be fetched.
pub fn the_one(packages: &[PathBuf]) -> Result<&Path> {
    match packages {
        [package] => Ok(package),
        _ => Err(format!("apt-get has fetched {} packages instead of one", packages.len()).into()),
    }
}

/// Checks a word that is used in a directory's name.
fn word(name: &str) -> std::result::Result<String, &'static str> {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_good = !name.is_empty() && name.bytes().all(good);
    if is_good { Ok(name.to_owned()) } else { Err("it has lower case letters, digits and hyphens only") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_no_paths() {
        assert!(word("bookworm").is_ok() && word("trixie-backports").is_ok() && word("arm64-16k").is_ok());
        for name in ["", "..", "a/b", "Trixie", "trixie main"] {
            assert!(word(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn parts_of_kernels_are_found() {
        let depends = "dracut | linux-initramfs-tool, linux-base-7 (= 7), linux-binary-7 (= 7), linux-modules-7 (= 7)";
        assert_eq!(parts(depends).collect::<Vec<_>>(), ["linux-binary-7", "linux-modules-7"]);
        assert_eq!(parts("kmod, linux-image-6-arm64 (= 6)").collect::<Vec<_>>(), ["linux-image-6-arm64"]);
        assert_eq!(parts("").count(), 0);
    }

    #[test]
    fn one_package_is_one() {
        assert!(the_one(&[]).is_err());
        assert_eq!(the_one(&["a.deb".into()]).unwrap(), Path::new("a.deb"));
    }
}
