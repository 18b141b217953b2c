//! Private user and mount namespaces with their own `binfmt_misc`. On a disposable machine only a
//! mount namespace.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use dispatch_table::ArchTable;

use super::emulators::{self, artefact};
use super::observation::PATIENCE;
use super::registry::{kernel_since, patience};
use super::releases::{Release, translate};
use super::tool::path_with_tool;
use super::{FOREIGN, Foreign, Need, Observation, Registry, Scratch, TOOL, consumers, guests, tool};

/// Enters the namespace with `unshare`, registers each line of file $1 with one write, and executes
/// a shell that runs $2 with the remaining arguments. Its descriptors are 0, 1 and 2 only, whatever
/// descriptors the tests have.
const ENTER: &str = r#"
trap 'echo "namespace: not set up" >&2; exit 99' ERR
for fd in /proc/$$/fd/*; do fd=${fd##*/}; [ "$fd" -le 2 ] || [ "$fd" = 255 ] || eval "exec $fd>&-"; done
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
while IFS= read -r line; do printf '%s\n' "$line" >/proc/sys/fs/binfmt_misc/register; done <"$1"
exec bash -c "$2" bash "${@:3}"
"#;

/// Runs [`ENTER`] with the ids 0 to 65535 mapped to themselves, by a process outside the namespace.
const ENTER_MAPPED: &str = r#"
set -e
mkfifo "$1/unshared" "$1/mapped"
{
    read -r pid <"$1/unshared"
    echo '0 0 65536' >/proc/$pid/uid_map
    echo '0 0 65536' >/proc/$pid/gid_map
    echo >"$1/mapped"
} &
exec unshare --user --mount bash -c 'echo $$ >"$1/unshared"; read -r _ <"$1/mapped"; shift; exec bash "$@"' bash "$@"
"#;

/// Runs [`ENTER`] with the machine's own registry. The kernel does not mount it twice in the same
/// place.
const ENTER_OWN: &str = r#"umount /proc/sys/fs/binfmt_misc && exec bash "$@""#;

/// The mount point of the registry in a namespace.
pub const REGISTRY: &str = "/proc/sys/fs/binfmt_misc";

/// The entries in a namespace, and the user whose programs run there.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: &'static str,
    lines: String,
    mapped: bool,
    direct: bool,
    transparent: bool,
    patience: u32,
}

impl Namespace {
    /// A registry without entries.
    pub fn empty() -> Self {
        Self::with_lines("nothing registered", String::new())
    }

    /// Every foreign architecture, registered with an image that opens emulators by their paths.
    pub fn ours() -> Self {
        static LINES: OnceLock<String> = OnceLock::new();
        let make = || {
            let image = artefact("image", |path| {
                tool(&["image", "--no-emulators", "-o", path]);
            });
            lines(&["--interpreter", image.to_str().unwrap()])
        };
        Self::with_lines("through binfmt-dispatch", LINES.get_or_init(make).clone())
    }

    /// Every foreign architecture, registered with an image that embeds all installed emulators.
    #[track_caller]
    pub fn full() -> Self {
        Need::Qemu.is_stated();
        static LINES: OnceLock<String> = OnceLock::new();
        let make = || {
            let image = artefact("full-image", |path| {
                let mut options = translate();
                if !options.is_empty() {
                    let translating = format!("aarch64={}", Release::Trixie.path("aarch64").display());
                    options.extend(["--from".to_owned(), translating, "--from".to_owned(), "/usr/bin".to_owned()]);
                }
                let options = options.iter().map(String::as_str);
                tool(&["image", "--seed", "0", "-o", path].into_iter().chain(options).collect::<Vec<&str>>());
            });
            lines(&["--interpreter", image.to_str().unwrap()])
        };
        Self::with_lines("through an image with all emulators", LINES.get_or_init(make).clone())
    }

    /// Every foreign architecture, registered with the image that `image` writes with these
    /// arguments.
    pub fn with_image(scratch: &Scratch, arguments: &[&str]) -> Self {
        let image = scratch.at("image");
        tool(&[&["image", "--seed", "0", "-o", &image], arguments].concat());
        Self::of_image(&image)
    }

