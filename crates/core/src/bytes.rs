//! Range-checked reading of untrusted bytes, for every stage. A read past the end returns `None`
//! and never panics.

use core::ffi::CStr;

/// The `N` bytes at `offset`, or `None` if the input is too short.
pub fn array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk::<N>().copied()
}

/// The `len` bytes at `offset`. Both numbers come from an untrusted field.
pub fn slice(bytes: &[u8], offset: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::try_from(len).ok()?)?;
    bytes.get(start..end)
}

/// A list of strings as the compiled table stores them: each ends with a NUL byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strings<'a>(&'a [u8]);

impl<'a> Strings<'a> {
    /// The empty list.
    pub const EMPTY: Self = Strings(&[]);

    /// Reads `bytes` as a list of strings. `None` if the last one lacks its NUL.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        matches!(bytes.last(), None | Some(0)).then_some(Strings(bytes))
    }

    /// The strings, in order.
    pub fn iter(self) -> impl Iterator<Item = &'a CStr> + Clone {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let string = CStr::from_bytes_until_nul(rest).ok()?;
            rest = rest.get(string.to_bytes_with_nul().len()..)?;
            Some(string)
        })
    }

    /// Whether the list is empty.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn strings_are_split_at_their_nul() {
        let list = |bytes| -> Vec<&CStr> { Strings::new(bytes).unwrap().iter().collect() };
        assert!(list(b"").is_empty());
        assert_eq!(list(b"a\0\0bc\0"), [c"a", c"", c"bc"]);
        assert_eq!(Strings::new(b"a\0b"), None);
    }

    #[test]
    fn reads_past_the_end_are_none() {
        assert_eq!(array::<4>(b"abcd", 0), Some(*b"abcd"));
        assert_eq!(array::<4>(b"abcd", 1), None);
        assert_eq!(array::<1>(b"", usize::MAX), None);
        assert_eq!(slice(b"abcd", 2, 2), Some(&b"cd"[..]));
        assert_eq!(slice(b"abcd", u64::MAX, u64::MAX), None);
    }
}
