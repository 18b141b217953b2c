//! The formats of `generate`: other software registers the same entries from them as the kernel
//! does from the lines for `register`.

use std::collections::BTreeMap;

use rnix::ast::{Attr, AttrSet, Expr, HasEntry, InterpolPart};
use serde_json::json;

use crate::support::{Namespace, Observation, Scratch, need};
use crate::table::aarch64;

/// What is registered; nothing is started for it.
const SHOW: &str = r#"
    cd $REGISTRY
    for entry in *; do
        case $entry in register|status) continue ;; esac
        echo "$entry:"; while IFS= read -r line; do echo "$line"; done <"$entry"
    done
"#;

/// Entries with all that they can have: for every foreign architecture, with all flags.
const ALL: [&str; 5] = ["generate", "--credentials", "--interpreter", "/bin/true", "--format"];

/// What a script registers, and what it prints before.
#[track_caller]
fn registered(scratch: &Scratch, script: &str) -> Observation {
    Namespace::empty().run(scratch, &format!("{script}\n{SHOW}"))
}

/// What the lines for the kernel register, for these arguments.
#[track_caller]
fn expected(scratch: &Scratch, arguments: &[&str]) -> String {
    let run = scratch.tool([arguments, &["register"]].concat());
    scratch.write("register", run.succeeded().out());
    let script = r#"while IFS= read -r line; do printf '%s\n' "$line" >$REGISTRY/register || exit 1; done <register"#;
    let seen = registered(scratch, script);
    let out = seen.succeeded().out().to_owned();
    assert!(out.contains("\nqemu-aarch64:\nenabled\n") || out.starts_with("qemu-aarch64:\nenabled\n"), "{seen}");
    out
}

#[test]
fn systemd_binfmt() {
    need!(Namespace, Systemd);
    let scratch = Scratch::new();
    let expected = expected(&scratch, &ALL);
    std::fs::create_dir(scratch.path().join("d")).unwrap();
    let run = scratch.tool([&ALL[..], &["binfmt-d", "--output", "d"]].concat());
    let written: Vec<&str> = run.succeeded().out().lines().collect();
    assert!(written.len() > 25 && written.contains(&"d/zz-binfmt-dispatch-aarch64.conf"), "{run}");
    scratch.write("one", scratch.tool([&ALL[..], &["binfmt-d"]].concat()).succeeded().out());
    for files in ["$PWD/one", "$PWD/d/*"] {
        registered(&scratch, &format!("/usr/lib/systemd/systemd-binfmt {files}")).printed(&expected);
    }
}

#[test]
fn openrc() {
    need!(Namespace, Consumers);
    let scratch = Scratch::new();
    let expected = expected(&scratch, &ALL);
    std::fs::create_dir(scratch.path().join("d")).unwrap();
    scratch.tool([&ALL[..], &["openrc", "--output", "d"]].concat()).succeeded();
    let one = scratch.tool([&ALL[..], &["openrc"]].concat());
    assert!(!one.succeeded().out().contains("\n\n"), "{one}");
    scratch.write("one", one.out());
    for files in ["one", "d/*"] {
        registered(&scratch, &format!("sh $CONSUMERS/lib/rc/sh/binfmt.sh {files}")).printed(&expected);
    }
    for path in ["/a:b", r"/a\b"] {
        let run = scratch.tool(["generate", "arm64", "--format", "openrc", "--interpreter", path]);
        run.refused(1, "qemu-aarch64: OpenRC cannot register an interpreter whose path has a colon or a backslash");
    }
}

