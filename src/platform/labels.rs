//! The labels of SELinux and AppArmor, which may forbid what permissions allow.

use std::fs::{self, File};
use std::path::Path;

use rustix::fs::fgetxattr;
use serde::Serialize;

/// The extended attribute with a file's label (selinux(8)).
const ATTRIBUTE: &str = "security.selinux";
/// Longest label that is read, in bytes.
const LONGEST: usize = 256;

/// A module of the kernel that labels processes.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Module {
    /// `SELinux` or `AppArmor`.
    pub name: &'static str,
    /// Whether it forbids anything, instead of only reporting it; none if that cannot be read.
    pub enforcing: Option<bool>,
    /// The label of this process.
    pub caller: Option<String>,
}

/// The modules that are on, in the system whose root directory is `root`.
pub fn modules(root: &Path) -> Vec<Module> {
    let read = |path: &str| {
        let text = fs::read(root.join(path)).ok()?;
        let text = String::from_utf8_lossy(&text);
        Some(text.trim_end_matches(['\0', '\n']).to_owned()).filter(|text| !text.is_empty())
    };
    let mut found = Vec::new();
    if root.join("sys/fs/selinux").join("enforce").exists() {
        found.push(Module {
            name: "SELinux",
            enforcing: read("sys/fs/selinux/enforce").map(|text| text == "1"),
            caller: read("proc/self/attr/current"),
        });
    }
    if read("sys/module/apparmor/parameters/enabled").as_deref() == Some("Y") {
        let caller = read("proc/self/attr/apparmor/current").or_else(|| read("proc/self/attr/current"));
        // The mode is that of the process's profile, and in the label: `name (enforce)`.
        let enforcing = caller.as_ref().map(|label| label.ends_with("(enforce)"));
        found.push(Module { name: "AppArmor", enforcing, caller });
    }
    found
}

/// SELinux's label of `file`, if it has one.
pub fn of_file(file: &File) -> Option<String> {
    let mut label = [0; LONGEST];
    let len = fgetxattr(file, ATTRIBUTE, &mut label).ok()?;
    Some(String::from_utf8_lossy(&label[..len]).trim_end_matches('\0').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_found_where_they_are_on() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("sys/module/apparmor/parameters/enabled", "N\n");
        assert_eq!(modules(root.path()), []);
        write("sys/module/apparmor/parameters/enabled", "Y\n");
        write("proc/self/attr/apparmor/current", "firefox (complain)\n");
        let caller = Some("firefox (complain)".to_owned());
        let apparmor = Module { name: "AppArmor", enforcing: Some(false), caller };
        assert_eq!(modules(root.path()), std::slice::from_ref(&apparmor));
        write("sys/fs/selinux/enforce", "1");
        write("proc/self/attr/current", "unconfined_u:unconfined_r:unconfined_t:s0\0");
        let caller = Some("unconfined_u:unconfined_r:unconfined_t:s0".to_owned());
        assert_eq!(modules(root.path()), [Module { name: "SELinux", enforcing: Some(true), caller }, apparmor]);
    }

    #[test]
    fn a_file_without_a_label_has_none() {
        assert_eq!(of_file(&tempfile::tempfile().unwrap()), None);
    }
}
