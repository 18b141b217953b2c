"""Programs with the translations of an image, and with damaged ones: they do the same as with an image
that has none."""
import os
import random
import re

from emulator import Emulator, Part, counted, difference
from programs import LANGUAGES, PROGRAMS, SHELL, SOURCES, build
from speed import TARGET, make
from spoil import programs

# What the image is trained with besides the programs of `spoil`: the beginnings of LANGUAGES and SHELL.
TRAINING = [
    "java -XX:+UseSerialGC -Xshare:off -version", "node -e 1", "luajit -e x=1", "pypy3 -c 1", "guile-3.0 -c 1",
    "php8.4 -n -r 1;", "echo a | grep -P a", "bash -c 'for i in 1 2 3; do (exit $i) & wait; done; diff /dev/null /dev/null'",
    "perl -e 'fork; sin 1; unpack \"%32C*\", 1'", "python3 -c 'import hashlib, threading, subprocess'", "ls /nonexistent",
]
# The beginning of the translations: magic and version.
BEGINNING = b"tb-pack\0\3\0\0\0"
FILES = 100
STARTS = 200


def prove(tool, emulator, root, scratch, seed):
    part = Part("image")
    lines = f"{scratch}/lines"
    with open(lines, "w") as file:
        file.write("".join(f"{line}\n" for line in TRAINING))
    plain, translated = f"{scratch}/plain", f"{scratch}/translated"
    make(tool, emulator, plain)
    make(tool, emulator, translated, "--translate", root, "--train", lines)
    expect, see = (Emulator(TARGET, path, root, scratch, "POCF") for path in (plain, translated))
    commands = {name: (command, [f"{PROGRAMS}/{source}"]) for name, (source, command) in LANGUAGES.items()}
    commands |= {name: (["bash", "-c", script], []) for name, script in SHELL.items()}
    commands |= {name: ([f"/tmp/{name}.{TARGET}"], [build(TARGET, name, scratch)]) for name in SOURCES}
    for name, (command, files) in commands.items():
        expected = expect.inside(command, files=files)
        fault = difference(expected, see.inside(command, files=files))
        if expected.status not in (0, 3):
            fault = f"it fails: {expected.status}, {expected.err[-200:]}"
        loaded, new, damaged = used(see, command, files)
        # grep closes standard error before it ends.
        if (loaded == 0 and name != "grep -P") or damaged > 0:
            fault = fault or f"{loaded} blocks from the image, {damaged} damaged"
        part.case(name, fault, f"{loaded} blocks of {loaded + new} from the image" if loaded + new else "")
    command = ["perl", "-e", "1"]
    # The training was in C.UTF-8, in which the C library maps a file shared.
    mostly(part, "locale C", [used(see, command, extra={"LC_ALL": "C"})])
    # The kernel chooses other addresses each time.
    mostly(part, f"{STARTS} starts", [used(see, command) for _ in range(STARTS)])
    spoil(part, expect, translated, seed)
    return part


def mostly(part, name, starts):
    """Reports a case that has passed if at least nine of ten blocks of each start are from the image."""
    loaded, new, _ = min(starts, key=lambda start: start[0] - 9 * start[1])
    part.case(name, "" if loaded > 9 * new else f"{loaded} blocks from the image, {new} translated",
              f"{loaded} blocks of {loaded + new} from the image")


def used(emulator, command, files=(), extra=None):
    """How many blocks came from the image, how many were translated, and how many were damaged."""
    extra = {"QEMU_TRACE": "tb_records_*"} | (extra or {})
    outcome = emulator.inside(command, extra=extra, files=files)
    return counted(outcome.err.decode(errors="replace"))


def spoil(part, expect, translated, seed):
    """Runs programs with translations in which random bits are changed."""
    with open(translated, "rb") as file:
        whole = file.read()
    start = max(place.start() for place in re.finditer(re.escape(BEGINNING), whole))
    path = f"{expect.scratch}/spoiled"
    see = Emulator(TARGET, path, expect.root, expect.scratch, "POCF")
    lines = [["/usr/bin/env", *line] for line in programs("")]
    expected = [expect.inside(line) for line in lines]
    fault, damaged = "", 0
    for number in range(seed, seed + FILES):
        source = random.Random(number)
        data = bytearray(whole)
        # Half of them leave the header and the tables alone, which are ignored as a whole.
        first = start + source.choice([0, 1 << 17])
        for _ in range(source.choice([1, 100, 10000, 100000])):
            data[source.randrange(first, len(data))] ^= 1 << source.randrange(8)
        with open(path, "wb") as file:
            file.write(data)
        os.chmod(path, 0o755)
        place = number % len(lines)
        outcome = see.inside(lines[place])
        if different := difference(expected[place], outcome):
            fault = fault or f"seed {number}: {' '.join(lines[place])}: {different}; it says {outcome.err[-200:]!r}"
        damaged += used(see, lines[place])[2]
        os.remove(path)
    if damaged == 0:
        fault = fault or "nothing was found damaged"
    part.case(f"{FILES} spoiled images", fault, f"{damaged} blocks found damaged")
