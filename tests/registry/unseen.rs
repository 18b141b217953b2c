//! The output of `explain` if the image cannot be seen.

use serde_json::Value;

use crate::ownership::{run, run_in};
use crate::support::{Namespace, Row, Scratch, need};

/// The output of `explain` for aarch64 if the image cannot be seen for this reason.
fn unseen(why: &str) -> String {
    format!(
        "  why         as the test program of aarch64 does\n  \
         note        the emulator, its arguments and its environment cannot be seen from here: {why}\n"
    )
}

#[test]
fn explain_does_not_take_another_file_for_the_registered_one() {
    need!(Namespace, Qemu);
    let scratch = Scratch::new();
    scratch.probe("program", "aarch64");
    let seen = run(
        &scratch,
        r"
        explain() { $TOOL explain ./program | grep -E '^  (emulator|strategy|argv|environment|note|why|fix)'; }
        register one aarch64; mv one elsewhere; explain; ./program; echo code $?
        cp /bin/true one; explain; cp two one; explain; ./program; echo code $?
        $TOOL explain --json ./program
        ",
    );
    let out = seen.succeeded().out();
    let (text, json) = out.split_at(out.find("{\n").expect("JSON"));
    let gone = unseen("the registered image is gone");
    let another = unseen(&format!("the registered image is another one than the one at {}", scratch.at("one")));
    assert_eq!(text, format!("{gone}code 0\n{another}{another}code 0\n"), "{seen}");
    let json: Value = serde_json::from_str(json).unwrap();
    assert!(json["plan"].is_null() && json["cpu"].is_null() && json["emulators"] == serde_json::json!([]), "{seen}");
    assert!(json["notes"][0].as_str().is_some_and(|note| note.contains("is another one than the one at")), "{seen}");
    assert_eq!((&json["verdict"]["runs"], &json["kernel"]["entries"][0]["ours"]), (&true.into(), &true.into()));
}

#[test]
fn explain_knows_that_a_file_which_is_gone_does_not_run_it() {
    need!(Namespace);
    let scratch = Scratch::new();
    scratch.probe("program", "aarch64");
    scratch.write("table", Row::new("aarch64", "/bin/false").table());
    let script = "$TOOL --table table image --no-emulators --seed 1 -o one
        $TOOL --table table generate --interpreter $PWD/one --format register aarch64 >$REGISTRY/register
        rm one; ./program; echo code $?; $TOOL explain ./program | grep -E '^  (why|fix)'; echo code ${PIPESTATUS[0]}";
    let seen = Namespace::empty().run(&scratch, script);
    assert!(
        seen.out().ends_with(
            "  why         the test program exited with 1\n  \
             fix         binfmt-dispatch install --replace aarch64\ncode 1\n"
        ),
        "{seen}"
    );
}

#[test]
fn explain_agrees_with_the_kernel_on_a_privileged_program_of_a_file_that_is_gone() {
    need!(Namespace, Qemu, Guests, Root);
    let scratch = Scratch::new();
    let seen = run_in(
        &Namespace::empty().mapped(),
        &scratch,
        r#"
        register one arm64; rm one; cp $TOOL tool; cp $GUESTS/arm64/bin/busybox busybox
        chown 0:0 busybox tool; chmod 4755 busybox; chmod 755 tool
        user() { setpriv --reuid 1000 --regid 1000 --clear-groups "$@"; }
        user ./busybox true; echo code $?; user ./tool explain ./busybox | grep -E '^  (why|note)'; echo code ${PIPESTATUS[0]}
        "#,
    );
    let why = unseen("the registered image is gone");
    let privileged = "aarch64 does, if the emulator is embedded in the image: it is privileged\n";
    seen.printed(&format!("code 0\n{}code 0\n", why.replace("aarch64 does\n", privileged)));
}
