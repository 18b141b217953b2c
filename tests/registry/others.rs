//! Others' entries, beside `register` and `unregister`.

use crate::alpha::Alpha;
use crate::support::need;

/// Another's entry with the name of an image's, disabled.
const FOREIGN: &str = r"
    printf '%s' ':qemu-alpha:M:18:\x26\x90::/bin/true:O' >$REGISTRY/register
    echo 0 >$ENTRY
";

#[test]
fn entries_of_others_are_left_alone() {
    need!(Namespace);
    Alpha::new().expect(
        &format!("{FOREIGN} register alpha; tool unregister alpha; tool unregister; head -n 2 $ENTRY"),
        &[
            "code 1",
            "code 1",
            "code 0",
            "disabled",
            "interpreter /bin/true",
            "qemu-alpha: is registered for /bin/true: ",
            "qemu-alpha: left alone, as it is registered for /bin/true: ",
        ],
    );
}

#[test]
fn what_makes_room_for_nothing_that_works_is_never_touched() {
    need!(Namespace);
    // The entry is the same, including the mask that it was registered without.
    let entry = ["disabled", "interpreter /bin/true", "flags: O", "offset 18", "magic 2690"];
    for (broken, report) in [("", "alpha: not registered"), ("chmod -x image", "qemu-alpha: the kernel cannot open /")]
    {
        Alpha::new().expect(
            &format!("{FOREIGN} {broken}\nregister alpha --replace >/dev/null; cat $ENTRY"),
            &[&entry[..], &[report]].concat(),
        );
    }
}

#[test]
fn an_entry_that_loses_its_programs_is_named() {
    need!(Namespace);
    Alpha::new().expect(
        r"echo ':other:M:18:\x26\x90::/bin/true:' >$REGISTRY/register
          register alpha --no-probe >/dev/null; tool status | grep -e accept -e ^code",
        &[
            "qemu-alpha and other (/bin/true) accept some of the same programs",
            "code 1",
            "warning: qemu-alpha: now takes precedence over other (/bin/true) for programs that match both",
        ],
    );
}
