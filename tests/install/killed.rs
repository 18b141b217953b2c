//! `install` and `uninstall` are killed before each one of their system calls. Each time programs
//! run as before or as after, and the next run leaves exactly what it would have left without the
//! interruption.
//!
//! In runs where it makes a difference, a signal that can be blocked also comes before every call.
//! The programs that a run starts (emulators, and the probes of the new entries) are not killed.
//! The number of calls that ask whether one of them has ended depends on time, so it varies from
//! run to run.

use std::process::Command;

use crate::support::{TOOL, artefact, killer, need, saying};
use crate::{run, with_probes};

/// `each NAME SIGNAL COMMAND ALLOWED NEXT AFTER` runs a command again and again, in the state that
/// `prepare` makes. Each time the command is ended before a later call. ALLOWED is the output that
/// programs may have then, NEXT is the next run, and AFTER their output after that: `nothing`, or
/// that of the installed emulators. One line is printed for each fault, and at the end one with the
/// number of calls.
const PRELUDE: &str = r#"
    shopt -s extglob; umask 077
    # No disk has to be waited for.
    mkdir memory && mount -t tmpfs tmpfs memory && cp -p one two theirs broken aarch64 s390x memory && cd memory || exit 98
    # Directories that only an installation needs stay, but for the innermost ones.
    PREFIX=$PWD/prefix; mkdir -p $PREFIX/{bin,lib/binfmt.d,libexec,share}; touch $PREFIX/lib/binfmt.d/other.conf
    # All that there is: files, modes, targets of links, and entries.
    state() {
        find $PREFIX \( -type f -printf '%P %m %s\n' -o -printf '%P %m %l\n' \) 2>/dev/null | sort
        grep -s . $REGISTRY/!(register)
    }
    # Man pages and completions are put in place like the rest: one of the tests has them.
    DOCS=--no-docs STEP=1
    install() { $TOOL install aarch64 s390x --from aarch64=$1 --from s390x=$1 --prefix $PREFIX --seed 1 $DOCS "${@:2}"; }
    uninstall() { $TOOL uninstall --prefix $PREFIX; }
    wrong() { echo "$name, before call $call ($what): $*"; cat out; ((++mistakes < 5)) || exit; }
    say() {
        local guest word
        for guest in aarch64 s390x; do
            word=$(./$guest 2>/dev/null)
            [[ " $1 " == *" ${word:-nothing} "* ]] || wrong "$guest says ${word:-nothing}, not $1"
        done
    }
    each() {
        local name=$1 call what mistakes=0
        for ((call = 0; ; call += STEP)); do
            prepare
            TOOL="$KILL $call $2 $TOOL" $3 3>log >out 2>&1
            read -r what <log
            say "$4"
            $5 >out 2>&1 || wrong "the next run ends with $?"
            say ${6:-$new}; state >now; cmp -s now state.${6:-$new} || wrong "$(diff state.${6:-$new} now)"
            finish
            [[ $what != ended ]] || break
        done
        echo "$name: $call"
    }
    prepare() { :; }
    finish() { :; }
    # Entries of others.
    $TOOL generate --format register --interpreter $PWD/theirs aarch64 s390x >lines
    theirs() { while IFS= read -r line; do printf '%s' "$line" >$REGISTRY/register; done <lines; }
    state >state.nothing
    for word in one two; do
        install $word >/dev/null 2>&1 && state >state.$word && uninstall >/dev/null || exit 1
        state | cmp - state.nothing || exit 2
    done
"#;

/// Runs a script that calls `each`, and asserts the number of runs and the least number of calls in
/// each.
#[track_caller]
fn expect(script: &str, runs: usize, calls: u32) {
    let scratch = with_probes();
    for (word, status) in [("one", 0), ("two", 0), ("theirs", 0), ("broken", 1)] {
        scratch.write(word, std::fs::read(saying(word, status)).unwrap());
    }
    // Every run reads the command's file, to put it into the image.
    let stripped = artefact("stripped", |path| {
        let done = Command::new("strip").args(["-o", path, TOOL]).status().expect("binutils come with gcc");
        assert!(done.success());
    });
    let variables = format!("KILL={} TOOL={}", killer().display(), stripped.display());
    let seen = run(&scratch, &format!("{variables}\n{PRELUDE}\n{script}"));
    let counts: Vec<u32> = seen.out().lines().filter_map(|line| line.rsplit_once(": ")?.1.parse().ok()).collect();
    let right = counts.len() == runs && seen.out().lines().count() == runs;
    assert!(right && counts.iter().all(|count| *count >= calls), "{seen}");
    eprintln!("{}", seen.out());
}

