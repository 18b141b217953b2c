//! A new image takes the place of an old one, and no start fails meanwhile.

use crate::container::{image_saying, run_with};
use crate::support::{Scratch, need};

#[test]
fn programs_start_at_every_moment_of_an_upgrade() {
    need!(Namespace, Compiler);
    let scratch = Scratch::new();
    scratch.probe("guest", "aarch64");
    let [one, two] = ["one", "two"].map(image_saying);
    let seen = run_with(
        &scratch,
        (&one, &two),
        r"
        container --install all >log 2>&1
        : >going; starts() { while [ -e going ]; do ./guest || echo failed; done >starts 2>&1; }
        starts & starting=$!
        for ((turn = 0; turn < 5; turn++)); do
            other_image; container --install all >log 2>&1 || cat log
            cp $IMAGE root/usr/bin/new && mv root/usr/bin/new root/usr/bin/binfmt-dispatch
            container --install all >log 2>&1 || cat log
        done
        rm going; wait $starting
        sort starts | uniq | tr '\n' ' '; [ $(wc -l <starts) -gt 20 ] && echo many
        ",
    );
    seen.printed("one two many\n");
}
