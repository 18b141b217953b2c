//! Link options of the interpreter: no start files, no libc, position-independent without a dynamic
//! linker.

fn main() {
    for argument in [
        "-nostartfiles",
        "-nostdlib",
        "-static-pie",
        // A PT_NOTE; its program header is replaced by that of the payload.
        "-Wl,--build-id=sha1",
        // Headers and code share pages: the file is a few KiB, and each page costs a page fault at
        // every start.
        "-Wl,-z,noseparate-code",
        "-Wl,-z,noexecstack",
        // RELRO would protect nothing before the jump, and its alignment would cost half a page of
        // the file.
        "-Wl,-z,norelro",
        "-Wl,--no-eh-frame-hdr",
        "-Wl,--no-undefined",
        // `start` expects this: a few words instead of 24 bytes for each pointer.
        "-Wl,-z,pack-relative-relocs",
    ] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    // Nothing unwinds, but the compiled `core` has unwind tables.
    let script = format!("{}/link.ld", std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default());
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{script}");
    println!("cargo::rerun-if-changed=link.ld");
    println!("cargo::rerun-if-changed=build.rs");
}
