//! `explain` and the kernel agree about which entry gets a file.

use std::fmt::Write;

use serde_json::Value;

use crate::is_as_documented;
use crate::support::{FOREIGN, Namespace, Scratch, need};

/// Asserts that the answer has the documented form.
#[track_caller]
pub fn is_valid(answer: &Value) {
    is_as_documented(include_str!("../../docs/explain.schema.json"), answer);
}

/// Files that entries of the random registries may match.
const FILES: [&str; 5] = ["tea", "tea.x", "coffee.x.y", "probe", "other"];
/// What the entries match: text for the registration, before the interpreter.
const RULES: [&str; 5] = ["M::tea:", "M:1:ea:", "E::x:", "E::y:", MACHINE];
/// The machine of the probe.
const MACHINE: &str = if cfg!(target_arch = "aarch64") { r"M:18:\xf3\x00:" } else { r"M:18:\xb7\x00:" };

#[test]
fn random_registries_have_the_winner_that_explain_names() {
    need!(Namespace);
    let scratch = Scratch::new();
    for name in &FILES[..3] {
        scratch.write(name, "tea time");
    }
    scratch.write("other", "zzz");
    scratch.probe("probe", FOREIGN);
    let mut random = fastrand::Rng::with_seed(11);
    let mut script = "set +e; mkdir i\n".to_owned();
    for name in 'a'..='h' {
        let _ = writeln!(script, "printf '#!/bin/sh\\necho {name}\\n' >i/{name}; chmod +x i/{name}");
    }
    for _ in 0..25 {
        for _ in 0..6 {
            let name = char::from(random.u8(b'a'..=b'h'));
            let _ = match random.u8(0..10) {
                0 => writeln!(script, "echo -1 >$REGISTRY/{name}"),
                1 | 2 => writeln!(script, "echo 0 >$REGISTRY/{name}"),
                3 => writeln!(script, "echo 1 >$REGISTRY/{name}"),
                4 if random.u8(0..4) == 0 => writeln!(script, "echo {} >$REGISTRY/status", random.u8(0..=1)),
                _ => {
                    let rule = RULES[random.usize(..RULES.len())];
                    writeln!(script, "printf '%s' ':{name}:{rule}:'$PWD/i/{name}: >$REGISTRY/register")
                }
            };
        }
        for file in FILES {
            let _ = writeln!(script, "echo \"= {file} $(./{file} 2>/dev/null)\"");
        }
        let files = FILES.map(|file| format!("./{file}")).join(" ");
        let _ = writeln!(script, "$TOOL explain --json --no-probe {files}; echo");
    }
    let seen = Namespace::empty().run(&scratch, &format!("exec 2>/dev/null\n{script}"));
    let (mut ran, mut checked, mut json) = (Vec::new(), 0, String::new());
    for line in seen.out().lines() {
        if let Some(found) = line.strip_prefix("= ") {
            let (file, winner) = found.split_once(' ').unwrap();
            ran.push((file.to_owned(), winner.trim().to_owned()));
        } else if line.is_empty() {
            let answers: Value = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}\n{json}"));
            is_valid(&answers);
            for ((file, winner), answer) in ran.drain(..).zip(answers.as_array().unwrap()) {
                let entries = answer["kernel"]["entries"].as_array().unwrap();
                let named = entries.iter().find(|entry| entry["role"] == "wins");
                let named = named.map_or("", |entry| entry["name"].as_str().unwrap());
                assert_eq!(named, winner, "{file}: {answer:#}");
                checked += usize::from(!winner.is_empty());
            }
            json.clear();
        } else {
            json += line;
        }
    }
    assert!(checked > 20, "only {checked} files were run by an entry: {seen}");
}
