"""Proves that programs do the same with records of translated code and without; see ci/translations."""
import argparse
import os
import shutil
import sys
import tempfile

import directory
import guests
import image
import programs
import speed
import spoil
import suites
import tcg
from emulator import Emulator

PARTS = ("tcg", "programs", "spoil", "directory", "image", "suites", "guests", "speed")


def main():
    parser = argparse.ArgumentParser(prog="ci/translations")
    parser.add_argument("--emulators", required=True, help="the directory of the emulators")
    parser.add_argument("--roots", required=True, help="the directory of the root directories")
    parser.add_argument("--source", required=True, help="QEMU's source")
    parser.add_argument("--scratch", required=True, help="a directory for temporary files")
    parser.add_argument("--seed", type=int, default=1, help="first seed of `spoil` and `image`")
    parser.add_argument("--count", type=int, default=300, help="files of `spoil`")
    parser.add_argument("--guests", default="", help="targets of `guests`, with commas")
    parser.add_argument("--tool", default="", help="the command, for `image`, `suites` and `speed`")
    parser.add_argument("--debian", default="", help="the directory of two releases' emulators, for `suites`")
    parser.add_argument("--programs", default="", help="the directory of foreign programs, for `suites`")
    parser.add_argument("--direct", default="", help="the emulator that `speed` registers directly")
    parser.add_argument("--results", default="", help="the file for the results of `speed`")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []])
    options = parser.parse_args()
    scratch = tempfile.mkdtemp(prefix="translations.", dir=options.scratch)
    os.chmod(scratch, 0o755)

    def emulator(target):
        return Emulator(target, f"{options.emulators}/qemu-{target}", f"{options.roots}/{target}", scratch)

    ways = {
        "tcg": lambda: tcg.prove(emulator("aarch64"), options.source, scratch),
        "programs": lambda: programs.prove(emulator("aarch64"), scratch),
        "spoil": lambda: spoil.prove(emulator("aarch64"), scratch, options.seed, options.count),
        "directory": lambda: directory.prove(emulator("aarch64"), scratch),
        "image": lambda: image.prove(options.tool, f"{options.emulators}/qemu-aarch64", f"{options.roots}/aarch64",
                                     scratch, options.seed),
        "suites": lambda: suites.prove(options.tool, options.emulators, options.programs, options.debian, scratch),
        "guests": lambda: guests.prove([emulator(target) for target in options.guests.split(",") if target], scratch),
        "speed": lambda: speed.prove(options.tool, options.direct, f"{options.emulators}/qemu-aarch64",
                                     [f"{options.roots}/build", f"{options.roots}/native"], scratch, options.results),
    }
    try:
        done = [ways[name]().ended() for name in PARTS if name in (options.parts or PARTS)]
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print()
    for part in done:
        print(part.summary())
    passed, failed = (sum(getattr(part, field) for part in done) for field in ("passed", "failed"))
    print(f"translations: {passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
