//! Chooses an emulator's CPU model by its version and by the needs of a program.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, Unexpected};

use crate::fields;

/// A version, by its leading numbers: "7.2.22 (Debian …)" is 7.2.22.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(Vec<u32>);

impl FromStr for Version {
    type Err = ();

    /// Reads the numbers at the start of `text`, separated by points; the rest is ignored.
    fn from_str(text: &str) -> Result<Self, ()> {
        let end = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
        let numbers: Vec<u32> = text[..end].split('.').map_while(|number| number.parse().ok()).collect();
        if numbers.is_empty() { Err(()) } else { Ok(Version(numbers)) }
    }
}

impl Version {
    /// The range of releases that the version belongs to, as QEMU counts: the first one, and the
    /// first one after them. 7.2.22 is at least 7.2 and before 7.3.
    pub fn series(&self) -> (Version, Version) {
        let number = |index: usize| self.0.get(index).copied().unwrap_or(0);
        let (major, minor) = (number(0), number(1));
        (Version(vec![major, minor]), Version(vec![major, minor.saturating_add(1)]))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(u32::to_string).collect();
        f.write_str(&numbers.join("."))
    }
}

impl<'de> Deserialize<'de> for Version {
    /// Accepts numbers and points only.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let version: Option<Version> = text.parse().ok();
        version
            .filter(|version| version.to_string() == text)
            .ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &"a version like \"7.2\""))
    }
}

/// Model and options for emulators of some versions.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuning {
    /// The first version.
    #[serde(default)]
    pub since: Option<Version>,
    /// The first version after the range.
    #[serde(default)]
    pub before: Option<Version>,
    /// The model for `-cpu`; without one, the emulator's default.
    #[serde(default)]
    pub cpu: Option<String>,
    /// Names of the bits of the row's [`Property`] that this model lacks.
    #[serde(default)]
    pub lacks: Vec<String>,
    /// The model for programs that need one of these bits.
    #[serde(default)]
    pub larger_cpu: Option<String>,
    /// Additional options for the emulator.
    #[serde(default)]
    pub options: Vec<String>,
    /// Notes on the model for users; may be empty.
    #[serde(default)]
    pub note: String,
}

impl Tuning {
    /// Whether it is for emulators of `version`; `None` is an unknown version.
    pub(crate) fn is_for(&self, version: Option<&Version>) -> bool {
        match version {
            None => self.since.is_none() && self.before.is_none(),
            Some(version) => {
                self.since.as_ref().is_none_or(|since| version >= since)
                    && self.before.as_ref().is_none_or(|before| version < before)
            }
        }
    }
}

/// A GNU property (`PT_GNU_PROPERTY`) of an architecture's programs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Property {
    /// `pr_type`.
    #[serde(rename = "type", deserialize_with = "fields::hex_number")]
    pub kind: u32,
    /// Names of its bits, lowest first.
    pub bits: Vec<String>,
    /// Whether a program with a bit set needs the feature; otherwise it can merely use it.
    pub required: bool,
}

impl Property {
    /// The bits called `names`.
    pub fn mask(&self, names: &[String]) -> u32 {
        (0..).zip(&self.bits).filter(|(_, bit)| names.contains(bit)).fold(0, |mask, (index, _)| mask | 1 << index)
    }

    /// Names of the bits in `mask`; unnamed bits are left out.
    pub fn names(&self, mask: u32) -> Vec<&str> {
        let set = (0..).zip(&self.bits).filter(|(index, _)| mask >> index & 1 != 0);
        set.map(|(_, name)| name.as_str()).collect()
    }
}

