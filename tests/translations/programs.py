"""Programs that are hard for an emulator which keeps code, in programs/, and languages with
compilers of their own, among them Debian's java, node, luajit, pypy3, guile and php.

Each runs without records, with an empty directory, and from the records.
"""
import os
import re
import subprocess

from emulator import Outcome, Part, Records, difference

PROGRAMS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs")
COMPILERS = {
    "aarch64": "aarch64-linux-gnu-gcc", "arm": "arm-linux-gnueabihf-gcc", "riscv64": "riscv64-linux-gnu-gcc",
    "x86_64": "gcc",
}
# Programs in C, as the comments in them say.
SOURCES = ("modify", "replace", "links", "faults", "threads", "forks", "timers", "trace")
MODELS = ("cortex-a53", "neoverse-n1", "max", "max,sve=off", "cortex-a53")
JAVA = "/usr/lib/jvm/java-21-openjdk-arm64/bin/java"
LANGUAGES = {
    "java": ("Jit.java", [JAVA, "-XX:+UseSerialGC", "-Xshare:off", "Jit.java"]),
    "node": ("jit.js", ["node", "jit.js"]),
    "luajit": ("jit.lua", ["luajit", "jit.lua"]),
    "pypy3": ("jit.py", ["pypy3", "jit.py"]),
    "guile": ("jit.scm", ["guile-3.0", "--no-auto-compile", "jit.scm"]),
    "php": ("jit.php", ["php8.4", "-n", "-d", "zend_extension=opcache", "-d", "opcache.enable_cli=1", "-d",
                        "opcache.jit=tracing", "-d", "opcache.jit_buffer_size=16M", "jit.php"]),
    "grep -P": ("jit.js", ["grep", "-nP", "(?<=a)\\s*=>\\s*(\\w|\\{)+|^n\\W", "jit.js"]),
}
SHELL = {
    "bash, many processes": """for i in {1..80}; do (exit $i); echo $?; done | md5sum
        for i in {1..40}; do echo $i & done | sort -n | md5sum; wait
        trap 'echo caught' USR1; kill -USR1 $$; { (kill -9 $BASHPID); } 2>/dev/null; echo $?
        diff <(seq 300) <(seq 1 2 300) | wc -l""",
    "perl": """perl -e 'for (1..20) { my $p = fork; exit $_ unless $p; waitpid $p, 0; print $? >> 8, " " }
        $SIG{ALRM} = sub { print "alarm\\n" }; alarm 1; sleep 3;
        print join(",", map { sprintf "%.9f", sin } 1..50), "\\n"; print unpack("%32C*", join "", 1..9999), "\\n"'""",
    "python3": """python3 -c 'import hashlib, threading, subprocess
r = {}
def work(i): r[i] = hashlib.sha256(str(sum(k * i for k in range(3000))).encode()).hexdigest()
t = [threading.Thread(target=work, args=(i,)) for i in range(8)]
[x.start() for x in t]; [x.join() for x in t]
print(sorted(r.items())[-1], subprocess.run(["seq", "3"], capture_output=True).stdout)'""",
    "emulated within": "for i in 1 2 3; do sh -c 'exec env true'; echo $?; done; nonexistent; echo $?; exit 3",
}


def build(target, name, scratch, *options):
    program = os.path.join(scratch, f"{name}.{target}")
    subprocess.run([COMPILERS[target], "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", program,
                    f"{PROGRAMS}/{name}.c", *options, "-lm"], check=True)
    return program


def three_times(part, name, run, records, reused=True):
    """Compares a program's runs with `records`: while it records, and from the records."""
    expected = run(None)
    fault = "" if expected.status in (0, 3) else f"it fails: {expected.status}, {expected.err[-200:]}"
    notes = []
    for turn in ("recording", "from records"):
        seen = run(records)
        if different := difference(expected, seen):
            fault = fault or f"{turn}: {different}"
        if records.damaged or records.ignored:
            fault = fault or f"{turn}: {records.damaged} records damaged, {records.ignored}"
        notes.append((records.loaded, records.translated))
    if reused and notes[1][0] == 0:
        fault = fault or "no record was used"
    part.case(name, fault, f"{notes[1][0]} blocks of {sum(notes[1])} from records")


