//! `register` and `unregister`, from an empty registry to the image's entries and back.

use crate::alpha::Alpha;
use crate::support::need;

#[test]
fn registration_is_idempotent_and_ends() {
    need!(Namespace);
    Alpha::new().expect(
        "register alpha --no-probe; register alpha --no-probe; head -n 3 $ENTRY
        tool unregister --image image alpha; ls $REGISTRY; tool unregister alpha",
        &[
            "ARCHITECTURE  RESULT      EMULATOR",
            "alpha         registered  /bin/false",
            "code 0",
            "ARCHITECTURE  RESULT              EMULATOR",
            "alpha         already registered  /bin/false",
            "code 0",
            "enabled",
            "interpreter /",
            "flags: POF",
            "qemu-alpha: removed",
            "code 0",
            "register",
            "status",
            "code 1",
            "binfmt-dispatch: qemu-alpha: is not registered: see `binfmt-dispatch status`",
        ],
    );
}

#[test]
fn what_is_ours_is_found_by_what_is_in_the_file() {
    need!(Namespace);
    Alpha::new().expect("register alpha --no-probe >/dev/null; tool unregister", &["qemu-alpha: removed", "code 0"]);
}

#[test]
fn credentials_are_a_decision() {
    need!(Namespace);
    Alpha::new().expect(
        "register alpha --no-probe >/dev/null; register alpha --no-probe --credentials; grep flags $ENTRY",
        &["ARCHITECTURE", "registered", "code 0", "flags: POCF", "warning: set-user-ID programs"],
    );
}

#[test]
fn a_dry_run_prints_the_line() {
    need!(Namespace);
    Alpha::new().expect(
        "register alpha -n; ls $REGISTRY",
        &[r":qemu-alpha:M::\x7f\x45\x4c\x46\x02\x01\x01", "code 0", "register", "status"],
    );
}

#[test]
fn what_does_not_work_is_not_registered() {
    need!(Namespace);
    Alpha::new().expect(
        "register alpha; ls $REGISTRY",
        &[
            "ARCHITECTURE",
            "alpha         failed",
            "code 1",
            "register",
            "status",
            "alpha: not registered, as its probe exited with ",
        ],
    );
}
