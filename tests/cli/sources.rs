//! `image --sources`: the text about the packages that the emulators come from. The systems are
//! directories with the databases of dpkg and rpm.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::{Observation, Scratch, need, probe};
use crate::table::aarch64;

/// A package's description in dpkg's database.
const STATUS: &str = "\
Package: qemu-user
Status: install ok installed
Architecture: amd64
Multi-Arch: foreign
Maintainer: Nobody <nobody@example.org>
Source: qemu (1:9.1+ds-3)
Version: 1:9.1+ds-3+b1
Built-Using: glibc (= 2.40-4), zlib (= 1:1.3.dfsg-1)
Static-Built-Using: capstone (= 5.0.3-1)
Description: emulators

";

/// A system of Debian below `system`, whose package has emulators for two architectures, which are
/// programs of this machine. `id` is the distribution's name.
fn debian(scratch: &Scratch, id: &str) {
    let names = ["qemu-aarch64", "qemu-arm"];
    let program = probe(std::env::consts::ARCH);
    let mut other = program.clone();
    other.push(0);
    for (name, program) in names.into_iter().zip([program, other]) {
        scratch.write(format!("system/usr/bin/{name}"), program);
    }
    scratch.write("system/var/lib/dpkg/status", STATUS);
    let list: String = names.iter().map(|name| format!("/usr/bin/{name}\n")).collect();
    scratch.write("system/var/lib/dpkg/info/qemu-user.list", format!("/.\n/usr\n/usr/bin\n{list}"));
    scratch.shell("cd system && md5sum usr/bin/* >var/lib/dpkg/info/qemu-user.md5sums").succeeded();
    scratch.write("system/etc/os-release", format!("ID={id}\nID_LIKE=debian\n"));
}

/// Writes an image `i` and the text `s`.
fn image(scratch: &Scratch, options: &[&str]) -> Observation {
    scratch.tool([&["image", "--seed", "1", "-o", "i", "--sources", "s"], options].concat())
}

fn text(scratch: &Scratch) -> String {
    fs::read_to_string(scratch.at("s")).unwrap()
}

/// A line as sha256sum(1) prints it.
fn summed(scratch: &Scratch, path: &str) -> String {
    let digest = Sha256::digest(fs::read(scratch.path().join(path)).unwrap());
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{digest}  {path}\n")
}

