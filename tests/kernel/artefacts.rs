//! Files that the other tests use, and that take long to make.

use crate::support::{Foreign, Kind, Namespace, Release, Way, build, need};

#[test]
#[ignore = "ci/kernels runs it, so that virtual machines need not make all of that"]
fn are_made() {
    need!(Qemu, BothQemus, Compiler, CrossCompilers);
    for kind in [Kind::Pie, Kind::Fixed, Kind::Aligned, Kind::Dynamic, Kind::ExecutableStack] {
        build(kind);
    }
    Namespace::ours();
    Namespace::full();
    for release in Release::ALL {
        for way in [Way::Direct, Way::Ours] {
            release.registered(way);
        }
    }
    for foreign in Foreign::ALL {
        foreign.build("tests/kernel/addresses/addresses.c");
    }
}
