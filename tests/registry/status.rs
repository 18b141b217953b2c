//! `status`: its output, and the cases in which the check fails.

use crate::alpha::Alpha;
use crate::support::need;

#[test]
fn switched_off_means_not_good() {
    need!(Namespace);
    Alpha::new().expect(
        "tool status >/dev/null; register alpha --no-probe >/dev/null; tool status --no-probe | tail -n 1
        echo 0 >$ENTRY; tool status --no-probe | tail -n 1; echo 0 >$REGISTRY/status; register alpha",
        &["code 0", "code 1", "code 1", "all entries are turned off"],
    );
}

#[test]
fn an_entry_that_cannot_work_is_not_good() {
    need!(Namespace);
    let alpha = Alpha::new();
    alpha.scratch.probe("guest", "alpha");
    let entry = |flags: &str| {
        format!(
            "register alpha -n | sed -n 's/POF$/{flags}/p' >$REGISTRY/register
            tool status --no-probe --image image | grep -e 'lacks flag' -e '^code'
            $TOOL status --no-probe --image image --table table >/dev/null; echo $?
            tool explain --no-probe ./guest | grep -e '^  why' -e '^  fix'"
        )
    };
    alpha.expect(
        &entry("PF"),
        &[
            "qemu-alpha cannot work, as it lacks flag O: run `binfmt-dispatch register --replace alpha`",
            "code 1",
            "1",
            "entry qemu-alpha lacks flag O",
            "binfmt-dispatch register --replace alpha",
        ],
    );
    alpha.expect(
        &entry("OF"),
        &["qemu-alpha loses argv[0], as it lacks flag P: run ", "code 0", "0", "as planned, but with argv[0] lost"],
    );
}

#[test]
fn a_private_image_is_called_so() {
    need!(Namespace);
    Alpha::new().run("tool status --all | grep -c 'private image of unshare'").printed("1\n");
}

#[test]
fn status_is_readable_by_programs() {
    need!(Namespace);
    let status = Alpha::new().run("$TOOL status --table table --json").exited(1).json();
    assert_eq!((&status["mounted"], &status["enabled"]), (&true.into(), &true.into()));
    let entries = status["entries"].as_array().unwrap();
    let alpha = entries.iter().find(|entry| entry["entry"] == "qemu-alpha").unwrap();
    assert_eq!(alpha["ours"], true, "{alpha}");
    assert_eq!(alpha["flags"], "POF", "{alpha}");
    assert_eq!(alpha["emulator"], "/bin/false", "{alpha}");
    assert_eq!((&alpha["runs"], &alpha["fault"]), (&false.into(), &"exited with 1".into()), "{alpha}");
}
