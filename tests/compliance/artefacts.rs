//! Files that the other tests use.

use crate::run;
use crate::support::{Foreign, Release, Way, caller, need};

#[test]
#[ignore = "ci/hosts runs it, so that virtual machines need neither compilers nor that time"]
fn are_made() {
    need!(Namespace, BothQemus, Compiler, CrossCompilers);
    caller();
    run::observer();
    for foreign in Foreign::ALL {
        run::programs(foreign);
    }
    for release in Release::ALL {
        for way in [Way::Direct, Way::Ours] {
            release.registered(way);
        }
    }
}
