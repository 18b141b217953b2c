//! Starts by entries with flag T, which Linux knows since 7.3. The first tests make the kernel's
//! initial stack themselves, so that they run on every kernel.

use std::path::PathBuf;

use serde_json::json;

use crate::support::{FOREIGN, Kind, Namespace, Observation, Report, Row, Scratch, compiled, need, page, reporting};

/// `AT_FLAGS` (uapi/linux/auxvec.h).
const FLAGS: &str = "aux.8";
const EXECFD: &str = "aux.2";

/// The program that starts an interpreter as the kernel does.
#[track_caller]
pub fn starter() -> PathBuf {
    compiled("start", "tests/hosts/start.c", &["-static"])
}

/// The program that executes a descriptor.
#[track_caller]
pub fn executer() -> PathBuf {
    compiled("host", "tests/compliance/host.c", &["-static"])
}

/// A start as the kernel makes it.
#[derive(Clone, Copy)]
struct Start<'s> {
    /// What is executed: the guest, or a script whose interpreter it is.
    path: &'s str,
    secure: bool,
    argv: &'s [&'s str],
}

impl Start<'_> {
    /// Starts the interpreter of `image` for `./guest`.
    #[track_caller]
    fn run(self, scratch: &Scratch) -> Observation {
        Observation::of(scratch.command("env").args(self.command_line()))
    }

    /// The command that does that.
    #[track_caller]
    fn command_line(self) -> Vec<String> {
        let (starter, page) = (starter(), page().to_string());
        let secure = if self.secure { "1" } else { "0" };
        let fixed = [starter.to_str().unwrap(), "T", secure, &page, self.path, "image", "./guest"];
        fixed.iter().chain(self.argv).map(|word| (*word).to_owned()).collect()
    }
}

/// Writes an image with `row` alone, which opens its emulator by path.
fn write(scratch: &Scratch, row: &Row) {
    scratch.write("table.json", row.table());
    scratch.tool(["image", "--table", "table.json", "--no-emulators", "-o", "image"]).succeeded();
}

#[test]
fn argv_is_made_of_the_executed_path_and_the_guests_own() {
    need!(Compiler);
    let (scratch, row) = reporting(Kind::Pie);
    let emulator = scratch.at("emulator");
    let row = row.with("options", json!(["-B", "0"]));
    let start = Start { path: "./guest", secure: false, argv: &["zero", "-one", "two words", ""] };
    for (convention, expected, flags) in [
        ("dash-zero", &["-B", "0", "-0", "zero", "--", "./guest", "-one", "two words", ""][..], "0"),
        ("auxv", &["-B", "0", "--", "./guest", "zero", "-one", "two words", ""], "1"),
        ("none", &["-B", "0", "--", "./guest", "-one", "two words", ""], "0"),
    ] {
        write(&scratch, &row.clone().with("argv0", json!(convention)));
        let report = Report::of(&start.run(&scratch));
        // The emulator does not learn that the kernel was told of flag T: its argv is not the
        // guest's.
        report.argv(&[&[&emulator[..]], expected].concat()).is(FLAGS, flags).is("execfn", "./guest");
        report.is("proc-cmdline", r"zero\x00-one\x00two words\x00\x00");
        report.is("execfd-start", r"\x7fELF").is("execfd-offset", "0");
        assert!(report.number::<u64>(EXECFD) >= 3);
    }
}

#[test]
fn an_empty_argv_gets_the_path_for_argv0() {
    need!(Compiler);
    let (scratch, row) = reporting(Kind::Pie);
    write(&scratch, &row);
    let report = Report::of(&Start { path: "./guest", secure: false, argv: &[""] }.run(&scratch));
    report.argv(&[&scratch.at("emulator"), "-0", "", "--", "./guest"]).is("proc-cmdline", r"\x00");
}

