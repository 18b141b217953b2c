//! `oci`: writes an archive of container images, one for each platform, in the format of the OCI
//! (Open Container Initiative). Each image has one file, the image with the emulators, and the same
//! input gives the same archive, byte for byte.
//!
//! The layers are compressed by zstd with a window of 128 MiB. Emulators repeat one another's parts
//! at a distance of tens of megabytes, which is further than the tools that make images look
//! (docs/decisions.md, "Packages").

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::Result;
use crate::files::work_in;
use crate::program::{output, quietly};

/// Write an archive of container images
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The archive to write
    #[arg(long)]
    output: PathBuf,
    /// The version of the images' file
    #[arg(long)]
    version: String,
    /// The time of everything in the archive, in seconds since 1970
    #[arg(long)]
    time: u64,
    /// The address of the source, for the annotation of that name; without it there is none
    #[arg(long)]
    source: Option<String>,
    /// Print what gzip would make of each image, too, which takes a minute each
    #[arg(long)]
    compare: bool,
    /// CPU=FILE: the file of the image for a platform
    #[arg(required = true)]
    files: Vec<String>,
}

/// The file's place in the images.
const PLACE: &str = "usr/bin/binfmt-dispatch";

/// 2^27 is the largest window that decoders accept unless they are told otherwise. Higher levels
/// take five times as long, and save a few kilobytes.
const ZSTD: [&str; 5] = ["-q", "-12", "--long=27", "-T0", "--rm"];

/// The names of CPUs in images.
const PLATFORMS: [(&str, &str); 3] = [("x86_64", "amd64"), ("aarch64", "arm64"), ("riscv64", "riscv64")];

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// Writes the archive.
pub fn run(args: &Args) -> Result<()> {
    let images = args.files.iter().map(|file| platform(file)).collect::<Result<Vec<_>>>()?;
    let work = work_in(args.output.parent().unwrap_or(&args.output))?;
    let layout = Layout { directory: work.path().join("layout"), args };
    fs::create_dir_all(layout.blobs())?;
    let manifests = images.iter().map(|(cpu, file)| layout.image(cpu, file)).collect::<Result<Vec<_>>>()?;
    let mut index = layout.json(
        INDEX,
        &json!({
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": manifests,
            "annotations": layout.annotations()?,
        }),
    )?;
    // Tools that load an archive name the image after these: podman and buildah, and Docker.
    let name = format!("binfmt-dispatch:{}", args.version);
    index["annotations"] = json!({
        "org.opencontainers.image.ref.name": name,
        "io.containerd.image.name": format!("docker.io/library/{name}"),
    });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [index] });
    fs::write(layout.directory.join("index.json"), index.to_string())?;
    fs::write(layout.directory.join("oci-layout"), json!({ "imageLayoutVersion": "1.0.0" }).to_string())?;
    let archive = work.path().join("archive");
    pack(&layout.directory, &archive, args.time)?;
    Ok(fs::rename(archive, &args.output)?)
}

/// The platform and the file of an argument.
fn platform(argument: &str) -> Result<(&'static str, &Path)> {
    let (cpu, file) = argument.split_once('=').ok_or_else(|| format!("{argument}: not CPU=FILE"))?;
    let known = PLATFORMS.iter().find(|(name, _)| *name == cpu);
    let (_, name) = known.ok_or_else(|| format!("{cpu}: no platform of container images"))?;
    Ok((name, Path::new(file)))
}

/// Packs a directory so that the same contents give the same archive.
fn pack(directory: &Path, archive: &Path, time: u64) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.args(["--format=gnu", "--sort=name", "--owner=0", "--group=0", "--numeric-owner"]);
    tar.args(["--mode=u+rwX,go+rX,go-w", &format!("--mtime=@{time}")]);
    // The names of the contents are without `./`.
    let names = crate::files::with_ending(directory, "")?;
    let names = names.iter().filter_map(|path| path.file_name());
    quietly(tar.arg("-C").arg(directory).arg("-cf").arg(archive).args(names))
}

/// A layout of images, which becomes the archive.
struct Layout<'l> {
    directory: PathBuf,
    args: &'l Args,
}

