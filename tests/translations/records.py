"""The layout of a file of records, as docs/translations-format.md has it. Records are taken as bytes
between two offsets; what is known of their inside is in RECORD, OUTSIDE and `seal_record`."""
import struct

VERSION = 1
HEADER, SUMMED, SLOT, ALIGN = 256, 144, 8, 16
# Offset and size of fields.
FIELDS = {"magic": (0, 8), "version": (8, 4), "slots": (12, 4), "build": (16, 8), "features": (48, 8), "page": (56, 4),
          "machine": (60, 4), "model": (64, 8), "checksum": (144, 8), "end": (152, 8), "count": (160, 8)}
# Bytes of a record's header, and where its length is.
RECORD, LENGTH = 64, (8, 4)
# Fields of a record that say where something is, with numbers that are outside.
OUTSIDE = [
    (*LENGTH, [0, 16, 48, 0xfffffff0, 0x7ffffff0, 0xfffffff1]),
    (40, 2, [0xffff, 0x8000, 0x4000]),                                              # size
    (44, 2, [0xfffe, 0x8000]), (46, 2, [0xfffe, 0x8000]),                           # jmp_reset_offset
    (48, 2, [0xfffe, 0xfffd]), (50, 2, [0xfffe, 0xfffd]),                           # jmp_insn_offset
    (54, 2, [0xffff, 0x8000]), (56, 2, [0xffff, 0x8000]),                           # nrefs, nexits
    (58, 2, [0, 1, 3, 0xffff, 0xfff0]), (60, 2, [0xffff, 0xfff0]),                  # code_size, search_size
]
MASK = (1 << 64) - 1


def checksum(data):
    total = len(data)
    for (word,) in struct.iter_unpack("<Q", data):
        total = ((total ^ word) * 0x9E3779B97F4A7C15) & MASK
        total ^= total >> 32
    return total


def get(data, at, size):
    return int.from_bytes(data[at:at + size], "little")


def put(data, at, size, value):
    data[at:at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")


def field(data, name):
    return get(data, *FIELDS[name])


def set_field(data, name, value):
    put(data, *FIELDS[name], value)


def seal_header(data):
    set_field(data, "checksum", checksum(bytes(data[:SUMMED])))


def seal_record(data, at):
    length = get(data, at + LENGTH[0], LENGTH[1])
    if length >= RECORD and length % 8 == 0 and at + length <= len(data):
        put(data, at, 8, checksum(bytes(data[at + 8:at + length])))


def slots(data):
    """Where the slots are that are not empty."""
    places = range(HEADER, HEADER + SLOT * field(data, "slots"), SLOT)
    return [at for at in places if get(data, at, SLOT)]


def records(data):
    """Where the records are that the index names, and where each one ends."""
    places = sorted({get(data, at, 4) * ALIGN for at in slots(data)})
    return list(zip(places, [*places[1:], field(data, "end")]))


def check(data):
    """What is wrong with a file, if anything: what QEMU checks of the header, and of each record that
    the index names its place and length."""
    if len(data) < HEADER or data[:8] != b"tb-recs\0" or field(data, "version") != VERSION:
        return "no file of records"
    if field(data, "checksum") != checksum(data[:SUMMED]):
        return "damaged header"
    end, count = field(data, "end"), 0
    if end > len(data) or end % ALIGN:
        return f"the records end at {end}, the file at {len(data)}"
    for at, _ in records(data):
        length = get(data, at + LENGTH[0], LENGTH[1])
        if length < RECORD or length % ALIGN or at + length > end:
            return f"a record at {at} of {length} bytes"
        if get(data, at, 8) != checksum(data[at + 8:at + length]):
            return f"a damaged record at {at}"
        count += 1
    # A writer that was killed may have named one that it has not counted.
    return "" if count >= field(data, "count") else f"{count} records instead of {field(data, 'count')}"
