//! Programs that the other tests use.

use crate::lab;
use crate::loader;
use crate::support::{native, need};

#[test]
#[ignore = "ci/hosts runs it, so that virtual machines need no compilers"]
fn are_made() {
    need!(Compiler, CrossCompilers);
    lab::programs();
    loader::ordinary();
    native("tests/security/programs/planted.c");
}