#[test]
fn the_interpreter_of_a_script_is_found_although_the_script_was_executed() {
    need!(Compiler);
    let (scratch, row) = reporting(Kind::Pie);
    write(&scratch, &row);
    scratch.write("script", "#!./guest\n");
    let guest = scratch.at("guest");
    let paths = |path: &str, argv: &[&str]| {
        let report = Report::of(&Start { path, secure: false, argv }.run(&scratch));
        let argv = report.all("argv").to_vec();
        let end = argv.iter().position(|word| word == "--").unwrap();
        (argv[end - 1].clone(), argv[end + 1].clone())
    };
    // As the kernel passes a script, without and with an option.
    assert_eq!(paths("./script", &[&guest, "./script", "x"]), (guest.clone(), guest.clone()));
    assert_eq!(paths("./script", &[&guest, "-x", "./script"]), (guest.clone(), guest.clone()));
    // As it passes one whose interpreter is a script too.
    assert_eq!(paths("./script", &[&guest, "-x", "./inner", "-y", "./script"]), (guest.clone(), guest.clone()));
    // The guest has its own path for an argument, and any argv[0].
    assert_eq!(paths("./guest", &["zero", "./guest"]), ("zero".to_owned(), "./guest".to_owned()));
    assert_eq!(paths("./guest", &["image", "-x", "./guest"]), ("image".to_owned(), "./guest".to_owned()));
    // Neither is a name of the guest.
    assert_eq!(paths("./script", &["zero", "x", "y", "./script"]), ("zero".to_owned(), "./script".to_owned()));
}

#[test]
fn a_privileged_guest_gets_the_path_that_the_kernel_knows() {
    need!(Compiler);
    let (scratch, row) = reporting(Kind::Pie);
    scratch.write("table.json", row.table());
    let from = format!("{FOREIGN}={}", scratch.at("emulator"));
    scratch.tool(["image", "--table", "table.json", "--from", &from, "-o", "image"]).succeeded();
    let guest = scratch.at("guest");
    let real = std::fs::canonicalize(&guest).unwrap().to_str().unwrap().to_owned();
    for (path, argv) in [("./elsewhere", &["zero", "x"][..]), ("./script", &[&guest, "./script"])] {
        let start = Start { path, secure: true, argv };
        let observation = Observation::of(scratch.command("env").args(["QEMU_A=1", "B=1"]).args(start.command_line()));
        let report = Report::of(&observation);
        let argv = report.all("argv");
        let end = argv.iter().position(|word| word == "--").unwrap();
        assert_eq!((&argv[end - 1], &argv[end + 1]), (&start.argv[0].to_owned(), &real), "{observation}");
        assert!(!report.all("env").iter().any(|variable| variable.starts_with("QEMU_")), "{observation}");
        assert!(report.all("env").contains(&"B=1".to_owned()), "{observation}");
    }
}

#[test]
fn what_is_refused_is_named_by_the_executed_path() {
    need!(Compiler);
    let (scratch, row) = reporting(Kind::Pie);
    write(&scratch, &row);
    scratch.write("guest", "no ELF file");
    let seen = Start { path: "./guest", secure: false, argv: &["zero", "./other"] }.run(&scratch);
    seen.exited(126);
    assert!(seen.err().starts_with("binfmt-dispatch: ./guest: not an ELF file"), "{seen}");
    // An emulator by its path is never opened for a privileged guest.
    scratch.probe("guest", FOREIGN);
    let seen = Start { path: "./guest", secure: true, argv: &["zero"] }.run(&scratch);
    seen.exited(126);
    assert!(seen.out().is_empty() && seen.err().lines().count() == 1, "{seen}");
}

#[test]
fn an_emulator_that_is_executed_gets_the_guests_path() {
    need!(Compiler);
    let (scratch, row) = reporting(Kind::Pie);
    write(&scratch, &row.with("strategy", json!("exec")));
    let report = Report::of(&Start { path: "./guest", secure: false, argv: &["zero", "one"] }.run(&scratch));
    report.argv(&[&scratch.at("emulator"), "-0", "zero", "--", "./guest", "one"]);
    let guest = scratch.at("guest");
    let start = Start { path: "./script", secure: false, argv: &[&guest, "./script"] };
    scratch.write("script", "#!./guest\n");
    Report::of(&start.run(&scratch)).argv(&[&scratch.at("emulator"), "-0", &guest, "--", &guest, "./script"]);
}

