//! Files that the other tests use, and that take long to make.

use crate::support::keeper::keeper;
use crate::support::{Foreign, Kind, Namespace, Release, Way, build, caller, injector, native, need, saying};
use crate::transparent;

#[test]
#[ignore = "ci/hosts runs it, so that virtual machines need neither compilers nor that time"]
fn are_made() {
    need!(Namespace, Qemu, BothQemus, Compiler, CrossCompilers);
    for kind in [Kind::Pie, Kind::Fixed, Kind::Aligned, Kind::Dynamic, Kind::ExecutableStack] {
        build(kind);
    }
    caller();
    injector();
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
    native("tests/support/emulators/slow.c");
    keeper(0);
    keeper(1);
    saying("other", 0);
    transparent::starter();
    transparent::executer();
}
