//! The files of the matrix.

use std::fs;
use std::path::Path;

use crate::support::{Foreign, Scratch, compiled, dynamic_guest, probe};

/// Kinds of files, each in a file of this name.
pub const KINDS: [&str; 31] = [
    "native",
    "native-dynamic",
    "native-unlinked",
    "native-without-library",
    "native-without-library-path",
    "native-capable",
    // Natively where the kernel has `CONFIG_IA32_EMULATION`.
    "i386",
    "aarch64",
    "appimage",
    "s390x",
    // No entry of these states is for it.
    "riscv64",
    "linked",
    "unlinked",
    // Its libraries are in the sysroot of Debian's cross compilers.
    "dynamic",
    "dynamic-without-library",
    "script",
    "script-of-nothing",
    "script-of-nothing.ext",
    "env",
    "env-of-nothing",
    "shell",
    "cut-in-the-header",
    "cut-behind-the-header",
    "text",
    "text.ext",
    "aarch64.ext",
    "not-executable",
    "execute-only",
    "setuid",
    // It has capabilities that the caller does not have.
    "capable",
    "native-setuid",
];

/// What C programs are built from: one that prints a word.
const SOURCE: &str = "tests/support/emulators/say.c";
const DEFINED: [&str; 2] = ["-DWORD=\"said\"", "-DSTATUS=0"];

/// A dynamic program that needs the library `library`, which does not exist, by the compiler
/// `build`.
fn without(library: &str, build: impl Fn(&str, &[&str]) -> std::path::PathBuf) -> Vec<u8> {
    let name = format!("without{}", library.replace('/', "-"));
    let soname = format!("-Wl,-soname,{library}");
    let stub = build(&format!("{name}-stub"), &[&DEFINED[..], &["-shared", "-fPIC", &soname]].concat());
    let stub: &Path = &stub;
    let options = [&DEFINED[..], &["-Wl,--no-as-needed", stub.to_str().unwrap()]].concat();
    fs::read(build(&name, &options)).unwrap()
}

/// Writes a file of each kind, and the images. Two files get their capabilities in the namespace.
pub fn furnish() -> Scratch {
    let scratch = Scratch::new();
    let write = |name: &str, bytes: &[u8]| _ = scratch.write(format!("files/{name}"), bytes);
    // A byte that no loader looks at, for entries that get this machine's programs.
    let marked = |mut program: Vec<u8>| {
        program[9] = b'Z';
        program
    };
    let native = probe(std::env::consts::ARCH);
    for name in ["native", "native-capable", "native-setuid"] {
        write(name, &marked(native.clone()));
    }
    write("native-dynamic", &marked(fs::read("/bin/true").unwrap()));
    write("native-unlinked", &dynamic_guest(native, "/no/such/ld.so"));
    let gcc = |name: &str, options: &[&str]| compiled(name, SOURCE, options);
    write("native-without-library", &without("libnone.so.1", gcc));
    write("native-without-library-path", &without("/no/such/lib.so", gcc));
    for name in ["i386", "aarch64", "s390x", "riscv64"] {
        write(name, &probe(name));
    }
    let foreign = probe("aarch64");
    let mut appimage = foreign.clone();
    appimage[8..11].copy_from_slice(b"AI\x02");
    write("appimage", &appimage);
    let mut loader = foreign.clone();
    loader[16] = 3; // ET_DYN
    write("loader", &loader);
    write("linked", &dynamic_guest(foreign.clone(), &scratch.at("files/loader")));
    write("unlinked", &dynamic_guest(foreign.clone(), "/no/such/ld.so"));
    let cross = |name: &str, options: &[&str]| Foreign::Aarch64.build_as(name, SOURCE, options);
    write("dynamic", &fs::read(cross("dynamic", &DEFINED)).unwrap());
    write("dynamic-without-library", &without("libnone.so.1", cross));
    let program = scratch.at("files/aarch64");
    write("script", format!("#!{program}\n").as_bytes());
    write("env", format!("#!/usr/bin/env -S {program} word\n").as_bytes());
    write("env-of-nothing", b"#!/usr/bin/env -S no-such-program word\n");
    write("shell", b"#!/bin/sh\nexit 0\n");
    write("cut-in-the-header", &foreign[..40]);
    write("cut-behind-the-header", &foreign[..64 + 56]);
    for name in ["script-of-nothing", "script-of-nothing.ext"] {
        write(name, b"#!/no/such\n");
    }
    for name in ["text", "text.ext"] {
        write(name, b"exit 0\n");
    }
    let modes = [
        ("aarch64.ext", 0o755),
        ("not-executable", 0o644),
        ("execute-only", 0o111),
        ("setuid", 0o4755),
        ("capable", 0o755),
    ];
    for (name, mode) in modes {
        write(name, &foreign);
        scratch.mode(&format!("files/{name}"), mode);
    }
    scratch.mode("files/native-setuid", 0o4755);
    scratch.tool(["image", "aarch64", "s390x", "--seed", "1", "-o", "image"]).succeeded();
    scratch.tool(["image", "--no-emulators", "--seed", "1", "-o", "by-path"]).succeeded();
    scratch
}
