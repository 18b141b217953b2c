//! The sources of the emulators in an image, as a text for those who hand the image out: which
//! packages the emulators come from, what those were built from, where that is, and an offer to
//! complete (docs/licences.md).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use dispatch_core::NAME;
use dispatch_core::image::COMMAND;
use dispatch_core::message::Digits;

use super::reader::{OpenImage, ProgramInfo};
use crate::failure::{Doing, Failure, listed, show, warn};
use crate::platform::files::Replacement;
use crate::platform::packages::{self, Asked, Licence, Package, Source};

/// The licence of QEMU as a whole, as its file LICENSE says, by the beginning of its programs' names.
const QEMU: (&str, &str) = ("qemu-", "GPL-2.0-only, for QEMU as a whole");

/// An embedded emulator, and its package or why that is not known.
struct Emulator {
    program: ProgramInfo,
    digest: String,
    package: Result<Package, String>,
}

/// Writes the text for `image`, and puts it in place. Warns of emulators whose sources it lacks.
///
/// # Errors
/// [`Failure::Io`]: the text cannot be written; [`Failure::DamagedImage`].
pub fn write(image: &OpenImage, file: Replacement) -> Result<(), Failure> {
    let emulators = emulators(image)?;
    let text = text(&image.identity(), &emulators);
    let failed = |error| Failure::io(Doing::Write, file.path(), error);
    file.file().write_all(text.as_bytes()).map_err(failed)?;
    file.file().set_permissions(Permissions::from_mode(0o644)).map_err(failed)?;
    let unknown = emulators.iter().filter(|emulator| emulator.package.is_err());
    let unknown: Vec<String> = unknown.map(|emulator| show(emulator.program.path.as_ref()).to_string()).collect();
    let path = file.path().to_owned();
    file.finish()?;
    if !unknown.is_empty() {
        warn(format_args!(
            "{}: lacks the sources of {}, whose package is not known: add them",
            show(path.as_os_str()),
            listed(&unknown)
        ));
    }
    Ok(())
}

/// The emulators in `image`, each with its package. A file that is another one by now is not asked
/// about.
fn emulators(image: &OpenImage) -> Result<Vec<Emulator>, Failure> {
    let programs: Vec<ProgramInfo> = image.programs()?.into_iter().filter(|it| it.number != COMMAND).collect();
    let path = |program: &ProgramInfo| PathBuf::from(&program.path);
    let (same, others): (Vec<ProgramInfo>, Vec<ProgramInfo>) =
        programs.into_iter().partition(|program| image.was_read_from(program, &path(program)) == Some(true));
    let digest = |program: &ProgramInfo| Digits(&program.digest).to_string();
    let asked: Vec<Asked> = same.iter().map(|program| Asked { path: path(program), digest: digest(program) }).collect();
    let known = same.into_iter().zip(packages::owners(&asked)).map(|(program, package)| {
        let package = package.map_err(|unknown| unknown.to_string());
        Emulator { digest: digest(&program), program, package }
    });
    let other = "the file at its path is not the one in the image";
    let unknown = others.into_iter().map(|program| {
        let digest = digest(&program);
        Emulator { digest, program, package: Err(other.to_owned()) }
    });
    Ok(known.chain(unknown).collect())
}

/// The beginning. The licences' own words are in docs/licences.md.
const BEGINNING: &str = "\
If you hand out the image, the licences of the programs in it ask you to hand
out their sources too: complete, and in exactly these versions. Either put the
sources beside the image, or complete the offer at the end, and keep the
sources for as long as it says. The page licences.md of binfmt-dispatch says
more. This is no legal advice.
";

/// The offer of the GPL's version 2, section 3b.
const OFFER: &str = "\
Offer
-----

[Complete what is in brackets, or remove the offer and put the sources beside
the image.]

[NAME] will give a complete copy of the sources that are named above to anyone
who asks for it, for at least three years from [THE DAY ON WHICH THE IMAGE WAS
LAST HANDED OUT]: in a form that machines can read, on a medium customarily used
for software interchange, under the terms of sections 1 and 2 of the GNU General
Public License, version 2, and for no more than the cost of physically
distributing it. Ask [POSTAL ADDRESS, MAIL ADDRESS].
";