#[test]
fn the_text_names_packages_sources_and_places() {
    need!(Dpkg);
    let scratch = Scratch::new();
    debian(&scratch, "debian");
    image(&scratch, &["--from", "system/usr/bin"]).printed("");
    let [arm64, arm] = ["qemu-aarch64", "qemu-arm"].map(|name| summed(&scratch, &format!("system/usr/bin/{name}")));
    let text = text(&scratch);
    let identity = text.lines().nth(4).unwrap().trim_end_matches('.');
    assert!(identity.len() == 64 && identity.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
    let version = env!("CARGO_PKG_VERSION");
    let place = |name: &str, version: &str, page: &str| {
        format!(
            "\n{name} {version}\n  apt-get source {name}={version}\n  https://snapshot.debian.org/package/{name}/{page}\n"
        )
    };
    let beginning = format!(
        "Sources of the emulators in an image of binfmt-dispatch\n\
         =======================================================\n\n\
         binfmt-dispatch {version} wrote this together with the image\n{identity}.\n\n\
         If you hand out the image, the licences of the programs in it ask you to hand\n"
    );
    let middle = [
        "\nEmulators\n---------\n\nPackage qemu-user 1:9.1+ds-3+b1, amd64\n\
         \x20 licence   GPL-2.0-only, for QEMU as a whole; the text: /usr/share/doc/qemu-user/copyright\n\
         \x20 source    qemu 1:9.1+ds-3\n\
         \x20 linked in glibc 2.40-4\n\
         \x20 linked in zlib 1:1.3.dfsg-1\n\
         \x20 linked in capstone 5.0.3-1\n",
        &arm64,
        &arm,
        "\nSources\n-------\n",
        &place("capstone", "5.0.3-1", "5.0.3-1"),
        &place("glibc", "2.40-4", "2.40-4"),
        &place("qemu", "1:9.1+ds-3", "1%3A9.1%2Bds-3"),
        &place("zlib", "1:1.3.dfsg-1", "1%3A1.3.dfsg-1"),
        "\nOffer\n-----\n\n[Complete what is in brackets",
    ];
    assert!(text.starts_with(&beginning) && text.contains(&middle.concat()), "{}\n{text}", middle.concat());
    assert!(text.ends_with(" Ask [POSTAL ADDRESS, MAIL ADDRESS].\n"), "{text}");
    assert!(text.lines().all(|line| line.len() <= 100), "{text}");
    assert_eq!(fs::metadata(scratch.at("s")).unwrap().permissions().mode() & 0o777, 0o644);
    scratch
        .shell("grep -E '^[0-9a-f]{64} ' s | sha256sum --check")
        .printed("system/usr/bin/qemu-aarch64: OK\nsystem/usr/bin/qemu-arm: OK\n");
    // The same input gives the same text.
    let before = text;
    image(&scratch, &["--from", "system/usr/bin"]).printed("");
    assert_eq!(fs::read_to_string(scratch.at("s")).unwrap(), before);
    // Without the text, the image is the same.
    scratch.tool(["image", "--seed", "1", "-o", "j", "--from", "system/usr/bin"]).printed("");
    assert!(fs::read(scratch.at("i")).unwrap() == fs::read(scratch.at("j")).unwrap());
}

#[test]
fn the_package_of_a_changed_file_is_not_claimed() {
    need!(Dpkg);
    let scratch = Scratch::new();
    debian(&scratch, "other");
    scratch.write("system/usr/bin/qemu-arm", [probe(std::env::consts::ARCH), vec![1]].concat());
    let run = image(&scratch, &["--from", "system/usr/bin"]);
    let warning = "warning: s: lacks the sources of system/usr/bin/qemu-arm, whose package is not known: add them";
    assert_eq!(run.exited(0).err(), format!("binfmt-dispatch: {warning}\n"), "{run}");
    let text = text(&scratch);
    let expected = format!(
        "\nNo package is known: it is not the file that the package qemu-user brought\n  version   not known\n  \
         licence   GPL-2.0-only, for QEMU as a whole\n{}\nSources\n",
        summed(&scratch, "system/usr/bin/qemu-arm")
    );
    assert!(text.contains(&expected), "{expected}\n{text}");
    assert!(text.contains("\n[THE SOURCES OF system/usr/bin/qemu-arm]\n\nOffer\n"), "{text}");
    // Nobody knows the archive of that distribution.
    assert!(text.contains("\nqemu 1:9.1+ds-3\n  apt-get source qemu=1:9.1+ds-3\n\n"), "{text}");
    assert!(!text.contains("https://"), "{text}");
}

#[test]
fn a_file_without_a_package_is_named_so() {
    need!(Dpkg);
    let scratch = Scratch::new();
    debian(&scratch, "debian");
    scratch.write("system/opt/e", probe(std::env::consts::ARCH));
    image(&scratch, &["--from", "arm64=system/opt/e"]).exited(0);
    let text = text(&scratch);
    let expected = format!(
        "\nNo package is known: no package has it\n  version   not known\n  licence   not known\n{}",
        summed(&scratch, "system/opt/e")
    );
    assert!(text.contains(&expected) && !text.contains("Package "), "{expected}\n{text}");
}

#[test]
fn without_the_managers_program_the_text_says_so() {
    let scratch = Scratch::new();
    debian(&scratch, "debian");
    let run = scratch.shell("PATH=/nothing $TOOL image --seed 1 --from system/usr/bin -o i --sources s");
    assert!(
        run.exited(0).err().contains("lacks the sources of system/usr/bin/qemu-aarch64, system/usr/bin/qemu-arm, "),
        "{run}"
    );
    let text = text(&scratch);
    let reason = "No package is known: dpkg-query cannot be asked: no such file or directory\n";
    assert_eq!(text.matches(reason).count(), 2, "{text}");
}

#[test]
fn a_damaged_database_is_named() {
    need!(Dpkg);
    let scratch = Scratch::new();
    debian(&scratch, "debian");
    scratch.write("system/var/lib/dpkg/status", "Package:\n");
    image(&scratch, &["--from", "system/usr/bin"]).exited(0);
    let text = text(&scratch);
    assert_eq!(text.matches("\nNo package is known: dpkg-query cannot be asked: ").count(), 2, "{text}");
}

#[test]
fn the_installed_qemu_is_that_of_debian() {
    need!(Dpkg, Qemu);
    let scratch = Scratch::new();
    scratch.tool(["image", "--no-site", "-o", "i", "--sources", "s", "arm64", "s390x"]).printed("");
    let text = text(&scratch);
    let asked = scratch.shell(
        "owner=$(dpkg-query --search \"$(realpath \"$(command -v qemu-s390x-static qemu-s390x | head -1)\")\" | cut -d: -f1)
         dpkg-query --show --showformat 'Package ${Package} ${Version}, ${Architecture}\nsource ${source:Package} ${source:Version}\n${Built-Using}\n' $owner",
    );
    let lines: Vec<&str> = asked.succeeded().out().lines().collect();
    assert!(text.contains(&format!("\n{}\n", lines[0])), "{asked}\n{text}");
    let source = lines[1].strip_prefix("source ").unwrap();
    assert!(source.starts_with("qemu ") && text.contains(&format!("\n  source    {source}\n")), "{asked}\n{text}");
    let linked: Vec<String> = lines[2].split(", ").map(|part| part.replace("(= ", "").replace(')', "")).collect();
    assert!(linked.len() > 3, "{asked}");
    for source in linked {
        assert!(text.contains(&format!("\n  linked in {source}\n")), "{source}\n{text}");
        assert!(text.contains(&format!("\n\n{source}\n  apt-get source ")), "{source}\n{text}");
    }
    assert_eq!(text.lines().filter(|line| line.contains("  /usr/bin/qemu-")).count(), 2, "{text}");
    // An image that is written by that one, whose emulators it takes: the files are the same.
    scratch.run("./i", ["image", "-o", "j", "--sources", "t", "arm64", "s390x"]).printed("");
    let again = fs::read_to_string(scratch.at("t")).unwrap();
    let rest = |text: &str| text.split_once("\nEmulators\n").unwrap().1.to_owned();
    assert_eq!(rest(&again), rest(&text));
}

#[test]
fn an_emulator_from_an_image_whose_file_is_gone_is_named_so() {
    let scratch = Scratch::new();
    let emulator = scratch.write("e", probe(std::env::consts::ARCH));
    let [option, table] = aarch64(&scratch, emulator.to_str().unwrap(), json!({"strategy": "map"}));
    let options = [&*option, &*table, "image", "--seed", "1"];
    scratch.tool([&options[..], &["-o", "i", "arm64"]].concat()).printed("");
    fs::remove_file(&emulator).unwrap();
    let run = scratch.run("./i", [&options[..], &["-o", "j", "--sources", "s", "arm64"]].concat());
    assert!(run.exited(0).err().contains("warning: s: lacks the sources of "), "{run}");
    let text = text(&scratch);
    assert!(text.contains("\nNo package is known: the file at its path is not the one in the image\n"), "{text}");
}

#[test]
fn packages_of_rpm_name_their_licence_and_source() {
    need!(Rpm);
    let scratch = Scratch::new();
    scratch.write("system/usr/bin/qemu-aarch64-static", probe(std::env::consts::ARCH));
    scratch.write("system/etc/os-release", "ID=fedora\n");
    scratch.write(
        "p.spec",
        "%global __os_install_post %{nil}\n%global debug_package %{nil}\nName: qemu-user-static-aarch64\n\
         Version: 9.1.0\nRelease: 2.fc99\nEpoch: 2\nSummary: An emulator\nLicense: GPL-2.0-only AND MIT\n\
         Source: nothing\n%description\nAn emulator.\n\
         %install\ninstall -D %{emulator} %{buildroot}/usr/bin/qemu-aarch64-static\n%files\n\
         /usr/bin/qemu-aarch64-static\n",
    );
    scratch.shell(
        "touch nothing
         rpmbuild --quiet -bb --define \"_topdir $PWD/top\" --define \"_sourcedir $PWD\" --define \"_rpmdir $PWD\" \
             --define \"emulator $PWD/system/usr/bin/qemu-aarch64-static\" --define '_build_name_fmt p.rpm' p.spec >&2 &&
         rpm --dbpath \"$PWD/system/usr/lib/sysimage/rpm\" --force-debian --install --justdb --nodeps --nosignature p.rpm >&2",
    ).exited(0);
    image(&scratch, &["--from", "system/usr/bin"]).printed("");
    let known = text(&scratch);
    let architecture = std::env::consts::ARCH;
    let expected = format!(
        "\nPackage qemu-user-static-aarch64 2:9.1.0-2.fc99, {architecture}\n\
         \x20 licence   GPL-2.0-only AND MIT\n\
         \x20 source    qemu-user-static-aarch64 9.1.0-2.fc99\n\
         \x20 linked in packages of RPM do not tell: see the log of the build\n{}\nSources\n-------\n\n\
         qemu-user-static-aarch64 9.1.0-2.fc99\n\
         \x20 dnf download --source qemu-user-static-aarch64-2:9.1.0-2.fc99\n\nOffer\n",
        summed(&scratch, "system/usr/bin/qemu-aarch64-static")
    );
    assert!(known.contains(&expected), "{expected}\n{known}");
    scratch.write("system/usr/bin/qemu-aarch64-static", [probe(architecture), vec![1]].concat());
    image(&scratch, &["--from", "system/usr/bin"]).exited(0);
    let changed = text(&scratch);
    let reason = "\nNo package is known: it is not the file that the package qemu-user-static-aarch64 brought\n";
    assert!(changed.contains(reason), "{changed}");
    scratch.write("system/usr/bin/qemu-arm", probe(architecture));
    image(&scratch, &["--from", "arm=system/usr/bin/qemu-arm"]).exited(0);
    assert!(text(&scratch).contains("\nNo package is known: no package has it\n"), "{}", text(&scratch));
    scratch.shell("rm system/usr/lib/sysimage/rpm/*").succeeded();
    scratch.write("system/usr/lib/sysimage/rpm/rpmdb.sqlite", "no database");
    image(&scratch, &["--from", "arm=system/usr/bin/qemu-arm"]).exited(0);
    assert!(text(&scratch).contains("\nNo package is known: rpm cannot be asked: "), "{}", text(&scratch));
}

#[test]
fn an_image_without_embedded_emulators_has_no_offer() {
    let scratch = Scratch::new();
    scratch.write("table", r#"{"version": 1, "architectures": [{"name": "aarch64", "disabled": true}]}"#);
    scratch.tool(["--table", "table", "image", "-o", "i", "--sources", "s", "arm64"]).printed("");
    let text = text(&scratch);
    assert!(text.ends_with(".\n\nThe image embeds no emulator.\n"), "{text}");
}

#[test]
fn nothing_is_written_if_one_file_cannot_be() {
    let scratch = Scratch::new();
    scratch.write("e", probe(std::env::consts::ARCH));
    scratch.write("old", "old");
    fs::create_dir(scratch.at("d")).unwrap();
    let write =
        |image: &str, sources: &str| scratch.tool(["image", "--from", "arm64=e", "-o", image, "--sources", sources]);
    let directory = "create the directory first: no such file or directory";
    write("i", "no/s").refused(1, &format!("no/s: cannot write: {directory}"));
    write("no/i", "s").refused(1, &format!("no/i: cannot write: {directory}"));
    write("i", "d").refused(1, "d: cannot write: name a file: is a directory");
    write("i", "/dev/full").refused(1, "/dev/full: cannot write: not a regular file");
    write("old", "old").refused(2, "--sources names the file of the image: name another one");
    write("old", "./d/../old").refused(2, "--sources names the file of the image: name another one");
    let bad = scratch.tool(["image", "--seed", "1", "--from", "arm64=old", "-o", "i", "--sources", "s"]);
    bad.refused(1, "old: cannot be embedded, as it is damaged (not an ELF file): leave it out, or get a static one");
    scratch.tool(["image", "--no-emulators", "-o", "i", "--sources", "s"]).exited(2);
    let mut names: Vec<String> =
        fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["d", "e", "old"]);
    assert_eq!(fs::read(scratch.at("old")).unwrap(), b"old");
}
