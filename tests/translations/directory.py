"""One directory of records for many processes, for writers that are killed, on a full disk, and
directories that may not be used: programs always do the same, and the file stays readable.
"""
import fcntl
import os
import random
import signal
import subprocess
import time

import records
from emulator import Outcome, Part, Records, difference
from programs import build

NOBODY = 65534


class Directory:
    def __init__(self, emulator, scratch):
        self.emulator, self.scratch = emulator, scratch
        root = emulator.root
        self.lines = [["true"], ["seq", "3"], ["sha256sum", f"{root}/usr/bin/env"], ["ls", "/nonexistent"],
                      ["bash", "-c", "a=(3 1 2); echo ${a[@]/1/x}; exit 4"], ["mawk", "BEGIN { print sin(1), 2 ** 9 }"],
                      *(["perl", "-e", f"print join ',', {work}"] for work in (
                          "map { $_ ** 2 } 1..20", "sort { $b <=> $a } 1..9", "split /b+/, 'abbbcbd'", "unpack 'H*', 'text'"))]
        self.expected = [emulator.run(line) for line in self.lines]

    def start(self, line, directory, logs, wrapper=()):
        emulator = self.emulator
        line = [*wrapper, emulator.path, "-L", emulator.root, f"{emulator.root}/usr/bin/{line[0]}", *line[1:]]
        variables = emulator.variables(directory, where=(directory, logs))
        if not logs:
            # The log is a file, too.
            variables = {name: value for name, value in variables.items() if name not in ("QEMU_TRACE", "QEMU_LOG_FILENAME")}
        return subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables)

    def finish(self, process, which):
        """How the outcome of a process differs."""
        return self.finish_as(process, self.expected[which])

    def finish_as(self, process, expected):
        try:
            out, err = process.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return "it did not end"
        return difference(expected, Outcome(process.returncode, out, err))

    def afterwards(self, directory, killed=False):
        """Uses the directory once more, and checks the files in it. A writer that was killed may have
        left part of a record, which is found, and not used."""
        fault = ""
        for line, expected in zip(self.lines, self.expected):
            fault = fault or difference(expected, self.emulator.run(line, directory))
            if directory.damaged > 0 and not killed or directory.ignored:
                fault = fault or f"{directory.damaged} records damaged, {directory.ignored}"
        if not directory.loaded:
            fault = fault or "no record was used afterwards"
        return fault or self.readable(directory)

    def readable(self, directory):
        for path in directory.files():
            # What a killed writer left is never read.
            if not path.endswith(".new.tb-records"):
                with open(path, "rb") as file:
                    if fault := records.check(file.read()):
                        return f"{os.path.basename(path)}: {fault}"
        return ""


def at_once(part, there, scratch, count):
    directory = Records(scratch)
    for turn in ("recording", "from records"):
        begun = time.time()
        started = [(there.start(there.lines[i % len(there.lines)], directory.path, directory.logs), i % len(there.lines))
                   for i in range(count)]
        faults = [fault for process, which in started if (fault := there.finish(process, which))]
        fault = f"{len(faults)} differ: {faults[0]}" if faults else there.readable(directory)
        directory.read_logs()
        # A reader may come to a record that is being written, as it lies behind the one used before.
        if directory.damaged > (count if turn == "recording" else 0) or directory.ignored:
            fault = fault or f"{directory.damaged} records damaged, {directory.ignored}"
        part.case(f"{count} processes at once, {turn}", fault,
                  f"{directory.loaded} blocks of {directory.loaded + directory.translated} from records, {time.time() - begun:.0f} s")
    part.case("the file afterwards", there.afterwards(directory))
    directory.remove()


def two_writers(part, there, scratch, rounds):
    """Each process brings code that the file does not have yet, and ends at the time of another one."""
    directory = Records(scratch)
    fault = ""
    for number in range(rounds):
        pair = [there.start(["perl", "-e", f"print {work}"], directory.path, directory.logs)
                for work in (f"sprintf('%x', {number})", f"join('', map {{ chr(65 + $_) }} 0..{number % 20})")]
        outs = [process.communicate(timeout=300)[0] for process in pair]
        wanted = [f"{number:x}".encode(), bytes(range(65, 66 + number % 20))]
        if outs != wanted:
            fault = fault or f"round {number}: {outs} instead of {wanted}"
        if number % 5 == 4:
            fault = fault or there.readable(directory)
            # From the beginning.
            for path in directory.files():
                os.remove(path)
    directory.read_logs()
    fault = fault or there.afterwards(directory)
    part.case("two writers", fault, f"{rounds} rounds")
    directory.remove()


