//! Checks arch-table.json, and builds the interpreter so that the tool can carry it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use dispatch_table::ArchTable;

/// The architectures.
const TABLE: &str = "arch-table.json";

fn main() {
    for input in ["arch-table.json", "Cargo.toml", "Cargo.lock", "crates/core", "crates/interpreter", "crates/table"] {
        println!("cargo::rerun-if-changed={input}");
    }
    let table = fs::read_to_string(TABLE).map_err(|error| format!("{TABLE}: {error}"));
    if let Err(error) = table.and_then(|json| ArchTable::parse(&json).map_err(|error| error.in_file(TABLE))) {
        println!("cargo::error={error}");
        return;
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    match interpreter(&out.join("interpreter")) {
        Ok(built) => {
            fs::copy(built, out.join("dispatch-interpreter")).expect("OUT_DIR is writable");
        }
        Err(what) => println!("cargo::error={what}"),
    }
}

/// Builds the interpreter below `target_dir`. It needs a directory of its own, because its features
/// must not be mixed with those of the command, and because the outer cargo holds the lock of the
/// outer directory.
fn interpreter(target_dir: &Path) -> Result<PathBuf, String> {
    let variable = |name| env::var(name).expect("cargo sets it");
    let target = variable("TARGET");
    let mut cargo = Command::new(variable("CARGO"));
    cargo
        // The interpreter depends only on packages of this workspace, so there is nothing to fetch,
        // and the outer cargo has checked Cargo.lock. The inner one cannot know whether the outer
        // one was called with --offline or --locked.
        .args(["build", "--locked", "--offline"])
        .args(["--package", "dispatch-interpreter", "--profile", "interpreter", "--target", &target])
        .arg("--target-dir")
        .arg(target_dir)
        .current_dir(variable("CARGO_MANIFEST_DIR"))
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("RUSTFLAGS")
        // These replace the flags for the command, which may include instrumentation.
        .env("CARGO_ENCODED_RUSTFLAGS", flags(&target).join("\u{1f}"));
    let output = cargo.output().map_err(|error| format!("cannot start cargo for the interpreter: {error}"))?;
    if !output.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        return Err("the interpreter does not build; see the messages above".into());
    }
    Ok(target_dir.join(target).join("interpreter").join("dispatch-interpreter"))
}

/// The compiler's options for the interpreter.
fn flags(target: &str) -> Vec<&'static str> {
    // RELRO would add padding, and protect nothing worth protecting after relocation.
    // ci/interpreters reads the file too.
    let mut flags: Vec<&str> = include_str!("crates/interpreter/rustflags").lines().collect();
    if target.starts_with("riscv64") {
        // The linker may shorten calls, of which there are hundreds, from 8 bytes to 4.
        flags.push("-Ctarget-feature=+relax");
    }
    flags
}
