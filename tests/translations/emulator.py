"""Runs foreign programs with an emulator, with and without records of translated code."""
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections import namedtuple

# What a program did: exit status (negative: the signal that ended it), standard output and error.
Outcome = namedtuple("Outcome", "status out err")

# The emulator's standard output and error are pipes, so a program that hangs is ended.
PATIENCE = 600

# The first bytes of programs, and which of them count, for the kernel's entries.
MACHINES = {
    "aarch64": (2, 1, 183), "arm": (1, 1, 40), "riscv64": (2, 1, 243), "x86_64": (2, 1, 62),
}


def rule(target, emulator, flags):
    """The line that registers an emulator with the kernel."""
    bits, order, machine = MACHINES[target]
    byteorder = "little" if order == 1 else "big"
    kind, number = (value.to_bytes(2, byteorder) for value in (2, machine))
    magic = b"\x7fELF" + bytes([bits, order, 1]) + bytes(9) + kind + number
    # ET_EXEC and ET_DYN, any OSABI.
    mask = bytearray(b"\xff" * 7 + bytes(9) + b"\xff" * 4)
    mask[16 if order == 1 else 17] = 0xfe
    text = ["".join(f"\\x{byte:02x}" for byte in part) for part in (magic, mask)]
    return f":{target}:M::{text[0]}:{text[1]}:{emulator}:{flags}"


def counted(said):
    """How many blocks the emulators loaded, how many they translated, and how many were damaged."""
    used = re.findall(r"loaded (\d+), translated (\d+), damaged (\d+)", said)
    return [sum(map(int, numbers)) for numbers in zip((0, 0, 0), *used)]


class Records:
    """A directory of records, and what the emulators say about it."""

    def __init__(self, scratch):
        self.path = tempfile.mkdtemp(prefix="records.", dir=scratch)
        self.logs = tempfile.mkdtemp(prefix="logs.", dir=scratch)
        self.clear()

    def clear(self):
        self.loaded = self.translated = self.damaged = 0
        self.ignored = []

    def read_logs(self):
        """Counts what the processes said since the last call."""
        self.clear()
        for name in os.listdir(self.logs):
            path = os.path.join(self.logs, name)
            with open(path, errors="replace") as log:
                said = log.read()
            os.remove(path)
            loaded, translated, damaged = counted(said)
            self.loaded += loaded
            self.translated += translated
            self.damaged += damaged
            self.ignored += re.findall(r"tb_records_ignored (.*)", said)

    def files(self):
        return sorted(os.path.join(self.path, name) for name in os.listdir(self.path))

    def remove(self):
        for path in (self.path, self.logs):
            shutil.rmtree(path, ignore_errors=True)


class Emulator:
    """An emulator, with a root directory of Debian's programs for its architecture."""

    def __init__(self, target, path, root, scratch, flags="F"):
        self.target, self.path, self.root, self.scratch, self.flags = target, path, root, scratch, flags

    def variables(self, records, where=None):
        """The variables of a process. `where` has the directories of `records` as the process sees them."""
        names = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/tmp"}
        if records:
            path, logs = where or (records.path, records.logs)
            names |= {"QEMU_TB_RECORDS": path, "QEMU_TRACE": "tb_records_*", "QEMU_LOG_FILENAME": f"{logs}/%d"}
        return names

    def run(self, command, records=None, options=(), extra=None, patience=PATIENCE, emulator=None):
        """Runs a foreign program that starts no other ones. `command` begins with a path below the
        root directory, or of this machine's file."""
        program = command[0]
        if not os.path.isabs(program):
            program = f"{self.root}/usr/bin/{program}"
        line = [emulator or self.path, "-L", self.root, *options, program, *command[1:]]
        return self.execute(line, records, self.variables(records) | (extra or {}), patience)

    def inside(self, command, records=None, extra=None, patience=PATIENCE, files=()):
        """Runs a command of the root directory there, with the emulator registered with a kernel's
        registry of its own, so that it can start others. /tmp is empty but for `files`."""
        where = ("/tmp/.records", "/tmp/.logs")
        variables = self.variables(records, where) | (extra or {})
        enter = f"""set -e
            mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
            printf '%s' '{rule(self.target, self.path, self.flags)}' >/proc/sys/fs/binfmt_misc/register
            root=$1 records=$2 logs=$3
            shift 3
            mount -t tmpfs tmpfs "$root/tmp"
            if [ "$records" ]; then
                mkdir "$root/tmp/.records" "$root/tmp/.logs"
                mount --bind "$records" "$root/tmp/.records"
                mount --bind "$logs" "$root/tmp/.logs"
            fi
            mount --rbind /proc "$root/proc"
            mount --rbind /dev "$root/dev"
            while [ "$1" != -- ]; do cp "$1" "$root/tmp"; shift; done
            shift
            exec chroot "$root" "$@" """
        inner = ["/usr/bin/env", "-i", "-C", "/tmp", *(f"{name}={value}" for name, value in variables.items()), *command]
        line = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", enter,
                "sh", self.root, records.path if records else "", records.logs if records else "", *files, "--", *inner]
        return self.execute(line, records, dict(os.environ), patience)

    def execute(self, line, records, variables, patience):
        process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=variables, start_new_session=True)
        try:
            out, err = process.communicate(timeout=patience)
            outcome = Outcome(process.returncode, out, err)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            outcome = Outcome("did not end", out, err)
        if records:
            records.read_logs()
        return outcome

    def cpu_time(self, run):
        """Milliseconds of CPU time that `run` takes in its processes."""
        def used():
            usage = resource.getrusage(resource.RUSAGE_CHILDREN)
            return (usage.ru_utime + usage.ru_stime) * 1000
        before = used()
        run()
        return used() - before


class Part:
    """The cases of one part, with their results."""

    def __init__(self, name):
        self.name, self.passed, self.failed, self.known = name, 0, 0, 0
        self.begun, self.seconds = time.time(), 0

    def case(self, name, fault="", note=""):
        """Reports a case, which has passed if there is no fault."""
        if fault:
            self.failed += 1
        else:
            self.passed += 1
        print(f"{self.name:10} {name:42} {'FAILED' if fault else 'ok':8} {fault or note}", flush=True)

    def fails_without(self, name, note):
        """Reports a case that fails without records as well."""
        self.known += 1
        print(f"{self.name:10} {name:42} {'same':8} {note}", flush=True)

    def note(self, name, note):
        """Reports a measurement."""
        print(f"{self.name:10} {name:42} {'':8} {note}", flush=True)

    def ended(self):
        self.seconds = time.time() - self.begun
        return self

    def summary(self):
        known = f", {self.known} the same that fail without records too" if self.known else ""
        return f"{self.name}: {self.passed} passed, {self.failed} failed{known} ({self.seconds:.0f} s)"


def difference(expected, seen):
    """How two outcomes differ, in one line, or nothing."""
    if expected == seen:
        return ""
    for name, one, other in zip(Outcome._fields, expected, seen):
        if one != other:
            return f"{name} is {shortened(other)} instead of {shortened(one)}"
    return "they differ"


def shortened(value):
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:100]}…{text[-100:]}"
