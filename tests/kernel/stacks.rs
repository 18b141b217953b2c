//! Small stacks. The emulator's stack is made from the kernel's, so a program needs no more than
//! with QEMU registered directly.

use crate::support::{Release, Scratch, Way, guests, need};

/// Starts busybox with $1 KiB of stack and $2 arguments of one letter. Only QEMU's own addresses
/// are random.
const START: &str = r#"start() {
    arguments=()
    for ((i = 0; i < $2; i++)); do arguments[i]=a; done
    (ulimit -s "$1" && exec setarch -R env -i "$BUSYBOX" true "${arguments[@]}")
    echo "$1 KiB, $2 arguments: $?"
}
"#;

/// A 64-bit, a 32-bit and a big-endian architecture.
const WIDTHS: [&str; 3] =
    if cfg!(target_arch = "aarch64") { ["riscv64", "mipsel", "s390x"] } else { ["arm64", "armhf", "s390x"] };

/// More than nine tenths of the 128 KiB that the kernel accepts for arguments and their addresses
/// when the stack is small.
const MANY: usize = 12_000;

#[test]
fn small_stacks_suffice_as_they_do_directly() {
    need!(Namespace, BothQemus, Guests);
    let calls: Vec<(usize, usize)> = [20, 24, 28, 32, 48]
        .map(|size| (size, 0))
        .into_iter()
        .chain([160, 176, 192, 208, 224, 240, 256].map(|size| (size, MANY)))
        .collect();
    let script: String = calls.iter().map(|(size, arguments)| format!("start {size} {arguments}\n")).collect();
    let printed: String =
        calls.iter().map(|(size, arguments)| format!("{size} KiB, {arguments} arguments: 0\n")).collect();
    for guest in guests().into_iter().filter(|guest| WIDTHS.contains(&guest.debian)) {
        let script = format!("BUSYBOX={}\n{START}{script}", guest.busybox.display());
        for release in Release::ALL {
            for way in [Way::Direct, Way::Ours] {
                release.registered(way).run(&Scratch::new(), &script).printed(&printed);
            }
        }
    }
}