#[test]
fn first_installation() {
    need!(Namespace, Compiler);
    expect(
        r"
        finish() { uninstall >/dev/null; state | cmp - state.nothing; }
        each 'install, install' 9 'install one' 'nothing one' 'install one' one
        each 'install, uninstall' 9 'install one' 'nothing one' uninstall nothing
        ",
        2,
        300,
    );
}

#[test]
fn upgrade() {
    need!(Namespace, Compiler);
    expect(
        r"
        old=one new=two; install $old >/dev/null 2>&1
        finish() { word=$old; old=$new new=$word; }
        upgrade() { install $new; }
        each 'upgrade, upgrade' 9 upgrade 'one two' upgrade
        prepare() { install one >/dev/null 2>&1; mv $PREFIX/lib/binfmt.d/{zz-,}binfmt-dispatch.conf; }
        finish() { :; }
        each 'upgrade, uninstall' 9 'install two' 'one two' uninstall nothing
        ",
        2,
        300,
    );
}

#[test]
fn replacement_of_others() {
    need!(Namespace, Compiler);
    expect(
        r#"
        prepare() { theirs; }
        replace() { install one --replace; }
        leave() {
            uninstall && say 'theirs nothing' || return 1
            for entry in $REGISTRY/qemu-@(aarch64|s390x); do
                ! grep -qs "^interpreter $PWD/theirs$" $entry || echo -1 >$entry
            done
        }
        each 'replacement, uninstall' 9 replace 'theirs one' leave nothing
        finish() { uninstall >/dev/null; state | cmp - state.nothing; }
        each 'replacement, replacement' 9 replace 'theirs one' replace one
        "#,
        2,
        300,
    );
}

#[test]
fn replacement_of_others_by_what_does_not_work() {
    need!(Namespace, Compiler);
    expect(
        r"
        theirs
        spoil() { install broken --replace || [ $? = 1 ]; }
        state >state.theirs
        each 'spoiled, uninstall' 9 spoil theirs uninstall theirs
        ",
        1,
        250,
    );
}

#[test]
fn interrupted_by_a_signal_that_can_wait() {
    need!(Namespace, Compiler);
    expect(
        r"
        old=one new=two; install $old >/dev/null 2>&1
        finish() { word=$old; old=$new new=$word; }
        upgrade() { install $new; }
        each 'upgrade, upgrade' 15 upgrade 'one two' upgrade
        prepare() { install one >/dev/null 2>&1; }
        finish() { :; }
        each 'uninstall, uninstall' 2 uninstall 'nothing one' uninstall nothing
        ",
        2,
        60,
    );
}

#[test]
fn with_documents() {
    need!(Namespace, Compiler);
    expect(
        r"
        for place in man/man8 man/man5 bash-completion/completions zsh/site-functions fish/vendor_completions.d; do
            mkdir -p $PREFIX/share/$place; touch $PREFIX/share/$place/other
        done
        state >state.nothing
        # There are many calls for each of the files, and many files: every third will do.
        DOCS= STEP=3; install one >/dev/null 2>&1; state >state.one; uninstall >/dev/null; state | cmp - state.nothing || exit 3
        finish() { uninstall >/dev/null; state | cmp - state.nothing; }
        each 'documents, install' 9 'install one' 'nothing one' 'install one' one
        each 'documents, uninstall' 9 'install one' 'nothing one' uninstall nothing
        prepare() { install one >/dev/null 2>&1; }
        finish() { :; }
        each 'documents removed, uninstall' 9 uninstall 'nothing one' uninstall nothing
        ",
        3,
        100,
    );
}

#[test]
fn removal() {
    need!(Namespace, Compiler);
    expect(
        r"
        prepare() { install one >/dev/null 2>&1; }
        each 'uninstall, uninstall' 9 uninstall 'nothing one' uninstall nothing
        each 'uninstall, install' 9 uninstall 'nothing one' 'install one' one
        ",
        2,
        60,
    );
}
