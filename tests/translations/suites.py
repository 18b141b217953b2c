"""The project's tests of compliance, security and the kernel, with an emulator that keeps translations in the
place of Debian 13's, and with translations of the tests' programs in their images."""
import glob
import os
import re
import shutil
import subprocess

from emulator import Part, counted, rule

SUITES = ("compliance", "security", "kernel")
RELEASE = "trixie"
# What the programs of the tests do without arguments, and for a test of tests/compliance.
LINES = """busybox true; echo a | busybox grep a; busybox ls -l /; busybox uname -m; busybox cat /lines; busybox id
mkdir /tmp/report; for program in /programs/*; do for action in '' fork threads vfork exec; do \
REPORT=/tmp/report ACTION=$action busybox timeout 9 $program; done; done; true
"""
PATIENCE = 3600


def prove(tool, emulators, guests, debian, scratch):
    """`tool` is in the directory of the tests' builds, `debian` has the emulators of two releases, and `guests`
    Debian's foreign programs."""
    part = Part("suites")
    mixed = f"{scratch}/mixed"
    shutil.copytree(debian, mixed, symlinks=True)
    for path in glob.glob(f"{emulators}/qemu-*"):
        replaced = f"{mixed}/{RELEASE}/usr/bin/{os.path.basename(path)}"
        os.remove(replaced)
        shutil.copy(path, replaced)
    variables = os.environ | {"BINFMT_DISPATCH_EMULATORS": mixed, "BINFMT_DISPATCH_TESTS_MUST_RUN": "1"}
    made, _ = cargo(["--ignored", "artefacts::are_made"], variables)
    if made:
        part.case("programs", f"they cannot be built: {made}")
        return part
    root = f"{scratch}/root"
    for name in ("bin", "programs", "proc", "dev", "tmp"):
        os.makedirs(f"{root}/{name}")
    shutil.copy(f"{guests}/arm64/bin/busybox", f"{root}/bin/busybox")
    os.symlink("busybox", f"{root}/bin/sh")
    built = os.path.join(os.path.dirname(os.path.dirname(tool)), "tmp")
    programs = glob.glob(f"{built}/*-aarch64")
    for path in programs:
        shutil.copy(path, f"{root}/programs")
    with open(f"{root}/lines", "w") as file:
        file.write(LINES)
    fault, said = cargo([], variables | {"BINFMT_DISPATCH_TESTS_TRANSLATE": root})
    ended = re.findall(r"^test (\S+) \.\.\. (ok|FAILED)", said, re.MULTILINE)
    for name, outcome in ended:
        if outcome == "FAILED":
            part.case(name, shortened(said, name))
        else:
            part.passed += 1
    if fault and not part.failed:
        part.case("tests", fault)
    for image in ("full-image", f"image-with-qemu-of-{RELEASE}"):
        listed = subprocess.run([tool, "list", "--image", f"{built}/{image}"], capture_output=True, text=True)
        found = re.search(r"^translations for aarch64: (\d+) blocks", listed.stdout, re.MULTILINE)
        loaded, translated, _ = used(f"{built}/{image}", root)
        fault = "" if found and loaded > 9 * translated else f"{loaded} blocks from it, {translated} translated"
        part.case(image, fault, f"{found and found[1]} blocks of {len(programs)} programs")
    return part


def used(image, root):
    """How many blocks of a program come from an image, how many are translated, and how many are damaged."""
    enter = f"""set -e
        mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
        printf '%s' '{rule("aarch64", image, "POCF")}' >/proc/sys/fs/binfmt_misc/register
        QEMU_TRACE='tb_records_*' exec chroot "$1" /bin/busybox true"""
    line = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", enter, "sh", root]
    return counted(subprocess.run(line, capture_output=True, text=True).stderr)


def cargo(arguments, variables):
    """What is wrong, if anything, and the output of the tests."""
    suites = [word for suite in SUITES for word in ("--test", suite)]
    command = ["cargo", "test", "--locked", "--no-fail-fast", *suites, "--", *arguments]
    ended = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=PATIENCE)
    return (f"exit status {ended.returncode}: {ended.stderr[-300:]}" if ended.returncode else ""), ended.stdout


def shortened(said, name):
    """What a test that failed has said first."""
    found = re.search(rf"^---- {re.escape(name)} stdout ----\n(.*?)\n\n", said, re.MULTILINE | re.DOTALL)
    return found[1].strip().replace("\n", " | ")[:400] if found else "it has failed"