impl Layout<'_> {
    fn blobs(&self) -> PathBuf {
        self.directory.join("blobs/sha256")
    }

    /// Adds an image, and returns its descriptor.
    fn image(&self, platform: &str, file: &Path) -> Result<Value> {
        let work = work_in(&self.directory)?;
        let tree = work.path().join("tree");
        let place = tree.join(PLACE);
        fs::create_dir_all(place.parent().unwrap_or(&tree))?;
        fs::copy(file, &place).map_err(|error| format!("{}: {error}", file.display()))?;
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755))?;
        let (tar, compressed) = (work.path().join("layer"), work.path().join("layer.zst"));
        pack(&tree, &tar, self.args.time)?;
        let (uncompressed, size) = (digest(&tar)?, tar.metadata()?.len());
        let zipped = match self.args.compare {
            true => Some(printed(Command::new("gzip").args(["-9", "-c"]).arg(&tar))?),
            false => None,
        };
        quietly(Command::new("zstd").args(ZSTD).arg(&tar).arg("-o").arg(&compressed))?;
        println!("linux/{platform}: {}", sizes(compressed.metadata()?.len(), zipped, size));
        let layer = self.blob(LAYER, &compressed)?;
        let entrypoint = [&format!("/{PLACE}"), "container"];
        let config = self.json(
            CONFIG,
            &json!({
                "created": self.created()?,
                "architecture": platform,
                "os": "linux",
                "config": { "Entrypoint": entrypoint, "Labels": self.annotations()? },
                "rootfs": { "type": "layers", "diff_ids": [uncompressed] },
                "history": [{ "created": self.created()?, "created_by": "ci/package" }],
            }),
        )?;
        let mut manifest = self.json(
            MANIFEST,
            &json!({
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": config,
                "layers": [layer],
                "annotations": self.annotations()?,
            }),
        )?;
        manifest["platform"] = json!({ "architecture": platform, "os": "linux" });
        Ok(manifest)
    }

    /// Annotations with the keys that the OCI defines.
    fn annotations(&self) -> Result<Value> {
        let key = |name: &str| format!("org.opencontainers.image.{name}");
        let mut annotations = json!({
            key("title"): "binfmt-dispatch",
            key("description"): "Registers emulators for programs of other architectures",
            key("version"): self.args.version,
            key("created"): self.created()?,
            // The embedded emulators are QEMU's.
            key("licenses"): "(MIT OR Apache-2.0) AND GPL-2.0-only AND LGPL-2.1-or-later",
        });
        if let Some(source) = &self.args.source {
            annotations[key("source")] = json!(source);
        }
        Ok(annotations)
    }

    fn created(&self) -> Result<String> {
        let at = format!("@{}", self.args.time);
        Ok(output(Command::new("date").args(["--utc", "--date", &at, "+%Y-%m-%dT%H:%M:%SZ"]))?.trim().to_owned())
    }

    /// Adds a JSON document, and returns its descriptor.
    fn json(&self, kind: &str, value: &Value) -> Result<Value> {
        let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
        file.write_all(value.to_string().as_bytes())?;
        self.blob(kind, &file.into_temp_path().keep()?)
    }

    /// Moves a file to the blobs, and returns its descriptor.
    fn blob(&self, kind: &str, file: &Path) -> Result<Value> {
        let (digest, size) = (digest(file)?, file.metadata()?.len());
        let name = digest.trim_start_matches("sha256:");
        fs::rename(file, self.blobs().join(name))?;
        Ok(json!({ "mediaType": kind, "digest": digest, "size": size }))
    }
}

/// The number of bytes that a program prints.
fn printed(program: &mut Command) -> Result<u64> {
    let mut child = program.stdout(Stdio::piped()).spawn()?;
    let mut output = child.stdout.take().ok_or("no output")?;
    let length = io::copy(&mut output, &mut io::sink())?;
    if child.wait()?.success() { Ok(length) } else { Err(format!("{program:?} failed").into()) }
}

/// The sizes of an image, in words.
fn sizes(packed: u64, zipped: Option<u64>, unpacked: u64) -> String {
    let megabytes = |bytes: u64| format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10);
    let zipped = zipped.map(|bytes| format!(" ({} with gzip -9)", megabytes(bytes))).unwrap_or_default();
    format!("{} to download{zipped}, {} unpacked", megabytes(packed), megabytes(unpacked))
}