    /// Every foreign architecture, registered with an image that is written with `options` and
    /// embeds the file `emulator` for [`FOREIGN`].
    pub fn embedding(scratch: &Scratch, options: &[&str]) -> Self {
        let from = format!("{FOREIGN}={}", scratch.at("emulator"));
        Self::with_image(scratch, &[&["--from", &from], options].concat())
    }

    /// Every foreign architecture, registered with the file `image`.
    pub fn of_image(image: &str) -> Self {
        Self::with_lines("with emulators inside", lines(&["--interpreter", image]))
    }

    /// Every foreign architecture whose QEMU is installed, with that QEMU registered directly, by
    /// the same rules and flags.
    #[track_caller]
    pub fn direct() -> Self {
        Need::Qemu.is_stated();
        let table = ArchTable::builtin();
        let host = table.find(std::env::consts::ARCH).expect("the table has this machine");
        let installed = table.architectures().iter().filter(|row| {
            !row.native_on.contains(&host.name) && row.emulator_paths().any(|path| PathBuf::from(path).is_file())
        });
        let names: Vec<&str> = installed.map(|row| row.name.as_str()).collect();
        Self::directly(lines(&[&["--direct"], &names[..]].concat()))
    }

    /// An image with rows of `table` (JSON) in place of the built-in ones; it opens emulators by
    /// their paths.
    pub fn with_table(scratch: &Scratch, table: &str) -> Self {
        scratch.write("table.json", table);
        let (table, image) = (scratch.at("table.json"), scratch.at("image"));
        tool(&["image", "--table", &table, "--no-emulators", "-o", &image]);
        Self::with_lines("with a table of its own", lines(&["--table", &table, "--interpreter", &image]))
    }

    /// These lines for the kernel, which register QEMU directly.
    pub fn directly(lines: String) -> Self {
        Namespace { direct: true, ..Self::with_lines("QEMU registered directly", lines) }
    }

    /// These lines for the kernel.
    pub fn with_lines(name: &'static str, lines: String) -> Self {
        Namespace { name, lines, mapped: false, direct: false, transparent: true, patience: PATIENCE }
    }

    /// The same entries with other flags at the end of every line.
    pub fn flags(mut self, flags: &str) -> Self {
        let replaced = |line: &str| format!("{}:{flags}\n", line.rsplit_once(':').expect("a line ends with flags").0);
        self.lines = self.lines.lines().map(replaced).collect();
        self
    }

    /// The same entries with flag P even if the kernel knows T.
    pub fn preserving_argv0(mut self) -> Self {
        self.transparent = false;
        self
    }

    /// The same namespace with the ids 0 to 65535 mapped instead of root alone; needs root.
    pub fn mapped(mut self) -> Self {
        self.mapped = true;
        self
    }

    /// The same with this time limit for a script, in seconds.
    pub fn within(mut self, seconds: u32) -> Self {
        self.patience = seconds;
        self
    }

    /// Runs a bash script in a new namespace, in the scratch directory. Its variables: TOOL, the
    /// command; REGISTRY, the mount point of `binfmt_misc`; GUESTS, the directory of the foreign
    /// programs; ARCHITECTURES, their architectures; FOREIGN and `FOREIGN_CPU`, Debian's and QEMU's
    /// names of the usual one of them; CALL, a program that calls execve(2) with
    /// exactly its arguments; INJECT, one that makes the interpreter's system calls fail;
    /// CONSUMERS, the programs of binfmt-support and OpenRC.
    #[track_caller]
    pub fn run(&self, scratch: &Scratch, script: &str) -> Observation {
        self.enter::<&str>(scratch, script, &[])
    }

