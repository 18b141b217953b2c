"""Damages files of records, and checks that programs do the same with them.

Each file is damaged as its seed says, and used twice: the first program appends to it what it had to
translate, the second reads that. Exit status, standard output and error must be those without
records.
"""
import os
import random

import records
from emulator import Part, Records, difference

# What QEMU replaces, if it has to, is not larger.
LARGEST = 64 << 20
# CPU models that are not the emulators' own default.
ANOTHER_MODEL = {"aarch64": "cortex-a53", "arm": "cortex-a15", "riscv64": "rv64", "x86_64": "qemu64"}


def programs(root):
    return [
        ["sh", "-c", "i=0; while [ $i -lt 50 ]; do i=$((i+1)); done; echo $i $((i*i)); exit 7"],
        ["sha256sum", f"{root}/usr/bin/env"],
        ["seq", "-w", "1", "7", "99"],
        ["sort", "-r", f"{root}/etc/debian_version"],
        ["mawk", "BEGIN { for (i = 0; i < 50; i++) s += sin(i) * i; printf \"%.9f\\n\", s }"],
        ["bash", "-c", "a=(3 1 2); echo ${a[@]/1/x}; (exit 3); echo $?; kill -USR1 $$"],
        ["ls", "/nonexistent"],
        ["perl", "-e", "printf '%s %.6f', join(',', map { $_ ** 2 } 1..20), atan2(1, 2)"],
    ]


def number(source):
    return source.choice([0, 1, 7, 8, 15, 16, 31, 63, 64, 255, 4095, 0x7fff, 0x8000, 0xfffc, 0xfffe, 0xffff, 0x10000,
                          0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff, 1 << 32, (1 << 63) - 1, 1 << 63,
                          records.MASK - 15, records.MASK, source.getrandbits(16), source.getrandbits(32),
                          source.getrandbits(64)])


# Each takes the file, where its records are, and a source of random numbers.
def flipped(data, places, source):
    for _ in range(source.choice([1, 1, 10, 1000, 20000])):
        data[source.randrange(len(data))] ^= 1 << source.randrange(8)


def flipped_in_each_record(data, places, source):
    for at, end in places:
        data[source.randrange(at, end)] ^= 1 << source.randrange(8)


def cut(data, places, source):
    index = records.HEADER + records.SLOT * records.field(data, "slots")
    del data[source.choice([0, 1, 8, 143, 255, 256, 257, 511, 512, index - 1, index, source.randrange(len(data)),
                            source.randrange(len(data)), source.choice(places)[0] + 32]):]