def killed(part, there, scratch, seed, rounds):
    """Half of them at any time, the others when the file has begun to change."""
    source, directory, fault = random.Random(seed), Records(scratch), ""
    while_writing = ended = 0
    for number in range(rounds):
        which = source.randrange(len(there.lines))
        if number % 4 == 0:
            for path in directory.files():
                os.remove(path)
        before = state(directory)
        process = there.start(there.lines[which], directory.path, directory.logs)
        begun, patience = time.time(), source.uniform(0, 0.25)
        while process.poll() is None:
            if number % 2 and state(directory) != before:
                # How far it comes in this time is left to the machine.
                time.sleep(source.choice([0, 0, 0.0002, 0.001, 0.003]))
                break
            if not number % 2 and time.time() - begun > patience:
                break
            time.sleep(0 if number % 2 else 0.001)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if process.returncode == -signal.SIGKILL:
            while_writing += state(directory) != before
        else:
            ended += 1
        fault = fault or there.readable(directory)
        # Others use and lengthen what was left.
        other = source.randrange(len(there.lines))
        fault = fault or there.finish(there.start(there.lines[other], directory.path, directory.logs), other)
    fault = fault or there.afterwards(directory, killed=True)
    if not while_writing:
        fault = fault or "none of them was killed while it wrote"
    part.case("killed writers", fault, f"{rounds} rounds: {while_writing} killed while they wrote, {ended} had ended")
    directory.remove()


def state(directory):
    """What tells that a writer has begun."""
    seen = []
    for path in directory.files():
        try:
            seen.append((path, os.stat(path).st_size))
        except FileNotFoundError:
            pass
    return seen


def full_disks(part, there, scratch):
    for size in (0, 64, 256, 1024, 2048, 4096):
        directory = Records(scratch)
        # A size of 0 means no limit: one page is the least.
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={max(4, size)}k,mode=700", "tmpfs", directory.path], check=True)
        try:
            fault, used = "", 0
            for _ in range(2):
                for which, line in enumerate(there.lines):
                    fault = fault or difference(there.expected[which], there.emulator.run(line, directory))
                    used += directory.loaded
                    if directory.damaged or directory.ignored:
                        fault = fault or f"{directory.damaged} records damaged, {directory.ignored}"
            fault = fault or there.readable(directory)
        finally:
            subprocess.run(["umount", directory.path], check=True)
        part.case(f"a disk of {size} KiB", fault, f"{used} blocks from records")
        directory.remove()


def limits(part, there, scratch):
    """Limits of a process: the size of files, and open files."""
    directory = Records(scratch)
    for name, option in (("no file may have a byte", "--fsize=0"), ("files of 1000 bytes", "--fsize=1000"),
                         ("files of 1 MiB", "--fsize=1048576"), ("8 open files", "--nofile=8"), ("4 open files", "--nofile=4")):
        fault = ""
        for line in there.lines:
            process = there.start(line, None, None, ("prlimit", option))
            out, err = process.communicate(timeout=300)
            expected = Outcome(process.returncode, out, err)
            fault = fault or there.finish_as(there.start(line, directory.path, None, ("prlimit", option)), expected)
        part.case(name, fault or there.readable(directory))
    part.case("the file afterwards", there.afterwards(directory))
    directory.remove()


def locks(part, there, scratch):
    directory = Records(scratch)
    forbid = build("x86_64", "forbid", scratch)
    fault = there.finish(there.start(there.lines[0], directory.path, directory.logs), 0)
    [path] = directory.files()
    size = os.path.getsize(path)
    for which, line in enumerate(there.lines):
        fault = fault or there.finish(there.start(line, directory.path, directory.logs, (forbid, "locks")), which)
    if os.path.getsize(path) != size:
        fault = fault or "the file was changed without a lock"
    part.case("no locks", fault)
    # As a writer does that has been stopped.
    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        begun = time.time()
        fault = there.finish(there.start(there.lines[4], directory.path, directory.logs), 4)
        took = time.time() - begun
    if took > 20:
        fault = fault or f"it waited {took:.0f} s"
    part.case("a lock that is never given back", fault or there.afterwards(directory), f"{took:.1f} s")
    directory.remove()


