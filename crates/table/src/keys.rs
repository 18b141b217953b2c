//! The values allowed at each place of a table, for messages; a short form of docs/arch-table.md.

use crate::place::{Path, Step};

/// A list of strings.
const STRINGS: &str = "a list of strings";
/// A string.
const STRING: &str = "a string";
/// A number in hexadecimal digits.
const HEXADECIMAL: &str = "a 32-bit number like \"0x0000e020\", in quotes";
/// A name in a list.
const ALIAS: &str = "letters, digits and _ - . /, in quotes";

/// Each place, and the values allowed there. `[]` stands for elements, `*` for any key.
const PLACES: [(&str, &str); 62] = [
    ("", "an object with the keys version and architectures"),
    ("version", "1"),
    ("architectures", "a list of rows"),
    ("architectures[]", "a row, which is an object"),
    ("architectures[].name", "1 to 64 of a-z, 0-9 and _, in quotes"),
    ("architectures[].aliases", STRINGS),
    ("architectures[].aliases[]", ALIAS),
    ("architectures[].machine", "a list of objects with the keys name and number"),
    ("architectures[].machine[]", "an object with the keys name and number"),
    ("architectures[].machine[].name", STRING),
    ("architectures[].machine[].number", "0 to 65535"),
    ("architectures[].class", "32 or 64"),
    ("architectures[].data", "\"little\" or \"big\""),
    ("architectures[].flags", "an object with the keys mask and value"),
    ("architectures[].flags.mask", HEXADECIMAL),
    ("architectures[].flags.value", HEXADECIMAL),
    ("architectures[].osabi", "a list of EI_OSABI values, which are 0 to 255"),
    ("architectures[].osabi[]", "0 to 255"),
    ("architectures[].emulators", "a list of file names and absolute paths"),
    ("architectures[].emulators[]", "a file name or an absolute path, in quotes"),
    ("architectures[].options", STRINGS),
    ("architectures[].options[]", STRING),
    ("architectures[].versions", "a list of objects"),
    ("architectures[].versions[]", "an object"),
    ("architectures[].versions[].since", "a version like \"7.2\", in quotes"),
    ("architectures[].versions[].before", "a version like \"7.2\", in quotes"),
    ("architectures[].versions[].cpu", STRING),
    ("architectures[].versions[].lacks", "a list of names out of the bits of property"),
    ("architectures[].versions[].lacks[]", "one of the bits of property, in quotes"),
    ("architectures[].versions[].larger_cpu", STRING),
    ("architectures[].versions[].options", STRINGS),
    ("architectures[].versions[].options[]", STRING),
    ("architectures[].versions[].note", STRING),
    ("architectures[].cpu", STRING),
    ("architectures[].cpus", STRINGS),
    ("architectures[].cpus[]", STRING),
    ("architectures[].property", "an object with the keys type, bits and required"),
    ("architectures[].property.type", HEXADECIMAL),
    ("architectures[].property.bits", STRINGS),
    ("architectures[].property.bits[]", STRING),
    ("architectures[].property.required", "true or false"),
    ("architectures[].environment", "an object of strings"),
    ("architectures[].environment.*", STRING),
    ("architectures[].sysroots", "a list of absolute paths"),
    ("architectures[].sysroots[]", "an absolute path, in quotes"),
    ("architectures[].native_on", "a list of names of rows"),
    ("architectures[].native_on[]", "the name of a row, in quotes"),
    ("architectures[].argv0", "\"dash-zero\", \"auxv\" or \"none\""),
    ("architectures[].strategy", "\"map\" or \"exec\""),
    ("architectures[].disabled", "true, false, or who has disabled it, in quotes"),
    ("architectures[].below", "a list of objects with the key directory, and emulators, options or cpu"),
    ("architectures[].below[]", "an object with the key directory, and emulators, options or cpu"),
    ("architectures[].below[].directory", "an absolute path, in quotes"),
    ("architectures[].below[].emulators", "a list of absolute paths"),
    ("architectures[].below[].emulators[]", "an absolute path, in quotes"),
    ("architectures[].below[].options", STRINGS),
    ("architectures[].below[].options[]", STRING),
    ("architectures[].below[].cpu", STRING),
    ("architectures[].probe", "an object with the keys code and flags"),
    ("architectures[].probe.code", "an even number of hexadecimal digits, in quotes"),
    ("architectures[].probe.flags", HEXADECIMAL),
    ("architectures[].notes", STRING),
];

/// The place in [`PLACES`] that matches `path`.
fn place(path: &Path) -> String {
    path.0.iter().fold(String::new(), |place, step| match step {
        Step::Element(_) => place + "[]",
        Step::Key(key) if place.is_empty() => key.clone(),
        Step::Key(_) if place.ends_with(".environment") => place + ".*",
        Step::Key(key) => format!("{place}.{key}"),
    })
}

/// The values allowed at `path`.
pub fn allowed(path: &Path) -> &'static str {
    let wanted = place(path);
    PLACES.iter().find(|(place, _)| *place == wanted).map_or("what docs/arch-table.md says", |(_, allowed)| allowed)
}

/// The keys that the object at `path` may have.
pub fn keys(path: &Path) -> Vec<&'static str> {
    let object = place(path);
    let key = |place: &'static str| {
        let key = place.strip_prefix(&object)?;
        let key = if object.is_empty() { key } else { key.strip_prefix('.')? };
        (!key.is_empty() && !key.contains(['.', '['])).then_some(key)
    };
    PLACES.iter().filter_map(|(place, _)| key(place)).collect()
}

/// The key in `keys` that was probably meant by `wrong`, if any.
pub fn nearest(wrong: &str, keys: &[&'static str]) -> Option<&'static str> {
    let distance = |key: &str| strsim::osa_distance(&wrong.to_lowercase(), key);
    let nearest = keys.iter().copied().min_by_key(|key| distance(key))?;
    (distance(nearest) <= 1 + nearest.len() / 4).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Architecture, Below, Flags, MachineNumber, Probe, Property, Tuning};
    use serde::de::DeserializeOwned;

    /// The keys that serde knows, from its message about an unknown key.
    fn known<T: DeserializeOwned + std::fmt::Debug>() -> Vec<String> {
        let message = serde_json::from_str::<T>(r#"{"?": 0}"#).unwrap_err().to_string();
        let expected = message.split_once(", expected ").expect("it lists them").1;
        expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn all_keys_are_listed() {
        let row = Path::row(0);
        assert_eq!(keys(&row), known::<Architecture>());
        assert_eq!(keys(&row.clone().key("machine").element(0)), known::<MachineNumber>());
        assert_eq!(keys(&row.clone().key("flags")), known::<Flags>());
        assert_eq!(keys(&row.clone().key("versions").element(0)), known::<Tuning>());
        assert_eq!(keys(&row.clone().key("below").element(0)), known::<Below>());
        assert_eq!(keys(&row.clone().key("property")), known::<Property>());
        assert_eq!(keys(&row.key("probe")), known::<Probe>());
        assert_eq!(keys(&Path::default()), ["version", "architectures"]);
    }

    #[test]
    fn slips_are_understood() {
        let keys = keys(&Path::row(0));
        for (wrong, meant) in [
            ("osabis", Some("osabi")),
            ("emulator", Some("emulators")),
            ("stratgy", Some("strategy")),
            ("Name", Some("name")),
            ("native-on", Some("native_on")),
            ("colour", None),
        ] {
            assert_eq!(nearest(wrong, &keys), meant, "{wrong}");
        }
    }
}
