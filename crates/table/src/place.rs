//! The place of a value in a table: by keys, and by line and column.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_path_to_error::Segment;

/// One step into a JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// To the value of a key.
    Key(String),
    /// To an element, counted from 0.
    Element(usize),
}

/// The steps from a whole table to one of its values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(pub Vec<Step>);

impl Path {
    /// The row `index`.
    pub fn row(index: usize) -> Self {
        Path(vec![Step::Key("architectures".to_owned()), Step::Element(index)])
    }

    /// Adds a step to the value of `key`.
    pub fn key(mut self, key: &str) -> Self {
        self.0.push(Step::Key(key.to_owned()));
        self
    }

    /// Adds a step to the element `index`.
    pub fn element(mut self, index: usize) -> Self {
        self.0.push(Step::Element(index));
        self
    }

    /// Adds the steps to the place of an error.
    pub fn join(mut self, found: &serde_path_to_error::Path) -> Self {
        self.0.extend(found.iter().filter_map(|segment| match segment {
            Segment::Seq { index } => Some(Step::Element(*index)),
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Enum { .. } | Segment::Unknown => None,
        }));
        self
    }
}

impl fmt::Display for Path {
    /// `architectures[3].osabi`; keys with odd characters are quoted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            let plain =
                |key: &str| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            match step {
                Step::Element(element) => write!(f, "[{element}]")?,
                Step::Key(key) => {
                    f.write_str(if index == 0 { "" } else { "." })?;
                    if plain(key) { f.write_str(key)? } else { write!(f, "{key:?}")? }
                }
            }
        }
        Ok(())
    }
}

/// Line and column, from 1, of the value at `path` in `json`, which is valid JSON. If the value
/// does not exist, the place of the innermost value around it. For a `key`, the place of the key
/// itself.
pub fn find(json: &str, path: &Path, key: bool) -> (usize, usize) {
    let mut part: &RawValue = match serde_json::from_str(json) {
        Ok(part) => part,
        Err(error) => return (error.line().max(1), error.column().max(1)),
    };
    let mut complete = true;
    for step in &path.0 {
        let next = match step {
            Step::Key(key) => entries(part).into_iter().rfind(|(found, _)| found == key).map(|(_, part)| part),
            Step::Element(index) => elements(part).get(*index).copied(),
        };
        complete = next.is_some();
        let Some(next) = next else { break };
        part = next;
    }
    let mut offset = part.get().as_ptr().addr().saturating_sub(json.as_ptr().addr());
    if let (true, true, Some(Step::Key(name))) = (key, complete, path.0.last()) {
        let before = json[..offset].trim_end().trim_end_matches(':').trim_end();
        let quoted = serde_json::to_string(name).unwrap_or_default();
        offset = before.strip_suffix(&quoted).map_or(offset, str::len);
    }
    let before = &json[..offset];
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The first duplicate key in an object of `json`. For a map, `serde_json` would silently take the
/// last one.
pub fn repeated(json: &str) -> Option<Path> {
    let mut path = Path::default();
    let whole: &RawValue = serde_json::from_str(json).ok()?;
    is_repeated(whole, &mut path).then_some(path)
}

/// Whether `part` has a duplicate key; then `path` leads to it.
fn is_repeated(part: &RawValue, path: &mut Path) -> bool {
    let mut known = BTreeMap::new();
    let mut inside = |step: Step, part: &RawValue, again: bool| {
        path.0.push(step);
        let found = again || is_repeated(part, path);
        if !found {
            path.0.pop();
        }
        found
    };
    entries(part).into_iter().any(|(key, part)| inside(Step::Key(key.clone()), part, known.insert(key, ()).is_some()))
        || elements(part).into_iter().enumerate().any(|(index, part)| inside(Step::Element(index), part, false))
}

/// The elements of an array; none for other values.
fn elements(part: &RawValue) -> Vec<&RawValue> {
    // Checked first, because an error message for each of the many other values would take time.
    if !part.get().starts_with('[') {
        return Vec::new();
    }
    serde_json::from_str(part.get()).unwrap_or_default()
}

/// The keys and values of an object; none for other values.
fn entries(part: &RawValue) -> Vec<(String, &RawValue)> {
    if !part.get().starts_with('{') {
        return Vec::new();
    }
    pairs(&mut serde_json::Deserializer::from_str(part.get())).unwrap_or_default()
}

/// All keys and values of an object, in its order.
pub fn pairs<'de, V: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, V)>, D::Error> {
    struct Pairs<V>(PhantomData<V>);

    impl<'de, V: Deserialize<'de>> Visitor<'de> for Pairs<V> {
        type Value = Vec<(String, V)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = map.next_entry()? {
                pairs.push(pair);
            }
            Ok(pairs)
        }
    }

    deserializer.deserialize_map(Pairs(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = "{\n \"a\": [1, {\"\u{e4}\" : 2, \"b c\": [\n3]}]}\n";

    fn path(steps: &[Step]) -> Path {
        Path(steps.to_vec())
    }

    #[test]
    fn values_and_keys_have_places() {
        let (a, b) = (Step::Key("a".into()), Step::Key("b c".into()));
        let inner = path(&[a.clone(), Step::Element(1), b.clone()]);
        assert_eq!(inner.to_string(), "a[1].\"b c\"");
        assert_eq!(find(JSON, &Path::default(), false), (1, 1));
        assert_eq!(find(JSON, &path(std::slice::from_ref(&a)), false), (2, 7));
        assert_eq!(find(JSON, &path(&[a.clone(), Step::Element(1)]), false), (2, 11));
        assert_eq!((find(JSON, &inner, false), find(JSON, &inner, true)), ((2, 28), (2, 21)));
        assert_eq!(find(JSON, &inner.clone().element(0), false), (3, 1));
        // A missing value has the place where it would be.
        assert_eq!(find(JSON, &inner.element(7), true), (2, 28));
    }

    #[test]
    fn keys_that_are_there_twice_are_found() {
        assert_eq!(repeated(JSON), None);
        let found = repeated(r#"{"a": [{"x": 1}, {"x": 1, "y": 2, "x": 3}]}"#);
        assert_eq!(found.map(|path| path.to_string()).as_deref(), Some("a[1].x"));
    }
}