def refused(part, there, scratch):
    """Directories and files that may not be used: nothing is read from them, and nothing is written."""
    good = Records(scratch)
    fault = there.afterwards(good)
    [path] = good.files()
    name = os.path.basename(path)
    with open(path, "rb") as file:
        data = file.read()

    def fresh(owner=0, mode=0o700, file_owner=0, file_mode=0o600, contents=data):
        directory = Records(scratch)
        with open(f"{directory.path}/{name}", "wb") as file:
            file.write(contents)
        os.chmod(f"{directory.path}/{name}", file_mode)
        os.chown(f"{directory.path}/{name}", file_owner, -1)
        os.chown(directory.path, owner, -1)
        os.chmod(directory.path, mode)
        return directory

    def attempt(title, directory, where=None, fault=""):
        before = snapshot(directory.path)
        for _ in range(2):
            for which, line in enumerate(there.lines[:6]):
                process = there.start(line, where or directory.path, directory.logs)
                fault = fault or there.finish(process, which)
        directory.read_logs()
        if directory.loaded:
            fault = fault or f"{directory.loaded} records were used"
        if snapshot(directory.path) != before:
            fault = fault or "something was written"
        part.case(title, fault)
        directory.remove()

    attempt("a directory of somebody else", fresh(owner=NOBODY), fault=fault)
    attempt("a directory that others may write to", fresh(mode=0o777))
    attempt("a directory that a group may write to", fresh(mode=0o770))
    attempt("a file of somebody else", fresh(file_owner=NOBODY))
    attempt("a file that others may write to", fresh(file_mode=0o666))
    attempt("a relative path", fresh(), where=os.path.basename(good.path))
    attempt("no directory", fresh(), where=f"{scratch}/nonexistent")
    attempt("a file in place of the directory", fresh(), where=path)
    link = f"{scratch}/link"
    os.symlink(good.path, link)
    attempt("a link to a directory", fresh(), where=link)
    for title, make in (("a link in place of the file", lambda place: os.symlink(path, place)),
                        ("a pipe in place of the file", os.mkfifo), ("a directory in place of the file", os.mkdir)):
        directory = fresh()
        os.remove(f"{directory.path}/{name}")
        make(f"{directory.path}/{name}")
        attempt(title, directory)
    if snapshot(good.path) != {name: data}:
        part.case("what the links lead to", "it was changed")
    good.remove()


def snapshot(directory):
    seen = {}
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        if os.path.isfile(path) and not os.path.islink(path):
            with open(path, "rb") as file:
                seen[name] = file.read()
        else:
            seen[name] = os.lstat(path).st_mode
    return seen


def read_only(part, there, scratch):
    """Records are read, and none are written."""
    directory = Records(scratch)
    fault = there.afterwards(directory)
    before = snapshot(directory.path)
    subprocess.run(["mount", "--bind", directory.path, directory.path], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", directory.path], check=True)
        fault = fault or there.afterwards(directory)
    finally:
        subprocess.run(["umount", directory.path], check=True)
    if snapshot(directory.path) != before:
        fault = fault or "something was written"
    part.case("a read-only mount", fault)
    directory.remove()


def many_models(part, there, scratch):
    """There are 8 files at most."""
    directory, fault = Records(scratch), ""
    models = ["cortex-a35", "cortex-a53", "cortex-a55", "cortex-a57", "cortex-a72", "cortex-a76", "neoverse-n1", "neoverse-v1",
              "a64fx", "max", "cortex-a710"]
    for model in models:
        for which, line in enumerate(there.lines[:2]):
            fault = fault or difference(there.expected[which], there.emulator.run(line, directory, ("-cpu", model)))
        if len(directory.files()) > 8:
            fault = fault or f"{len(directory.files())} files"
    part.case("many CPU models", fault or there.readable(directory), f"{len(models)} models, {len(directory.files())} files")
    directory.remove()


def prove(emulator, scratch, count=200):
    part = Part("directory")
    there = Directory(emulator, scratch)
    at_once(part, there, scratch, count)
    two_writers(part, there, scratch, 40)
    killed(part, there, scratch, 1, 120)
    full_disks(part, there, scratch)
    limits(part, there, scratch)
    locks(part, there, scratch)
    refused(part, there, scratch)
    read_only(part, there, scratch)
    many_models(part, there, scratch)
    return part