#[test]
fn binfmt_support() {
    need!(Namespace, Consumers);
    let scratch = Scratch::new();
    let import = r"
        export LD_LIBRARY_PATH=$(echo $CONSUMERS/usr/lib/*-linux-gnu)
        mkdir admin; $CONSUMERS/usr/sbin/update-binfmts --admindir admin --importdir $PWD/d --import || exit 1
        rm -rf admin
    ";
    // An interpreter that binfmt-support also has to take apart.
    scratch.write("with blank", std::fs::read("/bin/true").unwrap());
    let blank = scratch.at("with blank");
    for interpreter in ["/bin/true", &blank] {
        let all = ["generate", "--credentials", "--interpreter", interpreter, "--format"];
        let expected = expected(&scratch, &all);
        std::fs::create_dir(scratch.path().join("d")).unwrap();
        let run = scratch.tool([&all[..], &["binfmt-support", "--output", "d"]].concat());
        assert!(run.succeeded().out().contains("d/qemu-arm-osabi97\n"), "{run}");
        registered(&scratch, import).printed(&expected);
        std::fs::remove_dir_all(scratch.path().join("d")).unwrap();
    }
}

#[test]
fn what_binfmt_support_cannot_register() {
    let scratch = Scratch::new();
    let generate = ["generate", "--format", "binfmt-support"];
    scratch.tool([&generate[..], &["arm64"]].concat()).refused(
        1,
        "qemu-aarch64: binfmt-support cannot register flag O without C: use --credentials, with which the privileges of \
         set-user-ID programs take effect, or another format",
    );
    let run = scratch.tool([&generate[..], &["arm", "--credentials"]].concat());
    run.refused(2, "3 entries are as many files for binfmt-support: add --output DIR");
    for path in ["/a:b", "/a ", "/a\t"] {
        let run = scratch.tool([&generate[..], &["arm64", "--credentials", "--interpreter", path]].concat());
        run.refused(
            1,
            "qemu-aarch64: binfmt-support cannot register an interpreter whose path has a colon, or a blank at its end",
        );
    }
    scratch.tool([&generate[..], &["arm64", "--credentials", "--interpreter", "/i"]].concat()).printed(
        r"package binfmt-dispatch
interpreter /i
magic \x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00
mask \xff\xff\xff\xff\xff\xff\xff\xfc\x00\x00\x00\x00\x00\x00\x00\x00\xfe\xff\xff\xff
credentials yes
preserve yes
fix_binary yes
",
    );
}

/// The value of a literal of Nix, as text.
fn value(expression: &Expr) -> String {
    let Expr::Str(string) = expression else { return expression.to_string() };
    let part = |part| match part {
        InterpolPart::Literal(text) => text,
        InterpolPart::Interpolation(code) => panic!("code in a string: {code}"),
    };
    string.normalized_parts().into_iter().map(part).collect()
}

/// The attributes of a set, by name; names are joined with dots.
fn attributes(set: &AttrSet) -> BTreeMap<String, Expr> {
    let name = |attribute: Attr| match attribute {
        Attr::Ident(name) => name.to_string(),
        Attr::Str(name) => value(&Expr::Str(name)),
        Attr::Dynamic(code) => panic!("code in a name: {code}"),
    };
    let named = set.attrpath_values().map(|attribute| {
        let path: Vec<String> = attribute.attrpath().unwrap().attrs().map(name).collect();
        (path.join("."), attribute.value().unwrap())
    });
    named.collect()
}

fn set(expression: &Expr) -> BTreeMap<String, Expr> {
    let Expr::AttrSet(set) = expression else { panic!("no attribute set: {expression}") };
    attributes(set)
}

/// The lines that NixOS makes of a module (nixos/modules/system/boot/binfmt.nix,
/// `makeBinfmtLine`), and the interpreters.
fn lines_of_nixos(module: &str) -> BTreeMap<String, (String, String)> {
    let parsed = rnix::Root::parse(module);
    assert!(parsed.errors().is_empty(), "{:?}\n{module}", parsed.errors());
    let module = set(&parsed.tree().expr().unwrap());
    assert_eq!(module.keys().collect::<Vec<_>>(), ["boot.binfmt.registrations"]);
    let registrations = set(&module["boot.binfmt.registrations"]);
    let line = |(name, registration): (String, Expr)| {
        let given: BTreeMap<String, String> =
            set(&registration).into_iter().map(|(name, expression)| (name, value(&expression))).collect();
        let yes = |attribute: &str| given[attribute].parse::<bool>().unwrap();
        // NixOS refuses F with a shell around the interpreter, and C without O.
        assert!(given["recognitionType"] == "magic" && !yes("wrapInterpreterInShell"));
        assert!(yes("openBinary"), "{given:?}");
        let credentials = yes("matchCredentials");
        let flags =
            [("preserveArgvZero", "P"), ("fixBinary", "F")].map(|(name, flag)| if yes(name) { flag } else { "" });
        let [p, f] = flags;
        let c = if credentials { "C" } else { "O" };
        let (offset, mask) = (given.get("offset").cloned().unwrap_or_default(), &given["mask"]);
        let magic = &given["magicOrExtension"];
        let line = format!(":{name}:M:{offset}:{magic}:{mask}:/run/binfmt/{name}:{p}{c}{f}");
        (name, (line, given["interpreter"].clone()))
    };
    registrations.into_iter().map(line).collect()
}

#[test]
fn nixos() {
    let scratch = Scratch::new();
    let interpreter = r#"/nix/store/a "b" ${c} \d ''e$"#;
    for (option, flags) in [(&[][..], "POF"), (&["--credentials"], "PCF")] {
        let generate = [&["generate", "--interpreter", interpreter, "--format"], option].concat();
        let format = |format| {
            let arguments = [&["generate", "--interpreter", interpreter, "--format", format], option].concat();
            scratch.tool(arguments).succeeded().out().to_owned()
        };
        let found = lines_of_nixos(&format("nixos"));
        // The same as for the kernel, except for the interpreter, and the delimiter that its path
        // needs.
        let mut count = 0;
        for line in format("register").lines() {
            let delimiter = line.chars().next().unwrap();
            let fields: Vec<&str> = line.split(delimiter).collect();
            let (name, path) = (fields[1], fields[6]);
            let [magic, mask] = [fields[4], fields[5]];
            let expected = format!(":{name}:M:{}:{magic}:{mask}:/run/binfmt/{name}:{flags}", fields[3]);
            assert_eq!(found[name], (expected, path.to_owned()), "{generate:?}");
            assert_eq!(path, interpreter);
            count += 1;
        }
        assert!(count > 30 && found.len() == count);
    }
    std::fs::create_dir(scratch.path().join("d")).unwrap();
    scratch
        .tool(["generate", "arm64", "s390x", "--format", "nixos", "-o", "d"])
        .printed("d/zz-binfmt-dispatch-aarch64.nix\nd/zz-binfmt-dispatch-s390x.nix\n");
    let one = std::fs::read_to_string(scratch.at("d/zz-binfmt-dispatch-aarch64.nix")).unwrap();
    assert_eq!(lines_of_nixos(&one).into_keys().collect::<Vec<_>>(), ["qemu-aarch64"]);
}

#[test]
fn paths_that_are_not_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let scratch = Scratch::new();
    let generate = |format: &str| {
        let path = OsStr::from_bytes(b"/a\xffb");
        let before = ["generate", "arm64", "--format", format, "--interpreter"].map(OsStr::new);
        scratch.tool([&before[..], &[path]].concat())
    };
    for format in ["register", "binfmt-d", "openrc"] {
        let run = generate(format);
        let holds = run.stdout.windows(7).any(|window| window == b":/a\xffb:P");
        assert!(holds && run.code() == 0 && run.stderr.is_empty(), "{run}");
    }
    generate("nixos").refused(1, "qemu-aarch64: NixOS takes paths in UTF-8 only");
}

#[test]
fn direct_lists_what_is_installed() {
    let scratch = Scratch::new();
    let rows = |emulator: &str| {
        let row = |row: &dispatch_table::Architecture| {
            let emulator = if row.name == "aarch64" { emulator } else { "/no/such" };
            json!({"name": row.name, "emulators": [emulator]})
        };
        let rows: Vec<_> = dispatch_table::ArchTable::builtin().architectures().iter().map(row).collect();
        scratch.write("rows", json!({"version": 1, "architectures": rows}).to_string());
    };
    let direct = ["--table", "rows", "generate", "--format", "register", "--direct"];
    rows("/bin/cat");
    let run = scratch.tool(direct);
    assert!(run.succeeded().out().lines().count() == 1 && run.out().ends_with(":/bin/cat:POF\n"), "{run}");
    let run = scratch.tool([&direct[..], &["--all"]].concat());
    assert!(run.succeeded().out().lines().filter(|line| line.ends_with(":/no/such:POF")).count() > 30, "{run}");
    let named = scratch.tool([&direct[..], &["s390x"]].concat());
    named.refused(127, "s390x: no emulator: install the package qemu-user-static, or one of /no/such");
    scratch.tool([&direct[..], &["s390x", "--all"]].concat()).succeeded();
    rows("/no/such");
    let none = "no emulator is installed: install the package qemu-user-static, or list all with --all";
    scratch.tool(direct).refused(127, none);
    scratch.tool(["generate", "--all"]).exited(2);
}

#[test]
fn files_that_cannot_be_written() {
    let scratch = Scratch::new();
    let [option, table] = aarch64(&scratch, "/bin/cat", json!({}));
    let generate = |directory: &str| scratch.tool([&*option, &*table, "generate", "arm64", "--output", directory]);
    let file = "zz-binfmt-dispatch-aarch64.conf";
    let line = format!("none/{file}: cannot write: create the directory first: no such file or directory");
    generate("none").refused(1, &line);
    std::fs::create_dir_all(scratch.path().join("d").join(file)).unwrap();
    generate("d").refused(1, &format!("d/{file}: cannot write: name a file: is a directory"));
}