/// The entries of an image that opens the emulator of `row` by path, and of one that embeds it.
fn both_images(scratch: &Scratch, row: &Row) -> [Namespace; 2] {
    let embedded = Scratch::at(scratch, "embedded");
    let from = format!("{FOREIGN}={}", scratch.at("emulator"));
    scratch.tool(["image", "--seed", "0", "--from", &from, "-o", &embedded]).succeeded();
    [Namespace::with_table(scratch, &row.table()), Namespace::of_image(&embedded)]
}

#[test]
fn the_process_is_the_guest_for_everyone() {
    need!(Namespace, Compiler, Transparent);
    let (scratch, row) = reporting(Kind::Pie);
    for namespace in both_images(&scratch, &row) {
        let report = Report::of(&namespace.run(&scratch, "$CALL ./guest zero -one 'two words' ''"));
        let argv = report.all("argv");
        assert_eq!(argv[1..], ["-0", "zero", "--", "./guest", "-one", "two words", ""], "{argv:?}");
        report.is("proc-exe", &scratch.at("guest")).is("proc-comm", r"guest\x0a").is("execfn", "./guest");
        report.is("proc-cmdline", r"zero\x00-one\x00two words\x00\x00").is(FLAGS, "0");
        for fact in ["own-phdr", "own-phnum", "own-entry", "vdso", "random"] {
            report.is(fact, "1");
        }
        report.is("aux.7", "0").is("execfd-offset", "0").is("execfd-start", r"\x7fELF");
        // Registered with flag P, the process is the image's.
        let report = Report::of(&namespace.preserving_argv0().run(&scratch, "$CALL ./guest zero"));
        let exe = report.get("proc-exe");
        assert!(exe.ends_with("/image") || exe.ends_with("/embedded"), "{exe}");
    }
}

#[test]
fn others_find_the_process_by_its_program() {
    need!(Namespace, Guests, Qemu, Transparent);
    let scratch = Scratch::new();
    // As pidof, killall and needrestart look for it: the link names the file, and is the file.
    let script = r#"
        cp "$GUESTS/$FOREIGN/bin/busybox" sleeper
        ./sleeper sleep 60 & pid=$!
        until [ "$(readlink /proc/$pid/exe)" = "$PWD/sleeper" ]; do sleep 0.05; done
        cat /proc/$pid/comm
        tr '\0' ' ' </proc/$pid/cmdline; echo
        [ /proc/$pid/exe -ef sleeper ] && echo same
        found=; for link in /proc/[0-9]*/exe; do [ "$link" -ef sleeper ] && found="$found ${link%/exe}"; done
        [ "$found" = " /proc/$pid" ] && echo found
        # The kernel keeps its file from being written to, as that of a native program.
        { : >>sleeper; } 2>&1 | sed 's/.*: //'
        kill $pid; wait $pid; echo $?
    "#;
    let seen = Namespace::full().run(&scratch, script);
    seen.printed("sleeper\n./sleeper sleep 60 \nsame\nfound\nText file busy\n143\n");
}