    /// Runs the command in a new namespace.
    #[track_caller]
    pub fn tool<S: AsRef<OsStr>>(&self, scratch: &Scratch, arguments: impl IntoIterator<Item = S>) -> Observation {
        self.enter(scratch, r#"exec "$TOOL" "$@""#, &arguments.into_iter().collect::<Vec<S>>())
    }

    /// The lines, with the flags that suit this kernel. QEMU relies on flag P only if `AT_FLAGS`
    /// says so, as it does since Linux 5.12. Entries of binfmt-dispatch have flag T in its place
    /// since 7.3.
    fn suitable_lines(&self) -> String {
        let letter = match self.direct {
            true if !kernel_since(5, 12) => "",
            false if self.transparent && Need::Transparent.is_met() => "T",
            _ => "P",
        };
        let line =
            |line: &str| line.rsplit_once(':').map(|(rule, flags)| format!("{rule}:{}\n", flags.replace('P', letter)));
        if letter == "P" { self.lines.clone() } else { self.lines.lines().filter_map(line).collect() }
    }

    #[track_caller]
    fn enter<S: AsRef<OsStr>>(&self, scratch: &Scratch, script: &str, arguments: &[S]) -> Observation {
        Need::Namespace.is_stated();
        Need::are_stated_for(script);
        let control = Scratch::new();
        let lines = control.write("lines", self.suitable_lines());
        let script = format!("{}\n{script}", variables(script));
        if self.mapped {
            Need::Root.is_stated();
        }
        let registry = Registry::of_tests();
        let turn = registry.turn();
        let mut command = Command::new("timeout");
        command.arg("--kill-after=5").arg(patience(self.patience));
        match (registry, self.mapped) {
            (Registry::Private, true) => {
                command.args(["bash", "-c", ENTER_MAPPED, "bash"]).arg(control.path()).args(["-c", ENTER, "bash"])
            }
            (Registry::Private, false) => command.args(["unshare", "-Urm", "bash", "-c", ENTER, "bash"]),
            // Every id exists there already.
            (Registry::Own, _) => command.args(["unshare", "-m", "bash", "-c", ENTER_OWN, "bash", "-c", ENTER, "bash"]),
        };
        command.arg(lines).arg(&script).args(arguments).current_dir(scratch.path());
        let path = path_with_tool("/usr/sbin:/usr/bin:/sbin:/bin");
        command.env_clear().env("PATH", path).env("LC_ALL", "C").env("HOME", "/");
        let output = command.stdin(Stdio::null()).output().expect("coreutils are there");
        drop(turn);
        let words: String = arguments.iter().map(|word| format!(" {:?}", word.as_ref())).collect();
        let shown = if words.is_empty() { script } else { format!("{script}\n--- arguments\n{words}") };
        let observation = Observation::new(self.name, shown, scratch.path().to_owned(), output);
        assert!(observation.code() != 99, "{observation}");
        observation
    }
}

/// Sets the variables that every script has.
#[track_caller]
fn variables(script: &str) -> String {
    let names = guests::present().iter().map(|guest| guest.debian).collect::<Vec<_>>().join(" ");
    let (call, inject) = (script.contains("$CALL"), script.contains("$INJECT"));
    let path = |path: Option<PathBuf>| path.unwrap_or_default().display().to_string();
    let values = [
        ("TOOL", TOOL.to_owned()),
        ("REGISTRY", REGISTRY.to_owned()),
        ("GUESTS", path(Some(guests::directory()))),
        ("ARCHITECTURES", names),
        ("FOREIGN", Foreign::USUAL.debian().to_owned()),
        ("FOREIGN_CPU", FOREIGN.to_owned()),
        ("CALL", path(call.then(emulators::caller))),
        ("INJECT", path(inject.then(emulators::injector))),
        ("CONSUMERS", path(Some(consumers::path("")))),
    ];
    values.map(|(name, value)| format!("{name}='{value}'")).join(" ")
}

/// Lines for the kernel, for the architectures that `arguments` choose.
fn lines(arguments: &[&str]) -> String {
    let output = tool(&[&["generate", "--format", "register"], arguments].concat());
    String::from_utf8(output).expect("lines are ASCII")
}

/// The flags of entries for an image that embeds the emulator, as the kernel shows them.
pub fn image_flags() -> &'static str {
    if Need::Transparent.is_met() { "OCFT" } else { "POCF" }
}

/// Runs a script through binfmt-dispatch and with QEMU registered directly, asserts that the
/// results are the same, and returns one. Both runs find the same empty directory.
#[track_caller]
pub fn both(script: &str) -> Observation {
    let scratch = Scratch::new();
    let ours = Namespace::ours().run(&scratch, script);
    scratch.clear();
    let direct = Namespace::direct().run(&scratch, script);
    ours.agrees_with(&direct);
    ours
}

/// The same for scripts that depend on argv\[0\]. QEMU learns it from Linux 5.12 on. With older
/// kernels the script runs through binfmt-dispatch only.
#[track_caller]
pub fn both_with_argv0(script: &str) -> Observation {
    if kernel_since(5, 12) { both(script) } else { Namespace::ours().run(&Scratch::new(), script) }
}