def cut_at_a_page(data, places, source):
    del data[4096 * source.randrange(len(data) // 4096):]


def longer(data, places, source):
    data += source.randbytes(source.choice([1, 15, 16, 4096, 100000]))


def header(data, places, source):
    name = source.choice([*records.FIELDS, "end", "slots"])
    value = number(source)
    if name == "count":
        # A count is believed as far as the disk goes; the size of the file is checked below.
        value &= (1 << 25) - 1
    sealed = source.random() < 0.6 and name != "checksum"
    records.set_field(data, name, value)
    if sealed:
        records.seal_header(data)


def foreign(data, places, source):
    """Of another version, build, CPU, page size, model, host, or byte order."""
    name = source.choice(["version", "build", "features", "page", "model", "machine", "order"])
    if name == "order":
        for at, size in records.FIELDS.values():
            data[at:at + size] = data[at:at + size][::-1]
    else:
        records.set_field(data, name, records.field(data, name) ^ (1 << source.randrange(8)))
        records.seal_header(data)


def index(data, places, source):
    kind = source.randrange(6)
    filled = set(records.slots(data))
    for at in range(records.HEADER, places[0][0], records.SLOT):
        hashed, place = records.get(data, at + 4, 4), None
        if kind == 1:
            hashed = source.getrandbits(32)
            place = source.choice(places)[0]
        elif kind == 4:
            hashed = place = 0
        elif at not in filled:
            continue
        elif kind == 0:
            place = source.getrandbits(32) * records.ALIGN
        elif kind == 2:
            place = source.randrange(len(data))
        elif kind == 3:
            place = source.choice(places)[0]
        else:
            place = source.choice([0xffffffff * records.ALIGN, len(data), len(data) - 16, 0, 16])
        records.put(data, at, 4, place // records.ALIGN)
        records.put(data, at + 4, 4, hashed)


def record_headers(data, places, source):
    size = source.choice([1, 2, 4, 8])
    inside, share = source.randrange(0, records.RECORD, size), source.choice([1, 0.5, 0.01])
    for at, _ in places:
        if source.random() < share:
            records.put(data, at + inside, size, number(source))


def outside(data, places, source):
    """Offsets and lengths outside the record, with right checksums."""
    inside, size, values = source.choice(records.OUTSIDE)
    share = source.choice([1, 0.5, 0.01])
    for at, _ in places:
        if source.random() < share:
            records.put(data, at + inside, size, source.choice(values))
            records.seal_record(data, at)


def pages(data, places, source):
    zeros, first = source.random() < 0.5, source.choice([0, places[0][0] // 4096 + 1])
    for _ in range(source.choice([1, 10, 1000])):
        page = 4096 * source.randrange(first, len(data) // 4096)
        data[page:page + 4096] = bytes(4096) if zeros else source.randbytes(4096)


def exchanged(data, places, source):
    for _ in range(source.choice([1, 100, 2000])):
        (a, end), (b, other) = source.choice(places), source.choice(places)
        n = min(end - a, other - b, source.choice([64, 1 << 30]))
        data[a:a + n], data[b:b + n] = data[b:b + n], data[a:a + n]


def another_file(data, places, source):
    data[:] = source.choice([b"", bytes(4096), source.randbytes(100000), data[:256], data[:256] + source.randbytes(200000)])


KINDS = [flipped, flipped_in_each_record, cut, cut_at_a_page, longer, header, foreign, index, record_headers, outside,
         pages, exchanged, another_file]


class Kind:
    """What came of the files that were damaged in one way."""

    def __init__(self):
        self.files = self.used = self.damaged = self.ignored = 0
        self.fault = ""


def prove(emulator, scratch, seed, count):
    part = Part("spoil")
    lines = programs(emulator.root)
    expected = [emulator.run(line) for line in lines]
    good = Records(scratch)
    # The file knows half of what the programs need, so that others append to it.
    for line in lines[::2]:
        emulator.run(line, good)
    [path] = good.files()
    with open(path, "rb") as file:
        data = file.read()
    fault = records.check(data)
    for line, outcome in zip(lines, expected):
        fault = fault or difference(outcome, emulator.run(line, good))
    places = records.records(data)
    part.case("before any damage", fault, f"{len(data) >> 10} KiB, {len(places)} records")
    of_another_model(part, emulator, scratch, (path, lines, expected))
    kinds = {kind: Kind() for kind in KINDS}
    for number_of in range(seed, seed + count):
        source = random.Random(number_of)
        kind = KINDS[number_of % len(KINDS)]
        spoilt(emulator, scratch, number_of, source, (kind, kinds[kind]), (os.path.basename(path), data, places),
               (lines, expected))
    for kind, seen in kinds.items():
        if seen.files:
            part.case(kind.__name__.replace("_", " "), seen.fault, f"{seen.files} files, {2 * seen.files} runs: {seen.used} used "
                      f"records, {seen.damaged} found damaged ones, {seen.ignored} ignored the file")
    return part


def of_another_model(part, emulator, scratch, good):
    """Records that another CPU model made, under the name of this one's: the first process replaces the
    file, the second uses what it has written."""
    path, lines, expected = good
    made, given = Records(scratch), Records(scratch)
    emulator.run(lines[0], made, ("-cpu", ANOTHER_MODEL[emulator.target]))
    [other] = made.files()
    fault = "it has the same name" if os.path.basename(other) == os.path.basename(path) else ""
    os.rename(other, f"{given.path}/{os.path.basename(path)}")
    notes = []
    for _ in range(2):
        fault = fault or difference(expected[0], emulator.run(lines[0], given))
        notes.append((given.loaded > 0, given.ignored))
    if notes != [(False, ["for another build, host or CPU model"]), (True, [])]:
        fault = fault or f"used, and ignored: {notes}"
    part.case("of another CPU model", fault)
    for records_of in (made, given):
        records_of.remove()


def spoilt(emulator, scratch, seed, source, kinds, good, programs_of):
    kind, seen = kinds
    name, data, places = good
    lines, expected = programs_of
    directory = Records(scratch)
    bad = bytearray(data)
    kind(bad, places, source)
    with open(f"{directory.path}/{name}", "wb") as file:
        file.write(bad)
    os.chmod(f"{directory.path}/{name}", 0o600)
    seen.files += 1
    for turn in (1, 2):
        which = source.randrange(len(lines))
        if different := difference(expected[which], emulator.run(lines[which], directory, patience=120)):
            seen.fault = seen.fault or f"seed {seed}, turn {turn}, {lines[which][0]}: {different}"
        seen.used += directory.loaded > 0
        seen.damaged += directory.damaged > 0
        seen.ignored += len(directory.ignored) > 0
    size = sum(os.path.getsize(path) for path in directory.files())
    if size > LARGEST:
        seen.fault = seen.fault or f"seed {seed}: the directory has {size >> 20} MiB afterwards"
    directory.remove()
