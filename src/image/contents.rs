//! The contents of an image, as text and as JSON.

use dispatch_core::message::Digits;
use serde::Serialize;

use super::reader::{OpenImage, ProgramInfo, Translated};
use crate::failure::Failure;
use crate::output::{Columns, Narrow, size};

/// A program of an image, or an emulator that was asked for its version by its path, for JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    pub name: String,
    /// The file that it was read from, or its path.
    pub path: String,
    embedded: bool,
    pub version: String,
    pub size: u64,
    /// Address that it is prelinked for.
    base: Option<u64>,
    /// SHA-256 of an embedded program.
    digest: Option<String>,
    /// The architectures whose programs it runs, each perhaps for a directory.
    pub runs: Vec<String>,
    /// The CPU models that it gets for them.
    cpus: Vec<String>,
    /// Number of blocks of code whose translations lie beside it.
    translations: Option<u64>,
    /// What they are for.
    translated: Option<Kept>,
}

/// Translations beside an emulator, for JSON.
#[derive(Clone, Debug, Serialize)]
struct Kept {
    /// Their size.
    bytes: u64,
    /// Build ID of the emulator that uses them.
    build: String,
    /// The CPU model that they are for.
    model: String,
}

/// Digits of a digest that are shown, enough to tell files apart.
const DIGEST: usize = 12;

/// The programs that `image` embeds, and the emulators by path that it knows.
///
/// # Errors
/// [`Failure::DamagedImage`].
pub fn programs(image: &OpenImage) -> Result<Vec<Listed>, Failure> {
    let listed = |embedded: bool| {
        move |program: ProgramInfo| {
            let translated = embedded.then(|| image.translated(program.number)).flatten();
            Listed {
                name: program.name,
                path: program.path,
                embedded,
                version: program.version,
                size: program.size,
                base: program.base,
                digest: embedded.then(|| Digits(&program.digest).to_string()),
                runs: program.runs,
                cpus: program.cpus,
                translations: translated.as_ref().map(|translated| translated.blocks),
                translated: translated.as_ref().map(Kept::of),
            }
        }
    };
    let (embedded, asked) = (image.programs()?, image.asked()?);
    Ok(embedded.into_iter().map(listed(true)).chain(asked.into_iter().map(listed(false))).collect())
}

impl Kept {
    fn of(translated: &Translated) -> Self {
        // A build ID is shorter than its place. Zeros fill the rest.
        let end = translated.build.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let build = Digits(&translated.build[..end]).to_string();
        Kept { bytes: translated.bytes, build, model: translated.model.clone() }
    }
}

/// The translations beside the programs, a line for each.
pub fn translations(programs: &[Listed]) -> String {
    let line = |program: &Listed| {
        let (blocks, kept) = (program.translations?, program.translated.as_ref()?);
        let build: String = kept.build.chars().take(DIGEST).collect();
        let (runs, name, size) = (program.runs.join(", "), &program.name, size(kept.bytes));
        let model = if kept.model.is_empty() { String::new() } else { format!(", CPU model {}", kept.model) };
        Some(format!("translations for {runs}: {blocks} blocks, {size}, by {name} of build {build}{model}\n"))
    };
    programs.iter().filter_map(line).collect()
}

/// The same as text.
pub fn table(programs: &[Listed]) -> Columns {
    let mut columns = Columns::new(&["PROGRAM", "VERSION", "SIZE", "PRELINKED FOR", "DIGEST", "CPU", "RUNS"]);
    for (number, program) in programs.iter().enumerate() {
        let runs = match number {
            0 => "when started by hand".to_owned(),
            _ if program.embedded => program.runs.join(", "),
            _ => format!("{}, by its path", program.runs.join(", ")),
        };
        let base = program.base.map(|base| format!("{base:#x}")).unwrap_or_default();
        let digest = program.digest.iter().flat_map(|digest| digest.chars()).take(DIGEST).collect();
        columns.push([
            program.name.clone(),
            program.version.clone(),
            program.size.to_string(),
            base,
            digest,
            models(&program.cpus),
            runs,
        ]);
    }
    columns.fitting(&[
        Narrow::End("VERSION", 8),
        Narrow::End("CPU", 8),
        Narrow::Drop("DIGEST"),
        Narrow::Drop("PRELINKED FOR"),
        Narrow::End("RUNS", 12),
        Narrow::End("PROGRAM", 12),
    ])
}

/// The CPU models of a program, each once: rows for directories have their architecture's.
fn models(cpus: &[String]) -> String {
    let models = cpus.iter().enumerate().filter(|(index, model)| !cpus[..*index].contains(model));
    models.map(|(_, model)| model.as_str()).collect::<Vec<_>>().join(" ")
}