/// The whole text.
fn text(identity: &str, emulators: &[Emulator]) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let title = format!("Sources of the emulators in an image of {NAME}");
    let line = "=".repeat(title.len());
    let mut text = format!("{title}\n{line}\n\n{NAME} {version} wrote this together with the image\n{identity}.\n\n");
    if emulators.is_empty() {
        return text + "The image embeds no emulator.\n";
    }
    text.push_str(BEGINNING);
    text.push_str("\nEmulators\n---------\n");
    let mut sources: BTreeMap<&Source, BTreeSet<String>> = BTreeMap::new();
    for (package, emulators) in by_package(emulators) {
        text.push_str(&described(package, &emulators));
        for source in std::iter::once(&package.source).chain(package.linked.iter().flatten()) {
            sources.entry(source).or_default().extend(package.places(source));
        }
    }
    for emulator in emulators {
        if let Err(reason) = &emulator.package {
            let _ = writeln!(text, "\nNo package is known: {reason}");
            let version = Some(&*emulator.program.version).filter(|version| !version.is_empty());
            let _ = writeln!(text, "  version   {}", version.unwrap_or("not known"));
            let _ = writeln!(text, "  licence   {}", licence(emulator).unwrap_or("not known"));
            text.push_str(&file(emulator));
        }
    }
    text.push_str("\nSources\n-------\n");
    for (Source { name, version }, places) in sources {
        let places: String = places.iter().map(|place| format!("  {place}\n")).collect();
        let _ = write!(text, "\n{name} {version}\n{places}");
    }
    let unknown = emulators.iter().filter(|emulator| emulator.package.is_err());
    for path in unknown.map(|emulator| &emulator.program.path) {
        let _ = writeln!(text, "\n[THE SOURCES OF {}]", show(path.as_ref()));
    }
    text + "\n" + OFFER
}

/// The packages, each with its emulators.
fn by_package(emulators: &[Emulator]) -> Vec<(&Package, Vec<&Emulator>)> {
    let mut packages: Vec<(&Package, Vec<&Emulator>)> = Vec::new();
    for emulator in emulators {
        let Ok(package) = &emulator.package else { continue };
        match packages.iter_mut().find(|(known, _)| *known == package) {
            Some((_, emulators)) => emulators.push(emulator),
            None => packages.push((package, vec![emulator])),
        }
    }
    packages
}

/// A package, what it was built from, and its emulators.
fn described(package: &Package, emulators: &[&Emulator]) -> String {
    let Package { name, version, architecture, source, linked, .. } = package;
    let licence = match &package.licence {
        Licence::Named(licence) => licence.clone(),
        Licence::File(file) if emulators.iter().all(|emulator| licence(emulator).is_some()) => {
            format!("{}; the text: {file}", QEMU.1)
        }
        Licence::File(file) => format!("the text: {file}"),
    };
    let mut text = format!("\nPackage {name} {version}, {architecture}\n  licence   {licence}\n");
    let _ = writeln!(text, "  source    {} {}", source.name, source.version);
    match linked.as_deref() {
        Some([]) => text.push_str("  linked in nothing, as far as the package tells\n"),
        Some(linked) => linked.iter().for_each(|it| _ = writeln!(text, "  linked in {} {}", it.name, it.version)),
        None => text.push_str("  linked in packages of RPM do not tell: see the log of the build\n"),
    }
    emulators.iter().for_each(|emulator| text.push_str(&file(emulator)));
    text
}

/// The licence of an emulator whose package does not name it.
fn licence(emulator: &Emulator) -> Option<&'static str> {
    emulator.program.name.starts_with(QEMU.0).then_some(QEMU.1)
}

/// A line that sha256sum(1) can check.
fn file(emulator: &Emulator) -> String {
    format!("{}  {}\n", emulator.digest, show(emulator.program.path.as_ref()))
}
