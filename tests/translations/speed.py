"""CPU time of programs that every build starts: on the host's CPU, with Debian's emulator registered
directly, and with an image of the emulator that keeps translations, without them and with those of
the usual training."""
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys

from emulator import Part, rule

ROUNDS = 9
WORKS = {
    "true": ["true"],
    "bash": ["bash", "-c", ":"],
    "perl": ["perl", "-e", "1"],
    "python3": ["python3", "-S", "-c", "1"],
    "loop": ["sh", "-c", "i=0; while [ $i -lt 40 ]; do /bin/true; i=$((i+1)); done"],
    "gcc": ["gcc", "-O2", "-c", "-o", "/tmp/list.o", "/tmp/list.c"],
}
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs", "list.c")
REGISTRY = "/proc/sys/fs/binfmt_misc"
NATIVE = "native"
TARGET = "aarch64"


def prove(tool, direct, emulator, roots, scratch, results):
    """`tool` is the command, `direct` Debian's emulator; `roots` are those of the target and of the host."""
    part = Part("speed")
    images = {"without": f"{scratch}/without", "with": f"{scratch}/with"}
    make(tool, emulator, images["without"])
    make(tool, emulator, images["with"], "--translate", roots[0])
    ways = {NATIVE: None, "direct": (direct, "OCF"), **{name: (image, "POCF") for name, image in images.items()}}
    request = json.dumps({"ways": ways, "roots": roots})
    line = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, __file__, request]
    times = json.loads(subprocess.run(line, check=True, stdout=subprocess.PIPE).stdout)
    for name, of_way in times.items():
        medians = {way: statistics.median(values) for way, values in of_way.items()}
        ratio = medians["direct"] / medians["with"]
        part.note(name, ", ".join(f"{way} {value:.1f} ms" for way, value in medians.items()) + f": {ratio:.2f}")
    size = os.path.getsize(images["with"]) - os.path.getsize(images["without"])
    part.note("size", f"translations take {size / 1e6:.1f} MB in the image")
    if results:
        with open(results, "w") as file:
            json.dump({"bytes": size, "works": times}, file, indent=1)
            file.write("\n")
    return part


def make(tool, emulator, image, *options):
    """Writes an image with an emulator."""
    subprocess.run([tool, "image", "--from", f"{TARGET}={emulator}", "-o", image, *options, TARGET], check=True)


def measure(ways, roots):
    """The times of every work, way and round. This process is root in namespaces of its own."""
    subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", REGISTRY], check=True)
    for root in roots:
        for name in ("proc", "dev"):
            subprocess.run(["mount", "--rbind", f"/{name}", f"{root}/{name}"], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", f"{root}/tmp"], check=True)
        shutil.copy(SOURCE, f"{root}/tmp")
    times = {name: {way: [] for way in ways} for name in WORKS}
    for number in range(ROUNDS + 1):
        for name, command in WORKS.items():
            for way, registered in ways.items():
                if registered:
                    register(*registered)
                took = cpu_time(roots[0] if registered else roots[1], command)
                # The first round fills the page cache.
                if number > 0:
                    times[name][way].append(round(took, 2))
    return times


def register(file, flags):
    if os.path.exists(f"{REGISTRY}/{TARGET}"):
        with open(f"{REGISTRY}/{TARGET}", "w") as entry:
            entry.write("-1")
    with open(f"{REGISTRY}/register", "w") as registry:
        registry.write(rule(TARGET, file, flags))


def cpu_time(root, command):
    """Milliseconds that a command takes in a root directory, with its children."""
    child = os.fork()
    if child == 0:
        try:
            os.chroot(root)
            os.chdir("/tmp")
            os.dup2(os.open("/dev/null", os.O_RDWR), 1)
            os.execve(f"/usr/bin/{command[0]}", command, {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"})
        finally:
            os._exit(127)
    _, status, usage = os.wait4(child, 0)
    if status != 0:
        raise RuntimeError(f"{command}: ended with {status}")
    return (usage.ru_utime + usage.ru_stime) * 1000


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
