//! The series for QEMU in emulators/: it has only what was written for it, and each patch can be read
//! alone. ci/emulators applies and builds it.

use std::fs;
use std::path::Path;

/// The files in emulators/ whose names have one of these ends, with their texts, by name.
fn files(ends: &[&str]) -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("emulators");
    let names = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| ends.iter().any(|end| name.ends_with(end))).collect();
    names.sort();
    names.into_iter().map(|name| (name.clone(), fs::read_to_string(directory.join(name)).unwrap())).collect()
}

/// What is wrong with a patch, the one of this number of so many.
fn wrong(patch: &str, number: usize, count: usize) -> Option<String> {
    let Some((head, changes)) = patch.split_once("\n---\n") else {
        return Some("no line --- after the message".into());
    };
    let (fields, message) = head.split_once("\n\n").unwrap_or((head, ""));
    let subject = fields.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default();
    let Some(subject) = subject.strip_prefix(&format!("[PATCH {number}/{count}] ")) else {
        return Some(format!("not number {number} of {count}: {subject:?}"));
    };
    if !subject.contains(": ") || subject.len() > 72 {
        return Some(format!("the subject names no part of QEMU, or is too long: {subject:?}"));
    }
    if !fields.lines().any(|line| line == "SPDX-License-Identifier: GPL-2.0-or-later") {
        return Some("no licence".into());
    }
    if message.trim().is_empty() || message.lines().any(|line| line.len() > 76) {
        return Some("no message, or one of long lines".into());
    }
    changes.lines().find(|line| !line.starts_with(['+', '-', '@'])).map(|line| format!("a line of context: {line:?}"))
}

#[test]
fn patches_have_a_message_and_a_licence_and_no_context() {
    let good = "Subject: [PATCH 1/2] tcg: do it\nSPDX-License-Identifier: GPL-2.0-or-later\n\nWhy.\n\n---\n\
        --- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n";
    assert_eq!(wrong(good, 1, 2), None);
    for (from, to) in [
        ("1/2", "2/2"),
        ("tcg: ", ""),
        ("SPDX", "X"),
        ("\nWhy.\n", ""),
        ("\n---\n--- ", "\n--- "),
        ("-a\n", "-a\n c\n"),
    ] {
        assert!(good.contains(from) && wrong(&good.replacen(from, to, 1), 1, 2).is_some(), "{from:?}");
    }

    let patches = files(&[".patch"]);
    assert!(!patches.is_empty());
    for (number, (name, patch)) in (1..).zip(&patches) {
        assert!(name.starts_with(&format!("{number:04}-")), "{name} is not number {number} of the series");
        assert_eq!(wrong(patch, number, patches.len()), None, "{name}");
    }
}

#[test]
fn whole_files_have_a_licence_and_a_place() {
    let build = files(&["build"]).remove(0).1;
    let whole = files(&[".c", ".h"]);
    assert!(!whole.is_empty());
    for (name, text) in whole {
        assert!(text.contains("SPDX-License-Identifier: GPL-2.0-or-later"), "{name}");
        assert!(build.contains(&format!("[{name}]=")), "emulators/build does not copy {name}");
    }
}

#[test]
fn every_host_notes_what_its_code_refers_to() {
    let patches = files(&[".patch"]);
    for host in ["aarch64", "i386"] {
        let file = format!("\n+++ b/tcg/{host}/tcg-target.c.inc\n");
        let patch = patches.iter().find(|(_, patch)| patch.contains(&file)).map(|(_, patch)| patch);
        for function in ["tb_records_ref", "tb_records_near", "tb_records_value"] {
            assert!(patch.is_some_and(|patch| patch.contains(&format!("{function}(s, "))), "{host}: {function}");
        }
    }
}
