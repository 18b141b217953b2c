//! How the interpreter is linked: no start files, no libc, position-independent without a dynamic linker.

fn main() {
    for argument in [
        "-nostartfiles",
        "-nostdlib",
        "-static-pie",
        // A PT_NOTE, whose program header becomes that of the payload.
        "-Wl,--build-id=sha1",
        // Headers and code share pages: the file is a few KiB, and each page costs a fault at every start.
        "-Wl,-z,noseparate-code",
        "-Wl,-z,noexecstack",
        // There is nothing to protect before the jump, and its alignment would cost half a page of the file.
        "-Wl,-z,norelro",
        "-Wl,--no-eh-frame-hdr",
        "-Wl,--no-undefined",
        // What `start` expects: a few words instead of 24 bytes for each pointer.
        "-Wl,-z,pack-relative-relocs",
    ] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    // Nobody unwinds here, but the compiled `core` comes with tables for it.
    let script = format!("{}/link.ld", std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default());
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{script}");
    println!("cargo::rerun-if-changed=link.ld");
    println!("cargo::rerun-if-changed=build.rs");
}
