//! SECURITY.md names a test for each promise. These tests check that all of them exist, and that
//! each rule is marked in the code.

use std::fs;
use std::path::Path;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The texts between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The tests in `text`, as file and name.
fn tests(text: &str) -> Vec<(&str, &str)> {
    quoted(text).filter_map(|word| word.split_once(".rs::")).collect()
}

#[test]
fn every_test_that_is_named_exists() {
    let page = read("SECURITY.md");
    let named = tests(&page);
    assert!(named.len() > 25, "{named:?}");
    for (file, name) in named {
        let source = read(&format!("{file}.rs"));
        let definition = source.find(&format!("fn {name}()")).unwrap_or_else(|| panic!("{file}.rs has no {name}"));
        assert!(source[..definition].trim_end().ends_with("#[test]"), "{file}.rs::{name} is no test");
    }
}

#[test]
fn every_attack_of_this_suite_is_named() {
    let page = read("SECURITY.md");
    for module in ["descriptors", "limits", "loader", "memory", "options", "places", "swaps", "variables"] {
        let path = format!("tests/security/{module}.rs");
        let source = read(&path);
        for (_, rest) in source.match_indices("#[test]\nfn ").map(|(at, mark)| source[at..].split_at(mark.len())) {
            let name = rest.split('(').next().unwrap();
            assert!(page.contains(&format!("`{path}::{name}`")), "SECURITY.md does not name {path}::{name}");
        }
    }
}

#[test]
fn every_rule_has_a_step_and_tests() {
    let page = read("SECURITY.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.split('|').nth(1).is_some_and(is_number)).collect();
    assert_eq!(rows.len(), 7, "{rows:?}");
    let steps = ["crates/core/src", "crates/interpreter/src"].map(|directory| Path::new(ROOT).join(directory));
    let sources = steps.iter().flat_map(|directory| fs::read_dir(directory).unwrap());
    let sources = sources.filter_map(|entry| fs::read_to_string(entry.unwrap().path()).ok());
    let code: String = sources.collect();
    for (number, row) in (1..).zip(rows) {
        assert!(row.starts_with(&format!("| {number} |")), "{row}");
        assert!(code.contains(&format!("Security rule {number}")), "no step is marked with rule {number}");
        assert!(tests(row).len() >= 2, "too few tests: {row}");
    }
}

fn is_number(cell: &str) -> bool {
    cell.trim().parse::<u32>().is_ok()
}
