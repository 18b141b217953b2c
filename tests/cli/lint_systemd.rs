//! `lint` and systemd-binfmt itself agree: on the lines that are refused, and on the entries that
//! there are in the end.

use std::collections::BTreeSet;
use std::fs;

use crate::lint::{PLAIN, is_valid};
use crate::support::{Namespace, Scratch, need};

/// Registers each of the files with systemd-binfmt itself, and shows what it says, and the entries.
const REGISTER: &str = r#"
    for file in $PWD/files/*; do
        echo "== ${file##*/}"
        echo -1 >$REGISTRY/status
        /usr/lib/systemd/systemd-binfmt $file 2>&1
        # Nothing is started here: the entries may be for anything.
        shopt -u nullglob dotglob; GLOBIGNORE=.:..
        for entry in $REGISTRY/*; do
            case ${entry##*/} in register|status) continue ;; esac
            flags=; extension=
            while read -r key value; do
                case $key in interpreter) interpreter=$value ;; flags:) flags=$value ;; extension) extension=$value ;; esac
            done <"$entry"
            echo "entry ${entry##*/} $interpreter $flags $extension"
        done
    done
    echo -1 >$REGISTRY/status
"#;

/// Numbers that look random, the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    /// A line that is good, or has something wrong with it.
    fn line(&mut self) -> String {
        let delimiter = self.one(&[":", ":", ":", ":", "|", "'", ",", "!"]);
        let (long, longest) = ("n".repeat(255), "n".repeat(256));
        let wide = "W".repeat(256);
        let odd = self.below(4) == 0;
        let mut pick = |good: &[&str], bad: &[&str]| {
            let wrong = odd && self.below(3) == 0;
            self.one(if wrong { bad } else { good }).to_owned()
        };
        let fields = [
            pick(&["a", "b", "c", "d-e", "x.y"], &["", ".", "..", "a/b", "register", "status", &long, &longest, "a b"]),
            pick(&["M", "M", "M", "E"], &["", "X", "MM", "m"]),
            pick(&["", "", "4"], &["0", "010", "+4", "-4", "-0", "0x4", " 4", "255", "256", "4294967296"]),
            pick(&["ZZ", r"\x5a\x5b", r"ZY"], &["", r"\x5", r"\x", r"Z\\x41", r"Z\n", r"Z\xZZ", &wide, "Z/"]),
            pick(&["", "", r"\xff\xff"], &[r"\xff", r"\xff\xff\xff", r"\xfg\xff", "zz"]),
            pick(&["/bin/true", "/no/such"], &["", "rel", "/bin/tr ue"]),
            pick(&["", "P", "OC", "POC"], &["Q", "p", "PP", "P O", " "]),
        ];
        let mut fields = fields.to_vec();
        if odd && self.below(6) == 0 {
            fields.remove(self.below(7));
        }
        if odd && self.below(8) == 0 {
            fields.insert(self.below(7), "extra".into());
        }
        let mut line = format!("{delimiter}{}", fields.join(delimiter));
        match self.below(24) {
            0 => line.push('\r'),
            1 => line.insert_str(0, " \t"),
            2 => line.push_str("  "),
            3 => line.insert(0, '#'),
            4 => line = String::new(),
            5 => line = format!(":{}:M::ZZ::/{}:", self.one(&["l", "ll"]), "i".repeat(1900 + self.below(12))),
            _ => {}
        }
        line
    }
}

#[test]
fn systemd_binfmt_agrees() {
    need!(Namespace, Systemd);
    let scratch = Scratch::new();
    fs::create_dir(scratch.at("files")).unwrap();
    let mut numbers = Numbers(12);
    let files: Vec<String> = (0..300).map(|number| format!("files/{number:03}.conf")).collect();
    for file in &files {
        let lines: Vec<String> = (0..=numbers.below(6)).map(|_| numbers.line()).collect();
        fs::write(scratch.at(file), lines.join("\n")).unwrap();
    }
    let run = Namespace::empty().run(&scratch, REGISTER);
    let seen = String::from_utf8_lossy(&run.stdout).into_owned();
    let mut registered = 0;
    let mut refused = 0;
    for (file, seen) in files.iter().zip(seen.split("== ").skip(1)) {
        let output = scratch.tool([&PLAIN[..], &["--json", file]].concat()).json();
        is_valid(&output);
        let entries = output["entries"].as_array().unwrap().iter().map(|entry| {
            let word = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
            let extension = entry["extension"].as_str().map_or(String::new(), |extension| format!(".{extension}"));
            let dashes = format!("entry {} {} {} {extension}", word("name"), word("interpreter"), word("flags"));
            dashes.trim_end().to_owned()
        });
        // The shell lists entries by name.
        let found: BTreeSet<String> = entries.collect();
        let made = seen.lines().filter(|line| line.starts_with("entry ")).map(|line| line.trim_end().to_owned());
        let made: BTreeSet<String> = made.collect();
        assert_eq!(found, made, "{file}: {}\n{seen}\n{output:#}", fs::read_to_string(scratch.at(file)).unwrap());
        registered += made.len();
        // Lines are refused where an error of the grammar is.
        let number = |line: &str| line.split_once(&format!("{file}:"))?.1.split(':').next()?.parse::<u64>().ok();
        let theirs: BTreeSet<u64> = seen.lines().filter_map(number).collect();
        let grammar = [
            "length",
            "delimiter",
            "fields",
            "type",
            "name",
            "offset",
            "escape",
            "magic",
            "mask",
            "extension",
            "interpreter",
            "flags",
        ];
        let ours = output["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|finding| finding["level"] == "error" && grammar.contains(&finding["check"].as_str().unwrap()));
        let ours: BTreeSet<u64> = ours.map(|finding| finding["line"].as_u64().unwrap()).collect();
        assert_eq!(ours, theirs, "{file}: {}\n{seen}\n{output:#}", fs::read_to_string(scratch.at(file)).unwrap());
        refused += theirs.len();
    }
    assert!(registered > 300 && refused > 100, "{registered} registered, {refused} refused\n{run}");
}
