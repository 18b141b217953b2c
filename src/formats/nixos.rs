//! A module for NixOS: an attribute set `boot.binfmt.registrations`
//! (nixos/modules/system/boot/binfmt.nix). NixOS makes a line for systemd-binfmt of each, with a
//! link in /run/binfmt as its interpreter.

use super::{Entries, flags_before_t, not_in_format, parts};
use crate::failure::Failure;
use crate::formats::binfmt_d::{MARK, description};
use crate::registry::RegisterLine;

/// The module.
///
/// # Errors
/// [`Failure::NotInFormat`]: Nix has no strings that are not UTF-8.
pub fn module(host: &str, entries: &[Entries<'_>]) -> Result<Vec<u8>, Failure> {
    let mut text = format!(
        "# Programs of other architectures on {host} hosts, for NixOS: import this file from configuration.nix.\n\
         {MARK}\n{{\n  boot.binfmt.registrations = {{\n"
    );
    for (row, lines) in entries {
        text += &format!("    # {}\n", description(row));
        for line in lines {
            text += &attributes(line)?;
        }
    }
    text += "  };\n}\n";
    Ok(text.into_bytes())
}

/// One entry. The kernel opens the interpreter itself, so there is no shell around it.
fn attributes(line: &RegisterLine) -> Result<String, Failure> {
    let known = line.interpreter().to_str().zip(line.name().to_str());
    let (path, name) = known.ok_or_else(|| not_in_format(line, "NixOS takes paths in UTF-8 only"))?;
    let [offset, magic, mask] = parts(line);
    let flags = flags_before_t(line)?;
    let mut text = format!("    {} = {{\n      recognitionType = \"magic\";\n", string(name));
    if !offset.is_empty() {
        text += &format!("      offset = {offset};\n");
    }
    for (attribute, value) in [("magicOrExtension", magic.as_str()), ("mask", &mask), ("interpreter", path)] {
        text += &format!("      {attribute} = {};\n", string(value));
    }
    for (attribute, value) in [
        ("preserveArgvZero", flags.preserve_argv0),
        ("openBinary", flags.open_binary),
        ("matchCredentials", flags.credentials),
        ("fixBinary", flags.fix_binary),
        ("wrapInterpreterInShell", false),
    ] {
        text += &format!("      {attribute} = {value};\n");
    }
    Ok(text + "    };\n")
}

/// A string of Nix, in which a backslash, a quotation mark and `${` have a meaning.
fn string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_mean_what_they_say() {
        assert_eq!(string(r"\x7f"), r#""\\x7f""#);
        assert_eq!(string(r#"/a "${b}"$"#), r#""/a \"\${b}\"\$""#);
    }
}
