//! Translations of an installation: kept for the same build of the emulator, made again for another,
//! and dropped with a warning if that is not possible.

use std::fs;

use crate::run;
use crate::support::keeper::{keeper, records, root_of, with_keeper};
use crate::support::{FOREIGN, Foreign, Scratch, need, saying};

/// What every script begins with: `install` and `add` print what is said on standard error, `has`
/// what the emulator finds beside it, and `remembered` the root directories in the snippet.
const BEGIN: &str = r#"
    install() { add $FOREIGN_CPU emulator "$@"; }
    # This prefix is not one that systemd looks at.
    add() {
        $TOOL install $1 --from $1=$2 --prefix $PREFIX --no-docs "${@:3}" 2>&1 >/dev/null |
            grep -v -e 'systemd does not look' -e 'not part of this'
        return ${PIPESTATUS[0]}
    }
    has() { ./guest | tr -d '\n'; echo; }
    remembered() { grep ^#translate $PREFIX/lib/binfmt.d/*.conf | sed "s|$PWD|HERE|g"; }
    use() {
        cp --remove-destination build-$1 emulator
        for root in root second; do [ ! -d $root ] || cp records-$1 $root/records; done
    }
"#;

/// Parts of the warning.
const OTHER: &str = "those from before are for another build of the emulator or another CPU model";

fn again() -> String {
    format!("run `binfmt-dispatch install {FOREIGN} --translate ROOT` for new ones")
}

/// The warning that there are no translations any more, for this reason.
fn told(reason: &str) -> String {
    format!("binfmt-dispatch: warning: {FOREIGN}: installed without translations: {reason}\n")
}

/// A directory with builds 0 and 1 of the emulator and the records of both, as `use` takes them.
fn with_builds() -> Scratch {
    let scratch = with_keeper();
    for number in [0, 1] {
        fs::copy(keeper(number), scratch.at(&format!("build-{number}"))).unwrap();
        scratch.write(format!("records-{number}"), records(number));
    }
    root_of(&scratch, "second", FOREIGN, records(0));
    scratch
}

/// What the emulator says if it finds the records.
fn found() -> String {
    let records = dispatch_translations::Translations::read(&records(0)).unwrap();
    format!("tb-pack, {} bytes, whole\n", records.packed(usize::MAX).len())
}

/// The line that remembers the root directory `root`.
fn line(root: &str) -> String {
    format!("#translate {{\"architecture\":\"{FOREIGN}\",\"root\":\"HERE/{root}\",\"train\":null}}\n")
}

#[test]
fn they_are_kept_for_the_same_build_and_made_again_for_another() {
    need!(Namespace, Compiler, Prelinked);
    let scratch = with_builds();
    let seen = run(
        &scratch,
        &format!(
            "{BEGIN}{}",
            r"
            $TOOL install $FOREIGN_CPU --from $FOREIGN_CPU=emulator --prefix $PREFIX --no-docs --translate root --dry-run |
                grep -c ^#translate; ls -d $PREFIX 2>/dev/null
            install --translate root; has; remembered
            # The same build, with no program left to run.
            mv root/usr away; install; has; mv away root/usr
            # Another build: the programs run again.
            use 1; install; has; remembered
            # The root directory is gone, and there again.
            use 0; mv root gone; install; has; remembered
            install; has
            mv gone root; install; has
            # Another one takes its place.
            install --translate second; remembered
            install --no-translations; has; remembered
            # Then nothing is said of them any more.
            use 1; install; has
            "
        ),
    );
    let (found, root) = (found(), line("root"));
    let dropped = told(&format!("{OTHER}, and {} is gone: {}", scratch.at("root"), again()));
    let still = told(&format!("{} is gone: {}", scratch.at("root"), again()));
    let second = line("second");
    seen.wrote(&format!(
        "1\n{found}{root}{found}{found}{root}{dropped}none\n{root}{still}none\n{found}{second}none\nnone\n"
    ));
}

#[test]
fn what_cannot_be_made_again_is_told() {
    need!(Namespace, Compiler, Prelinked);
    let scratch = with_builds();
    fs::copy(saying("plain", 0), scratch.at("build-plain")).unwrap();
    let seen = run(
        &scratch,
        &format!(
            "{BEGIN}{}",
            r"
            # An image that has translations, and an installation that remembers no root directory.
            install --translate root; sed -i /^#translate/d $PREFIX/lib/binfmt.d/*.conf
            use 1; install; has
            # New ones fail: the records are of another build.
            install --translate root; has
            cp --remove-destination build-0 emulator; install; has; remembered
            # The emulator keeps none.
            cp --remove-destination build-plain emulator; install; has
            # Some of the root directories are gone.
            use 0; install --translate root --translate second; has
            use 1; mv second gone; install; has
            # One that is asked for must be there.
            install --translate second; echo $?; has
            # Whoever else could change one would get root's privileges.
            use 0; chmod o+w root; install; has; install --translate root; has
            "
        ),
    );
    let (found, root) = (found(), line("root"));
    let at = scratch.path().display();
    let other = told(&format!("{OTHER}: {}", again()));
    let failed = told(&format!(
        "no new ones can be made: {at}/emulator: cannot be embedded, as it has recorded no translations: leave out \
         --translate, or name one that `ci/emulators` builds"
    ));
    let plain = told(&format!(
        "{at}/emulator keeps none: name an emulator that `ci/emulators` builds with --from, or give --no-translations"
    ));
    let gone = format!("binfmt-dispatch: warning: {FOREIGN}: translated in part: {at}/second is gone\n");
    let unsafe_root = told(&format!("{OTHER}, and {at}/root can be changed by other users: {}", again()));
    let asked = "binfmt-dispatch: second/bin/sh: cannot read: check the path: no such file or directory\n1\n";
    seen.wrote(&format!("{other}none\n{found}{failed}none\n{root}{plain}plain\n{found}{gone}{found}{asked}{found}{unsafe_root}none\n{found}"));
}

#[test]
fn other_architectures_keep_theirs() {
    need!(Namespace, Compiler, Prelinked);
    let scratch = with_builds();
    let other = Foreign::ALL[1].name();
    scratch.probe("other", other);
    root_of(&scratch, "third", other, records(0));
    let seen = run(
        &scratch,
        &format!(
            "{BEGIN}OTHER={other}\n{}",
            r"
            install --translate root
            # With another name it is another program for the image.
            cp emulator another
            add $OTHER another --translate third
            has; ./other; remembered
            # Both were chosen with --from, and stay as they are.
            rm -r root third; install; has; ./other; remembered | wc -l
            install --only
            has; remembered
            "
        ),
    );
    let (found, root) = (found(), line("root"));
    let third = line("third").replace(FOREIGN, other);
    // Those that were asked for come first.
    seen.wrote(&format!("{found}{found}{third}{root}{found}{found}2\n{found}{root}"));
}