#[test]
fn programs_that_have_no_readable_path_start() {
    need!(Namespace, Guests, Qemu, Compiler, Root, Transparent);
    let scratch = Scratch::new();
    let script = r#"
        cp "$GUESTS/$FOREIGN/bin/busybox" busybox; chmod 111 busybox
        printf '#!%s/busybox sh\necho script "$@"; [ /proc/$$/exe -ef %s/busybox ] && echo same\n' "$PWD" "$PWD" >script
        chmod 755 script
        setpriv --reuid 4242 --clear-groups ./busybox echo unreadable
        setpriv --reuid 4242 --clear-groups ./script a 'b c'
        ./script d
        exec 5<busybox; rm busybox
        (exec -a busybox /proc/self/fd/5 echo deleted)
        (exec -a busybox /dev/fd/5 sh -c 'busybox=gone; echo $busybox')
    "#;
    let seen = Namespace::full().mapped().run(&scratch, script);
    seen.printed("unreadable\nscript a b c\nsame\nscript d\nsame\ndeleted\ngone\n");
}

#[test]
fn a_descriptor_that_is_closed_on_exec_is_enough() {
    need!(Namespace, Compiler, Transparent);
    let (scratch, row) = reporting(Kind::Pie);
    let script = format!("{} close-on-exec ./guest zero one", executer().display());
    for namespace in both_images(&scratch, &row) {
        let report = Report::of(&namespace.run(&scratch, &script));
        let argv = report.all("argv");
        assert_eq!((&argv[1..4], &argv[5..]), (&["-0", "zero", "--"].map(str::to_owned)[..], &["one".to_owned()][..]));
        assert!(argv[4].starts_with("/dev/fd/"), "{argv:?}");
        report.is("proc-exe", &scratch.at("guest")).is("execfd-start", r"\x7fELF");
        // An entry with flag P has nothing to pass to the interpreter.
        let seen = namespace.preserving_argv0().run(&scratch, &script);
        assert_eq!((seen.code(), seen.err()), (1, "close-on-exec: ENOENT\n"), "{seen}");
    }
}

/// Rule and mask of the programs of [`FOREIGN`].
const RULE: &str = if cfg!(target_arch = "aarch64") { r"18:\xf3\x00:\xff\xff" } else { r"18:\xb7\x00:\xff\xff" };
/// The dynamic linker of this machine's programs.
const LINKER: &str = if cfg!(target_arch = "aarch64") {
    "/lib/ld-linux-aarch64.so.1"
} else if cfg!(target_arch = "riscv64") {
    "/lib/ld-linux-riscv64-lp64d.so.1"
} else {
    "/lib64/ld-linux-x86-64.so.2"
};

#[test]
fn entries_of_others_are_named_for_what_they_are() {
    need!(Namespace, Compiler, Transparent);
    let (scratch, _) = reporting(Kind::Pie);
    let script = format!(
        r#"
        add() {{ printf '%s' "$1" >$REGISTRY/register || exit; }}
        explain() {{ $TOOL explain "$1" | sed -n 's#^[./a-z]*: ##p; s#^  \(why\|fix\|kernel\) *##p'; }}
        add ":off:M:{RULE}:/bin/true:TFD"
        echo "=== off"; explain ./guest
        echo 1 >$REGISTRY/off
        echo "=== on"; explain ./guest; ./guest; echo $?
        add ":lo:M:{RULE}:{LINKER}:LF"
        echo "=== loader"; explain ./guest; ./guest 2>/dev/null; echo $?
        cp /bin/true program.lo
        add ":ext:E::lo::{LINKER}:L"
        echo "=== native"; explain ./program.lo; ./program.lo; echo $?
        $TOOL status | sed -n 's/  */ /gp' | grep -E '^(off|lo|ext) '
        for entry in off lo ext; do echo -1 >$REGISTRY/$entry; done
        "#
    );
    let seen = Namespace::empty().run(&scratch, &script);
    let out = seen.succeeded().out();
    let part = |title: &str| out.split("=== ").find(|part| part.starts_with(title)).unwrap_or_default().to_owned();
    assert!(part("off\n").contains("entry off is turned off, and the kernel says `Exec format error`"), "{seen}");
    assert!(part("off\n").contains("entry off would take it, and is turned off, with /bin/true (flags OFT)"), "{seen}");
    let on = part("on\n");
    assert!(
        on.contains("by entry off, with /bin/true, which is not binfmt-dispatch\n") && on.ends_with("\n0\n"),
        "{seen}"
    );
    let loader = part("loader\n");
    let reason =
        "entry lo gets it, with flag L, which is for programs of this machine: the kernel says `Exec format error`";
    assert!(loader.contains(reason) && loader.contains("remove the entry: as root, run `echo -1 > "), "{seen}");
    assert!(loader.ends_with("\n126\n"), "{seen}");
    let native = part("native\n");
    let reason = format!("and entry ext replaces the dynamic linker by {LINKER}, if it has one");
    assert!(native.contains(&reason) && native.contains("\n0\n"), "{seen}");
    for line in [
        "off enabled other OFT - /bin/true".to_owned(),
        format!("lo enabled other FL - a dynamic linker for native programs (flag L): {LINKER}"),
        format!("ext enabled other L - a dynamic linker for native programs (flag L): {LINKER}"),
    ] {
        assert!(native.contains(&line), "{line}\n{seen}");
    }
}

