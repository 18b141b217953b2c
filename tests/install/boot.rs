//! After a boot the entries are those that `install` registered, whatever other snippets there are.
//! systemd's own systemd-binfmt reads the snippets.

use crate::run;
use crate::support::{Scratch, need, saying};

/// In this namespace only, /usr, /etc and /opt are writable, and have no snippets. `boot` does the
/// same as a boot; `theirs` writes a snippet with Debian 12's rule for arm64.
const PRELUDE: &str = r#"
    mkdir usr usr.work etc etc.work opt
    mount -t overlay overlay -o lowerdir=/usr,upperdir=usr,workdir=usr.work,userxattr /usr || exit 1
    mount -t overlay overlay -o lowerdir=/etc,upperdir=etc,workdir=etc.work,userxattr /etc || exit 1
    mount --bind opt /opt || exit 1
    mkdir packages; cp {/usr/lib,/usr/share/qemu}/binfmt.d/qemu-*.conf packages 2>/dev/null
    mkdir -p /usr/lib/binfmt.d /usr/local/lib/binfmt.d /etc/binfmt.d && rm -f {/usr,/usr/local,}/lib/binfmt.d/* /etc/binfmt.d/*
    rule='M::\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
    rule+=':\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
    theirs() { echo ":$2:$rule:$PWD/theirs:OPF" >$1/$3; }
    boot() { /usr/lib/systemd/systemd-binfmt || exit 2; }
    install() { $TOOL install aarch64 --from aarch64=$EMULATOR --seed 1 "$@" >/dev/null || exit 3; }
"#;

/// Runs a script with emulators that print "ours" and "theirs". Compares its standard output,
/// followed by its standard error, with `expected`.
#[track_caller]
fn expect(script: &str, expected: &str) {
    let scratch = Scratch::new();
    scratch.probe("guest", "aarch64");
    scratch.write("theirs", std::fs::read(saying("theirs", 0)).unwrap());
    let script = format!("exec 2>&1; EMULATOR={}\n{PRELUDE}\n{script}", saying("ours", 0).display());
    let seen = run(&scratch, &script);
    seen.wrote(&expected.replace("/THEIRS", &scratch.at("theirs")));
}

#[test]
fn ours_last_beside_debians() {
    need!(Namespace, Compiler, Systemd);
    expect(
        r#"
        for prefix in /usr /usr/local; do
            theirs /usr/lib/binfmt.d qemu-aarch64 qemu-aarch64.conf
            theirs /usr/lib/binfmt.d box-arm64 box-arm64.conf
            boot; ./guest
            install --replace --prefix $prefix 2>error; grep -c 'takes precedence over box-arm64' error; ./guest
            # Twice, as when a package with snippets is installed later.
            boot; ./guest; boot; ./guest; grep interpreter $REGISTRY/qemu-aarch64
            $TOOL uninstall --prefix $prefix >/dev/null; boot; ./guest
            cat $REGISTRY/{qemu-aarch64,box-arm64} | grep -c "interpreter $PWD/theirs"
        done
        "#,
        &["/usr", "/usr/local"].map(beside_debians).concat(),
    );
}

#[test]
fn ours_last_beside_the_snippets_of_the_installed_package() {
    need!(Namespace, Compiler, Systemd, Snippets);
    expect(
        r"
        cp packages/* /usr/lib/binfmt.d
        interpreter() { sed -n 's/^interpreter //p' $REGISTRY/qemu-$1; }
        # systemd-binfmt fails if one is missing.
        for path in $(cut -d: -f7 packages/*); do mkdir -p ${path%/*}; cp --remove-destination theirs $path; done
        boot; ./guest; their=$(interpreter aarch64); other=$(interpreter s390x)
        install --replace 2>/dev/null; ./guest; boot; ./guest; boot; ./guest; interpreter aarch64
        # What is not installed stays with the package, and all of it after the removal.
        [ $(interpreter s390x) = $other ] && echo unchanged
        $TOOL uninstall >/dev/null; boot; ./guest; [ $(interpreter aarch64) = $their ] && echo unchanged
        ",
        "theirs\nours\nours\nours\n/usr/libexec/binfmt-dispatch/binfmt-dispatch\nunchanged\ntheirs\nunchanged\n",
    );
}

fn beside_debians(prefix: &str) -> String {
    format!(
        "theirs\n1\nours\nours\nours\n\
         interpreter {prefix}/libexec/binfmt-dispatch/binfmt-dispatch\ntheirs\n2\n"
    )
}

#[test]
fn ours_once_after_an_upgrade() {
    need!(Namespace, Compiler, Systemd);
    expect(
        r"
        install; cd /usr/lib/binfmt.d; ls; mv zz-binfmt-dispatch.conf binfmt-dispatch.conf
        cd - >/dev/null; install; ls /usr/lib/binfmt.d; boot; ./guest
        # Uninstalled as it was then; and what is called so without being ours stays.
        mv /usr/lib/binfmt.d/{zz-,}binfmt-dispatch.conf; $TOOL uninstall | grep conf; mkdir /usr/lib/binfmt.d
        theirs /usr/lib/binfmt.d theirs binfmt-dispatch.conf
        install 2>/dev/null; $TOOL uninstall | grep conf; ls /usr/lib/binfmt.d
        ",
        "zz-binfmt-dispatch.conf\nzz-binfmt-dispatch.conf\nours\n\
         /usr/lib/binfmt.d/binfmt-dispatch.conf: removed\n\
         /usr/lib/binfmt.d/zz-binfmt-dispatch.conf: removed\nbinfmt-dispatch.conf\n",
    );
}

#[test]
fn not_ours_and_said_so() {
    need!(Namespace, Compiler, Systemd);
    let wins = |file: &str, entry: &str| {
        format!(
            "binfmt-dispatch: warning: {file}: registers {entry} after binfmt-dispatch at each boot, and takes precedence: \
             give it a name that sorts before zz-binfmt-dispatch.conf\n"
        )
    };
    expect(
        r#"
        again() { echo -1 >$REGISTRY/status; install "$@"; boot; }
        # By name; by rule; in a directory that is read before; hidden by another; for other programs; no snippets.
        theirs /usr/lib/binfmt.d qemu-aarch64 zzz.conf; again; ./guest; rm /usr/lib/binfmt.d/zzz.conf
        theirs /etc/binfmt.d box-arm64 zzz.conf; again; ./guest
        theirs /usr/lib/binfmt.d qemu-aarch64 zzz.conf; ln -sf /dev/null /etc/binfmt.d/zzz.conf; again; ./guest
        rm /etc/binfmt.d/zzz.conf; echo ':other:E::foo::/bin/true:' >/etc/binfmt.d/zzz.conf
        theirs /etc/binfmt.d box-arm64 zzz.conf.old; theirs /etc/binfmt.d box-arm64 .zzz.conf; again; ./guest
        rm /etc/binfmt.d/*zzz* /usr/lib/binfmt.d/zzz.conf
        # Hidden.
        ln -s /dev/null /etc/binfmt.d/zz-binfmt-dispatch.conf; again; ls $REGISTRY; rm /etc/binfmt.d/zz*
        $TOOL uninstall >/dev/null
        # Where nobody looks; where somebody looks by another name.
        again --prefix /opt; ls $REGISTRY; ln -s /opt/lib/binfmt.d/* /etc/binfmt.d; again --prefix /opt; ./guest
        rm /etc/binfmt.d/zz*; $TOOL install --root / --no-emulators --prefix / --no-docs -n | grep -c would
        "#,
        &[
            &*wins("/usr/lib/binfmt.d/zzz.conf", "qemu-aarch64"),
            "theirs\n",
            &wins("/etc/binfmt.d/zzz.conf", "box-arm64"),
            "theirs\nours\nours\n",
            "binfmt-dispatch: warning: /etc/binfmt.d/zz-binfmt-dispatch.conf: hides \
             /usr/lib/binfmt.d/zz-binfmt-dispatch.conf, so nothing is registered at boot: remove it\nregister\nstatus\n",
            "binfmt-dispatch: warning: /opt/lib/binfmt.d/zz-binfmt-dispatch.conf: systemd does not look there, \
             so nothing is registered at boot: link it into /etc/binfmt.d\nregister\nstatus\nours\n3\n",
        ]
        .concat(),
    );
}

#[test]
fn ours_beside_binfmt_support() {
    need!(Namespace, Compiler, Systemd, Consumers);
    expect(
        r#"
        # It starts after systemd-binfmt, and keeps its formats in /var/lib, which is empty in this namespace.
        mkdir -p lib/binfmts formats; mount --bind lib /var/lib || exit 1
        update() {
            LD_LIBRARY_PATH=$(echo $CONSUMERS/usr/lib/*-linux-gnu) \
                $CONSUMERS/usr/sbin/update-binfmts --importdir $PWD/formats "$@" || exit 4
        }
        format() {
            printf 'package theirs\ninterpreter %s\noffset %s\nmagic %s\npreserve yes\nfix_binary yes\n' \
                $PWD/theirs $2 $3 >formats/$1
            update --import $1
        }
        boot() { echo -1 >$REGISTRY/status; /usr/lib/systemd/systemd-binfmt || exit 2; update --enable; }
        theirs /usr/lib/binfmt.d qemu-aarch64 qemu-aarch64.conf
        format qemu-aarch64 18 '\xb7\x00'; ./guest
        install --replace; ./guest; boot; ./guest
        # An extension, and a format for other programs.
        printf 'package theirs\ninterpreter /bin/true\nextension arm\n' >formats/arm; update --import arm
        printf 'package theirs\ninterpreter /bin/true\nmagic tea\n' >formats/tea; update --import tea
        install; boot; ./guest
        format box-arm64 16 '\x02\x00\xb7\x00'; install 2>error; grep -c 'takes precedence over box-arm64' error; grep lib/binfmts error
        ./guest; boot; ./guest
        "#,
        "theirs\nbinfmt-dispatch: warning: set-user-ID programs now take effect; use --no-credentials to prevent that\n\
         ours\nours\nours\n1\n\
         binfmt-dispatch: warning: /var/lib/binfmts/box-arm64: binfmt-support registers box-arm64 after binfmt-dispatch at \
         each boot, and takes precedence: remove the package, or the format with `update-binfmts --remove box-arm64 \
         /THEIRS`\nours\ntheirs\n",
    );
}