def debug(emulator, program, records):
    """A debugger's session with QEMU: what it and the program print."""
    socket = f"{emulator.scratch}/gdb"
    if os.path.exists(socket):
        os.remove(socket)
    line = f"""'{emulator.path}' -g '{socket}' '{program}' & trap 'kill $! 2>/dev/null' EXIT
        n=0; until [ -e '{socket}' ]; do sleep 0.05; n=$((n + 1)); [ $n -lt 200 ] || exit 9; done
        gdb-multiarch -q -nx -batch '{program}' -ex 'target remote {socket}' -x '{PROGRAMS}/steps.gdb' 2>&1
        wait $!; echo "ended with $?" """
    variables = emulator.variables(records) | {"PATH": os.environ["PATH"]}
    seen = emulator.execute(["sh", "-c", line], records, variables, 120)
    return Outcome(seen.status, re.sub(rb"process \d+", b"process", seen.out), b"")


def prove(emulator, scratch):
    part = Part("programs")
    together = Records(scratch)
    for name in SOURCES:
        program = build(emulator.target, name, scratch)
        records = Records(scratch)
        three_times(part, name, lambda records, program=program: emulator.run([program], records), records)
        three_times(part, f"{name}, static", lambda records, program=build(emulator.target, name, scratch, "-static"):
                    emulator.run([program], records), together)
        records.remove()
    program = build(emulator.target, "steps", scratch, "-static", "-g")
    three_times(part, "gdb: break, step, watch, change", lambda records: debug(emulator, program, records), Records(scratch),
                reused=False)
    models(part, emulator, scratch)
    bases(part, emulator, scratch)
    for name, (source, command) in LANGUAGES.items():
        three_times(part, name, lambda records, source=source, command=command:
                    emulator.inside(command, records, files=[f"{PROGRAMS}/{source}"]), Records(scratch))
    for name, script in SHELL.items():
        three_times(part, name, lambda records, script=script: emulator.inside(["bash", "-c", script], records),
                    Records(scratch))
    return part


def models(part, emulator, scratch):
    """CPU models, one after the other with one directory: each has its own file."""
    records = Records(scratch)
    program = build(emulator.target, "modify", scratch)
    for turn in ("recording", "from records"):
        for model in MODELS:
            for way, options, extra in (("-cpu", ("-cpu", model), {}), ("QEMU_CPU", (), {"QEMU_CPU": model})):
                expected = emulator.run([program], None, options, extra)
                fault = difference(expected, emulator.run([program], records, options, extra))
                if turn == "from records" and not records.loaded:
                    fault = fault or "no record was used"
                part.case(f"{way} {model}, {turn}", fault, f"{records.loaded} blocks from records")
    expected = len(set(MODELS))
    files = len(records.files())
    part.case("a file for each model", "" if files == expected else f"{files} instead of {expected}")
    records.remove()


def bases(part, emulator, scratch):
    """The guest's memory at other addresses of the process, one after the other with one directory;
    also where QEMU may not keep that address in a segment register."""
    forbid = build("x86_64", "forbid", scratch)
    program = build(emulator.target, "modify", scratch, "-static")
    records = Records(scratch)
    for turn in ("recording", "from records"):
        for base in ("0x10000000", "0x40000000", "0x2000000000"):
            for way in ("", "without gs"):
                line = [emulator.path, "-B", base, program]
                if way:
                    line = [forbid, "gs", *line]
                expected = emulator.execute(line, None, emulator.variables(None), 60)
                seen = emulator.execute(line, records, emulator.variables(records), 60)
                fault = difference(expected, seen)
                if expected.status != 0:
                    fault = fault or f"it fails: {expected.err[-200:]}"
                part.case(f"-B {base} {way}, {turn}".replace(" ,", ","), fault, f"{records.loaded} blocks from records")
    records.remove()