#[test]
fn the_limit_on_interpreters_is_told_and_nothing_is_changed() {
    need!(Namespace, Qemu, Transparent);
    let script = r#"
        limit=/proc/sys/user/max_binfmt_misc_interpreters
        before=$(cat $limit); trap 'echo $before >$limit' EXIT
        $TOOL image --seed 0 -o image $FOREIGN s390x && echo 1 >$limit || exit 90
        ./image register --image "$PWD/image" $FOREIGN s390x 2>&1; echo $?; ls $REGISTRY
    "#;
    Namespace::empty().run(&Scratch::new(), script).printed(
        "binfmt-dispatch: qemu-s390x: the kernel's limit on interpreters is reached: remove entries, or, as root, raise \
         user.max_binfmt_misc_interpreters with sysctl\n1\nregister\nstatus\n",
    );
}

#[test]
fn installed_entries_are_transparent_and_replace_those_that_are_not() {
    need!(Namespace, Guests, Qemu, Transparent);
    let script = r#"
        $TOOL image --seed 0 -o image $FOREIGN || exit
        $TOOL generate --format register --image "$PWD/image" $FOREIGN >line || exit
        cat line >$REGISTRY/register; grep flags $REGISTRY/qemu-$FOREIGN_CPU
        ./image register --image "$PWD/image" $FOREIGN >/dev/null; grep flags $REGISTRY/qemu-$FOREIGN_CPU
        ls $REGISTRY
        ./image status --all $FOREIGN | grep -c ' OCFT '
        ./image explain $GUESTS/$FOREIGN/bin/busybox | grep -E '^  (kernel|process) ' | sed 's/  */ /g; s/with .*image/with image/'
        $GUESTS/$FOREIGN/bin/busybox uname -m
        ./image unregister
        $TOOL install --prefix "$PWD/local" --seed 1 --no-docs $FOREIGN >/dev/null 2>&1; grep flags $REGISTRY/qemu-$FOREIGN_CPU
        $GUESTS/$FOREIGN/bin/busybox uname -m
        local/bin/binfmt-dispatch uninstall --prefix "$PWD/local" | grep qemu
        $TOOL unshare -a $FOREIGN -- sh -c 'grep flags $1; $0 uname -m' $GUESTS/$FOREIGN/bin/busybox \
            $REGISTRY/qemu-$FOREIGN_CPU
    "#;
    Namespace::empty().run(&Scratch::new(), script).printed(&format!(
        "flags: POCF\nflags: OCFT\nqemu-{FOREIGN}\nregister\nstatus\n1\n\
         \x20kernel entry qemu-{FOREIGN} takes it, with image (flags OCFT)\n\
         \x20process is the program for everyone: /proc/PID/exe is its file (flag T)\n\
         {FOREIGN}\nqemu-{FOREIGN}: removed\nflags: OCFT\n{FOREIGN}\nqemu-{FOREIGN}: removed\nflags: OCFT\n{FOREIGN}\n",
    ));
}
