"""QEMU's own tests of its user mode (tests/tcg of its source): multiarch, linux and those of aarch64.

They are built with QEMU's makefiles and the cross compiler, and each is run by its rule in them:
without records, with an empty directory, from the records, and once more when all of them have been
recorded. The outcome and what a test prints must be the same.
"""
import os
import subprocess

from emulator import Part, Records

# As QEMU's configure writes it.
CONFIGURATION = """SRC_PATH={source}
TARGET_NAME=aarch64
TARGET=aarch64-linux-user
CC=aarch64-linux-gnu-gcc
BUILD_STATIC=y
QEMU={emulator}
GDB=gdb-multiarch
TIMEOUT=300
"""


# How often a test that prints something else is run once more without records.
REPEATED = 20


class Tests:
    def __init__(self, emulator, source, scratch):
        self.place = os.path.join(scratch, "aarch64-linux-user")
        os.makedirs(self.place)
        with open(f"{self.place}/config-target.mak", "w") as file:
            file.write(CONFIGURATION.format(source=source, emulator=emulator.path))
        os.symlink(f"{source}/tests/tcg/Makefile.target", f"{self.place}/Makefile")
        self.emulator = emulator

    def make(self, goals, records=None):
        variables = dict(os.environ)
        if records:
            variables |= self.emulator.variables(records)
            variables |= {name: os.environ[name] for name in ("PATH",)}
        variables["LC_ALL"] = "C.UTF-8"
        return self.emulator.execute(["make", "-C", self.place, "V=1", *goals], records, variables, 900)

    def names(self):
        listed = subprocess.run(["make", "-s", "-C", self.place, "help"], check=True, capture_output=True, text=True)
        return [word[4:] for word in listed.stdout.split() if word.startswith("run-")]

    def run(self, name, records=None):
        """Whether the test has passed, and what its program printed."""
        output = f"{self.place}/{'run-' if name.startswith('gdbstub') else ''}{name}.out"
        if os.path.exists(output):
            os.remove(output)
        outcome = self.make([f"run-{name}"], records)
        printed = []
        if os.path.exists(output):
            with open(output, "rb") as file:
                # Threads print their lines in any order.
                printed = sorted(file.read().splitlines())
        result = "skipped" if b"SKIPPED" in outcome.out else "passed" if outcome.status == 0 else "failed"
        return result, printed


def prove(emulator, source, scratch):
    part = Part("tcg")
    tests = Tests(emulator, source, scratch)
    built = tests.make(["-k", "all"])
    if built.status != 0:
        part.case("build", "QEMU's tests cannot be built: " + built.err.decode(errors="replace")[-300:])
        return part
    kept = Records(scratch)
    for name in tests.names():
        result, printed = tests.run(name)
        if result == "skipped":
            part.fails_without(name, "skipped by QEMU's makefiles")
            continue
        # Some print addresses, times or numbers of processes.
        again, printed_again = tests.run(name)
        compared = printed == printed_again
        fault, notes = "", []
        # One directory is for this test, the other for all of them.
        own = Records(scratch)
        for turn, records in (("recording", own), ("from records", own), ("with all records", kept)):
            seen, text = tests.run(name, records)
            if seen != result and seen != again:
                fault = fault or f"{turn}: {seen}, and {result} without records"
            if compared and text != printed:
                # By chance it may have printed the same twice.
                compared = all(tests.run(name)[1] == printed for _ in range(REPEATED))
                fault = fault or (f"{turn}: it prints something else" if compared else "")
            if records.damaged:
                fault = fault or f"{turn}: {records.damaged} records damaged"
            notes.append((records.loaded, records.translated))
        if notes[1][0] == 0 and not fault and notes[0][1]:
            # Blocks that another process has recorded are found.
            fault = f"no record was used; {notes}"
        own.remove()
        note = f"{notes[1][0]} blocks of {sum(notes[1])} from records" + ("" if compared else "; output varies")
        if result == "failed" and not fault:
            part.fails_without(name, f"fails without records too; {note}")
        else:
            part.case(name, fault, note)
    kept.remove()
    return part