/// The resulting models and options for an emulator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuChoice<'t> {
    /// The model for `-cpu`.
    pub cpu: Option<&'t str>,
    /// The model for programs that need more than that.
    pub larger_cpu: Option<&'t str>,
    /// Additional options.
    pub options: &'t [String],
    /// Bits of the row's property that `cpu` lacks.
    pub lacks: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ArchTable, Asked, Assignment};
    use dispatch_core::Table;
    use dispatch_core::record::Field;
    use dispatch_core::table::{Corrupt, Identity, RowLists};

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    fn with(fields: &str) -> Result<ArchTable, String> {
        let json = format!(r#"{{"version": 1, "architectures": [{{"name": "aarch64", {fields}}}]}}"#);
        ArchTable::builtin().merge(&json).map_err(|error| error.to_string())
    }

    #[test]
    fn versions_are_their_leading_numbers() {
        assert_eq!(version("7.2.22 (Debian 1:7.2+dfsg-7)"), version("7.2.22"));
        assert!(version("7.2") < version("7.2.22") && version("7.2.22") < version("10.0"));
        assert!(version("10") < version("10.0") && version("10.0") < version("10.0.1"));
        assert_eq!(version("11.0.50-rc1").to_string(), "11.0.50");
        assert_eq!(version("7.2.22").series(), (version("7.2"), version("7.3")));
        assert_eq!(version("10").series(), (version("10.0"), version("10.1")));
        for text in ["", "unknown", ".7", "v8", "99999999999"] {
            assert_eq!(text.parse::<Version>(), Err(()), "{text}");
        }
    }

    #[test]
    fn the_first_tuning_for_a_version_counts() {
        let table = with(
            r#""versions": [{"since": "7.0", "before": "10.0", "cpu": "one", "options": ["-x"]},
                {"since": "8.0", "cpu": "two"}, {"cpu": "any"}]"#,
        )
        .unwrap();
        let row = table.find("aarch64").unwrap();
        for (of, cpu) in
            [(Some("7.2.22"), "one"), (Some("9.99"), "one"), (Some("10.0"), "two"), (Some("6"), "any"), (None, "any")]
        {
            let version = of.map(version);
            assert_eq!(row.tuned(version.as_ref()).cpu, Some(cpu), "{of:?}");
        }
        let mut own = row.clone();
        own.cpu = Some("mine".into());
        let tuned = own.tuned(Some(&version("7.2")));
        assert_eq!((tuned.cpu, tuned.options), (Some("mine"), &["-x".to_owned()][..]));
    }

    #[test]
    fn the_compiled_row_has_what_its_emulator_is_given() {
        let table = with(
            r#""options": ["-y"], "property": {"type": "0x1", "bits": ["a", "b", "c"], "required": true},
                "versions": [{"since": "7.0", "cpu": "one", "lacks": ["a", "c"], "larger_cpu": "two", "options": ["-x"]}]"#,
        )
        .unwrap();
        let known = Assignment { program: 1, version: Some(version("7.2")), ..Assignment::default() };
        for (given, expected) in [
            (known.clone(), (vec!["one", "two"], vec!["-x", "-y"], 0b101)),
            (Assignment { plain: true, ..known }, (vec![], vec!["-y"], 0)),
            (Assignment::default(), (vec![], vec!["-y"], 0)),
        ] {
            let compiled = table.compile_with(&[("aarch64", given)]);
            let rows = Table::read(&compiled).unwrap().rows().map(Result::unwrap);
            let row = rows.into_iter().find(|row| row.name() == c"aarch64").unwrap();
            let strings = |list: dispatch_core::bytes::Strings<'_>| -> Vec<String> {
                list.iter().map(|string| string.to_str().unwrap().to_owned()).collect()
            };
            assert_eq!((strings(row.cpus()), strings(row.options()), row.lacks()), {
                let (cpus, options, lacks) = expected;
                (cpus.into_iter().map(String::from).collect(), options.into_iter().map(String::from).collect(), lacks)
            });
            assert_eq!(row.property(), 1);
        }
    }

    #[test]
    fn by_its_path_only_the_file_that_was_asked_is_given_it() {
        let table = with(
            r#""options": ["-y"], "versions": [{"since": "7.0", "cpu": "one", "options": ["-x"]}, {"cpu": "any"}]"#,
        )
        .unwrap();
        let file = Identity { size: 1, inode: 2, seconds: 3, nanoseconds: 4 };
        let asked = Asked { file, path: "/emulator".into(), version: "7.2 (Debian)".into() };
        let given = Assignment { version: Some(version("7.2")), asked: Some(asked), ..Assignment::default() };
        let compiled = table.compile_with(&[("aarch64", given.clone())]);
        let read = Table::read(&compiled).unwrap();
        assert_eq!(read.rows().count(), table.architectures().len());
        let row = read.rows().map(Result::unwrap).find(|row| row.name() == c"aarch64").unwrap();
        let Identity { size, inode, seconds, nanoseconds } = file;
        for (other, model, options) in [
            (file, c"one", 2),
            (Identity { size: size + 1, ..file }, c"any", 1),
            (Identity { inode: inode + 1, ..file }, c"any", 1),
            (Identity { seconds: seconds + 1, ..file }, c"any", 1),
            (Identity { nanoseconds: nanoseconds + 1, ..file }, c"any", 1),
        ] {
            let mut fitted = row;
            read.fit(&mut fitted, other).unwrap();
            assert_eq!(
                (fitted.cpus().iter().next(), fitted.options().iter().count()),
                (Some(model), options),
                "{other:?}"
            );
        }
        let found = read.asked(&row).unwrap();
        assert_eq!((found.file, found.path, found.version), (file, c"/emulator", c"7.2 (Debian)"));
        assert!(read.rows().map(Result::unwrap).all(|other| other == row || read.asked(&other).is_none()));
        // A record that points outside is detected when it is used.
        let mut identity: Vec<u8> = Vec::new();
        file.write(&mut |part| identity.extend(part));
        let at = compiled.windows(Identity::SIZE).position(|window| window == identity).unwrap();
        let mut damaged = compiled.clone();
        damaged[at - RowLists::SIZE..][..u64::SIZE].fill(0xff);
        let read = Table::read(&damaged).unwrap();
        let mut row = read.rows().map(Result::unwrap).find(|row| row.name() == c"aarch64").unwrap();
        assert_eq!(read.fit(&mut row, Identity { size: size + 1, ..file }), Ok(()));
        assert_eq!(read.fit(&mut row, file), Err(Corrupt));
        assert!(read.asked(&row).is_none());
        // An emulator that refused the model gets none; another file gets what all versions get.
        let compiled = table.compile_with(&[("aarch64", Assignment { plain: true, ..given })]);
        let read = Table::read(&compiled).unwrap();
        let mut row = read.rows().map(Result::unwrap).find(|row| row.name() == c"aarch64").unwrap();
        assert_eq!(row.cpus().iter().next(), Some(c"any"));
        read.fit(&mut row, file).unwrap();
        assert_eq!((row.cpus().is_empty(), row.options().iter().count()), (true, 1));
    }

    #[test]
    fn rows_whose_emulators_are_to_be_asked() {
        for (fields, tuned) in [
            (r#""versions": []"#, false),
            (r#""versions": [{"cpu": "any"}]"#, false),
            (r#""versions": [{"since": "7.0", "note": "slow"}]"#, false),
            (r#""versions": [{"since": "7.0", "cpu": "one"}]"#, true),
            (r#""versions": [{"before": "7.0"}, {"cpu": "any"}]"#, true),
            (r#""cpu": "mine", "versions": [{"since": "7.0", "cpu": "one"}]"#, false),
            (r#""cpu": "mine", "versions": [{"since": "7.0", "options": ["-x"]}]"#, true),
        ] {
            assert_eq!(with(fields).unwrap().find("aarch64").unwrap().is_tuned(), tuned, "{fields}");
        }
        let table = ArchTable::builtin();
        let tuned = table.architectures().iter().filter(|row| row.is_tuned()).map(|row| row.name.as_str());
        assert_eq!(tuned.collect::<Vec<_>>(), ["aarch64", "riscv64"]);
    }

    #[test]
    fn what_no_emulator_has_is_known_of_every_version() {
        let table = ArchTable::builtin();
        for name in ["x86_64", "i386"] {
            let row = table.find(name).unwrap();
            let lacks = |of: Option<&str>| {
                let tuned = row.tuned(of.map(version).as_ref());
                assert_eq!(tuned.cpu, None);
                row.property.as_ref().unwrap().names(tuned.lacks)
            };
            assert_eq!(lacks(Some("7.1")), ["x86-64-v3", "x86-64-v4"]);
            assert_eq!(lacks(Some("7.2.22")), ["x86-64-v4"]);
            assert_eq!(lacks(None), ["x86-64-v4"]);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let property = r#""property": {"type": "0x1", "bits": ["a"], "required": false}"#;
        let larger =
            "versions has larger_cpu without cpu, lacks and a required property, so that no program would get it";
        for (fields, refusal) in [
            (r#""cpu": """#.to_owned(), "cpu is empty"),
            (r#""cpus": ["a", "a"]"#.to_owned(), "cpus has \"a\" twice"),
            (r#""versions": [{"cpu": "a\u0000"}]"#.to_owned(), "cpu has a NUL in \"a\\0\""),
            (
                r#""versions": [{"since": "8", "before": "7.2"}]"#.to_owned(),
                "versions has since 8, which is not below before 7.2",
            ),
            (
                r#""versions": [{"since": "v8"}]"#.to_owned(),
                "\"v8\" is not allowed here: use a version like \"7.2\", in quotes",
            ),
            (
                format!(r#"{property}, "versions": [{{"lacks": ["b"]}}]"#),
                "versions has lacks \"b\", which is no bit of property",
            ),
            (format!(r#"{property}, "versions": [{{"cpu": "c", "lacks": ["a"], "larger_cpu": "d"}}]"#), larger),
            (r#""versions": [{"cpu": "c", "larger_cpu": "d"}]"#.to_owned(), larger),
            // Such a model would override the caller's, or be overridden by the row's own.
            (
                r#""environment": {"QEMU_CPU": "a"}"#.to_owned(),
                "environment has the CPU model, which belongs in cpu or versions",
            ),
            (r#""options": ["-cpu", "a"]"#.to_owned(), "options has the CPU model, which belongs in cpu or versions"),
            (
                r#""versions": [{"options": ["--cpu", "a"]}]"#.to_owned(),
                "options has the CPU model, which belongs in cpu or versions",
            ),
        ] {
            let refused = with(&fields).map(drop).unwrap_err();
            assert!(refused.ends_with(&format!(": {refusal}")), "{fields}: {refused}");
        }
    }
}