/// The digest of a file, as images name it.
fn digest(file: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(file)?, &mut hasher)?;
    Ok(format!("sha256:{}", hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_named_as_in_images() {
        assert_eq!(platform("aarch64=/a/b").unwrap(), ("arm64", Path::new("/a/b")));
        assert_eq!(platform("alpha=/a").unwrap_err().to_string(), "alpha: no platform of container images");
        assert_eq!(platform("x").unwrap_err().to_string(), "x: not CPU=FILE");
    }

    #[test]
    fn the_same_files_give_the_same_archive() {
        let mut seen = Vec::new();
        for _ in 0..2 {
            let work = tempfile::tempdir().unwrap();
            let file = work.path().join("file");
            fs::write(&file, "contents").unwrap();
            let files = ["x86_64", "riscv64"].map(|cpu| format!("{cpu}={}", file.display())).to_vec();
            let output = work.path().join("dist/a.tar");
            let source = Some("https://example.org/source".to_owned());
            let args =
                Args { output: output.clone(), version: "1.2".into(), time: 86_400, source, compare: true, files };
            run(&args).unwrap();
            seen.push(fs::read(&output).unwrap());
            let tree = work.path().join("tree");
            fs::create_dir(&tree).unwrap();
            quietly(Command::new("tar").arg("-C").arg(&tree).arg("-xf").arg(&output)).unwrap();
            let read = |path: &Path| serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap();
            let blob = |descriptor: &Value| {
                let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
                tree.join("blobs/sha256").join(digest)
            };
            let index = read(&blob(&read(&tree.join("index.json"))["manifests"][0]));
            let platforms: Vec<&Value> = (0..2).map(|at| &index["manifests"][at]["platform"]["architecture"]).collect();
            assert_eq!(platforms, ["amd64", "riscv64"]);
            let manifest = read(&blob(&index["manifests"][1]));
            let config = read(&blob(&manifest["config"]));
            assert_eq!(config["created"], "1970-01-02T00:00:00Z");
            assert_eq!(config["config"]["Entrypoint"], json!(["/usr/bin/binfmt-dispatch", "container"]));
            assert_eq!(config["config"]["Labels"]["org.opencontainers.image.source"], "https://example.org/source");
            let mut list = Command::new("tar");
            let layer = blob(&manifest["layers"][0]);
            let listed = output_of(list.args(["--zstd", "--full-time", "-tvf"]).arg(layer));
            let lines: Vec<&str> = listed.lines().collect();
            assert_eq!(lines.len(), 3, "{listed}");
            assert!(lines[2].starts_with("-rwxr-xr-x 0/0 ") && lines[2].ends_with(PLACE), "{listed}");
            // Nothing but the blobs that are named.
            assert_eq!(fs::read_dir(tree.join("blobs/sha256")).unwrap().count(), 6);
        }
        assert!(seen[0] == seen[1], "the archives differ");
    }

    #[test]
    fn an_address_is_only_named_if_it_is_given() {
        let annotations = |source: Option<&str>| {
            let source = source.map(str::to_owned);
            let args =
                Args { output: "a".into(), version: "1".into(), time: 0, source, compare: false, files: Vec::new() };
            Layout { directory: PathBuf::new(), args: &args }.annotations().unwrap()
        };
        let without = annotations(None);
        assert_eq!(without["org.opencontainers.image.version"], "1");
        assert!(without.get("org.opencontainers.image.source").is_none());
        assert_eq!(annotations(Some("x:y"))["org.opencontainers.image.source"], "x:y");
    }

    #[test]
    fn sizes_are_counted() {
        assert_eq!(printed(Command::new("printf").arg("12345")).unwrap(), 5);
        assert!(printed(&mut Command::new("false")).is_err());
        assert_eq!(sizes(37_149_999, None, 467_000_000), "37.1 MB to download, 467.0 MB unpacked");
        assert_eq!(sizes(1, Some(98_400_000), 0), "0.0 MB to download (98.4 MB with gzip -9), 0.0 MB unpacked");
    }

    fn output_of(command: &mut Command) -> String {
        output(command.env("TZ", "UTC")).unwrap()
    }
}
