//! Files that are not ELF programs, by their first bytes.

/// A kind of file.
pub(super) struct Kind {
    /// Its name, as a person would say it.
    pub name: &'static str,
    /// What to do with such a file.
    pub remedy: &'static str,
}

/// Offset, bytes there, name, remedy. The first match counts.
const KINDS: [(usize, &[u8], &str, &str); 39] = [
    (0, b"MZ", "a program for Windows, not for Linux", "get its Linux build, or use wine"),
    (0, b"\xcf\xfa\xed\xfe", "a program for macOS, not for Linux", "get its Linux build"),
    (0, b"\xce\xfa\xed\xfe", "a program for macOS, not for Linux", "get its Linux build"),
    (0, b"\xca\xfe\xba\xbe", "a program for macOS, or a Java class", "get its Linux build, or use java"),
    (0, b"\0asm", "a WebAssembly module", "use a WebAssembly runtime"),
    (0, b"BC\xc0\xde", "LLVM bitcode, not a program", "compile it with clang"),
    (0, b"!<arch>\ndebian-binary", "a Debian package, not a program", "install it with apt"),
    (0, b"!<arch>\n", "a static library, not a program", "link it"),
    (0, b"\xed\xab\xee\xdb", "an RPM package, not a program", "install it with dnf or rpm"),
    (
        0,
        b"PK\x03\x04",
        "a zip archive (or a jar, apk, or office document), not a program",
        "unpack it, or use java -jar",
    ),
    (0, b"PK\x05\x06", "an empty zip archive, not a program", "get it again"),
    (0, b"\x1f\x8b", "a file compressed with gzip, not a program", "unpack it with tar or gzip -d"),
    (0, b"\xfd7zXZ\0", "a file compressed with xz, not a program", "unpack it with tar or xz -d"),
    (0, b"\x28\xb5\x2f\xfd", "a file compressed with zstd, not a program", "unpack it with tar or zstd -d"),
    (0, b"BZh", "a file compressed with bzip2, not a program", "unpack it with tar or bzip2 -d"),
    (0, b"LZIP", "a file compressed with lzip, not a program", "unpack it with tar or lzip -d"),
    (0, b"\x04\x22\x4d\x18", "a file compressed with lz4, not a program", "unpack it with lz4 -d"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive, not a program", "unpack it with 7z x"),
    (0, b"Rar!\x1a\x07", "a rar archive, not a program", "unpack it with unrar"),
    (257, b"ustar", "a tar archive, not a program", "unpack it with tar"),
    (0, b"070701", "a cpio archive, not a program", "unpack it with cpio"),
    (0, b"070702", "a cpio archive, not a program", "unpack it with cpio"),
    (0, b"hsqs", "a squashfs image, not a program", "mount it"),
    (0, b"%PDF-", "a PDF document, not a program", "open it with a viewer"),
    (0, b"\x89PNG\r\n", "a PNG picture, not a program", "open it with a viewer"),
    (0, b"\xff\xd8\xff", "a JPEG picture, not a program", "open it with a viewer"),
    (0, b"GIF8", "a GIF picture, not a program", "open it with a viewer"),
    (0, b"SQLite format 3\0", "an SQLite database, not a program", "open it with sqlite3"),
    (0, b"\x27\x05\x19\x56", "a U-Boot image, not a program", "boot it"),
    (0, b"\xd0\x0d\xfe\xed", "a device tree, not a program", "use dtc"),
    (0, b"-----BEGIN ", "a key or certificate, not a program", "check that it is the right file"),
    (0, b"version https://git-lfs", "the place holder of a file in Git LFS", "get the file with git lfs pull"),
    (
        0,
        b"\xef\xbb\xbf#!",
        "a script that begins with a byte order mark, which hides its #!",
        "save it without the mark",
    ),
    (0, b"\xff\xfe#\0!\0", "a script in UTF-16, which hides its #!", "save it as UTF-8"),
    (0, b"<!doctype html", "a web page: the download failed", "get the file again"),
    (0, b"<html", "a web page: the download failed", "get the file again"),
    (0, b"<?xml", "an XML document, not a program", "check that it is the right file"),
    (0, b"\x1b[", "the recorded output of a terminal, not a program", "check that it is the right file"),
    (0, b"{\\rtf", "an RTF document, not a program", "open it with a word processor"),
];

/// The kind of the file that begins with `start`; `None` for ELF files, and for what is unknown.
pub(super) fn kind(start: &[u8]) -> Option<Kind> {
    if start.is_empty() {
        return Some(Kind { name: "the file is empty", remedy: "get it again" });
    }
    if start.starts_with(b"\x7f") {
        return None;
    }
    let has = |at: usize, magic: &[u8]| {
        start.get(at..at + magic.len()).is_some_and(|found| found.eq_ignore_ascii_case(magic))
    };
    // CPython's number is two bytes and CR LF.
    let python = start.len() > 16 && start[2..4] == *b"\r\n";
    if let Some((.., name, remedy)) = KINDS.iter().find(|(at, magic, ..)| has(*at, magic)) {
        return Some(Kind { name, remedy });
    }
    if python {
        return Some(Kind { name: "compiled Python code", remedy: "run it with the python3 that compiled it" });
    }
    if start.iter().all(|byte| *byte == 0) {
        return Some(Kind {
            name: "the file begins with zeros alone: it was not written completely",
            remedy: "get it again",
        });
    }
    // A character may be cut off at the end.
    let text = match std::str::from_utf8(start) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    (text && !start.contains(&0)).then_some(Kind {
        name: "a text without #! in its first line",
        remedy: "begin it with #! and the interpreter's path",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_kind_hides_another() {
        for (index, (at, magic, name, _)) in KINDS.iter().enumerate() {
            let file = [&vec![b'\x01'; *at][..], magic, &[1; 16]].concat();
            assert_eq!(kind(&file).map(|kind| kind.name), Some(*name), "{index}");
        }
    }

    #[test]
    fn what_has_no_magic_is_a_text_or_unknown() {
        let name = |start: &[u8]| kind(start).map(|kind| kind.name);
        assert_eq!(name(b""), Some("the file is empty"));
        assert_eq!(name(b"caf\xc3"), Some("a text without #! in its first line"));
        assert_eq!(name(b"\xff\xfe\x01"), None);
        assert_eq!(name(b"\x7fELF"), None);
        assert_eq!(name(b"\x7fEL"), None);
        assert_eq!(name(&[&b"\xcb\x0d\r\n"[..], &[0; 16]].concat()), Some("compiled Python code"));
        assert_eq!(name(&[0; 64]), Some("the file begins with zeros alone: it was not written completely"));
    }
}
