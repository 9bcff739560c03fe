"""Things to send, and ways to look at what arrived."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

from netbed import MARK, wait_for

MIB = 1 << 20


def random_file(path, size):
    """Writes that many random bytes; returns path."""
    with open(path, "wb") as file:
        while size > 0:
            size -= file.write(os.urandom(min(size, 4 * MIB)))
    return path


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(MIB):
            digest.update(block)
    return digest.hexdigest()


def speed(a, source, copies):
    """MB/s of a few copies to b, by the program that makes them."""
    done = a.sh('begin=${EPOCHREALTIME/./}; '
                'for i in $(seq "$3"); do cp "$1" "$2" || exit 1; done; '
                'echo $((${EPOCHREALTIME/./} - begin))', source,
                a.to("b") / "copy", copies, timeout=100)
    return copies * source.stat().st_size / int(done.stdout)


AWKWARD = ["plain", "with space", " leading", "trailing ", "tab\there",
           "naïve-ü", "日本語", "emoji-🙂", "quote'\"", "back\\slash",
           "-dash", "star*?[x]", "new\nline", "e\u0301-combining", "ключ",
           "$HOME", "%n", "a" * 200, ".hidden", "semi;colon&"]


def make_tree(top, files=1000, seed=1):
    """A tree of small files with awkward names, modes and times of their own,
    some empty, beside empty directories. The same seed gives the same."""
    rng = random.Random(seed)
    directories = [top]
    top.mkdir()
    for number in range(files // 20):
        parent = rng.choice(directories)
        name = f"{AWKWARD[number % len(AWKWARD)]} {number}"
        if len(os.fsencode(parent)) < 1500:
            (parent / name).mkdir()
            directories.append(parent / name)
    for number in range(5):
        (top / f"empty {number}").mkdir()
    for number in range(files):
        path = rng.choice(directories) / (
            f"{number}-{AWKWARD[rng.randrange(len(AWKWARD))]}")
        size = 0 if number % 10 == 0 else rng.randrange(1, 20000)
        path.write_bytes(rng.randbytes(size))
        path.chmod(rng.choice([0o644, 0o600, 0o755, 0o640, 0o664]))
        stamp = 1_000_000_000_000_000_000 + rng.randrange(10**17)
        os.utime(path, ns=(stamp, stamp))
    for path in directories:
        stamp = 1_100_000_000_000_000_000 + rng.randrange(10**17)
        os.utime(path, ns=(stamp, stamp))
    return top


def describe(top):
    """{relative path: (kind, mode, mtime in ns)} of a tree."""
    found = {}
    for directory, names, files in os.walk(top):
        for name in names + files:
            path = Path(directory, name)
            stat = path.lstat()
            found[str(path.relative_to(top))] = (
                "d" if path.is_dir() else "f", stat.st_mode & 0o7777,
                stat.st_mtime_ns)
    return found


class Watcher:
    """Looks at a directory 1,000 times a second from a process of its own
    and remembers what it saw; use it with `with`."""

    def __init__(self, bed, directory):
        self.bed, self.directory = bed, directory

    def __enter__(self):
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("watcher.py")),
             str(self.directory)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
            start_new_session=True, env={**os.environ, MARK: self.bed.id})
        self.bed.processes.append(self.process)
        assert self.process.stdout.readline() == "watching\n"
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        answer = json.loads(self.process.stdout.read())
        self.process.wait()
        self.rounds = answer["rounds"]
        # {name: [size at each sighting that differed from the last]}
        self.sizes = answer["sizes"]


def quantile(values, q):
    return sorted(values)[min(len(values) - 1, int(len(values) * q))]


def wait_gone(process, timeout, what="the program ends"):
    """Its exit status (negative: the signal)."""
    wait_for(lambda: process.poll() is not None, timeout, what,
             interval=0.001)
    return process.returncode
