"""Guest architectures: what Debian's programs and those in programs/ print, and the CPU time that the
shortest programs save."""
import statistics

from emulator import Part, Records
from programs import COMPILERS, SOURCES, build, three_times
from spoil import programs

ROUNDS = 5
SHORT = {"true": ["true"], "bash -c :": ["bash", "-c", ":"], "perl -e 1": ["perl", "-e", "1"]}


def prove(emulators, scratch):
    part = Part("guests")
    for emulator in emulators:
        guest(part, emulator, scratch)
    return part


def guest(part, emulator, scratch):
    target = emulator.target
    records = Records(scratch)
    fault, blocks = "", [0, 0]
    for line in [*SHORT.values(), *programs(emulator.root)]:
        expected = emulator.run(line)
        for turn in ("recording", "from records"):
            seen = emulator.run(line, records)
            if seen != expected:
                fault = fault or f"{turn}: {line[0]}: {seen} instead of {expected}"
            if records.damaged or records.ignored:
                fault = fault or f"{turn}: {line[0]}: {records.damaged} records damaged, {records.ignored}"
        blocks[0] += records.loaded
        blocks[1] += records.loaded + records.translated
    part.case(f"{target}, Debian's programs", fault, f"{blocks[0]} blocks of {blocks[1]} from records")
    if target in COMPILERS:
        for name in SOURCES:
            program = build(target, name, scratch, "-static")
            own = Records(scratch)
            three_times(part, f"{target}, {name}", lambda records, program=program: emulator.run([program], records), own)
            own.remove()
    for name, line in SHORT.items():
        times = {"without": [], "with": []}
        for _ in range(ROUNDS):
            times["without"].append(emulator.cpu_time(lambda line=line: emulator.run(line)))
            times["with"].append(emulator.cpu_time(lambda line=line: emulator.run(line, records)))
        without, with_records = (statistics.median(values) for values in times.values())
        part.note(f"{target}, {name}", f"{without:.1f} ms without, {with_records:.1f} ms with records: {without / with_records:.1f} times faster")
    records.remove()
