"""Random operations on one file, beside a plain file that is known to be right.

As fsx does it: every result is compared at once, the whole content from time to
time. Several descriptors are open at a time, one of them appends.

usage: exerciser.py SEED OPERATIONS SEEN RIGHT DELIVERED

SEEN and RIGHT are the two places; DELIVERED has the same content whenever the
file was closed. Says in JSON how often it did what.
"""

import ctypes
import errno
import json
import mmap
import os
import random
import sys

from material import sha256

ROUNDS = 5
SIZE_MAX = 1 << 20
LENGTH_MAX = 200000
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 0x10
_libc = ctypes.CDLL(None, use_errno=True)


def fallocate(fd, mode, offset, length):
    if _libc.fallocate(fd, mode, ctypes.c_int64(offset),
                       ctypes.c_int64(length)) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


class Exerciser:
    """One file at two places, and the descriptors that are open of it."""

    def __init__(self, seed, seen, right):
        self.rng = random.Random(seed)
        self.noise = memoryview(self.rng.randbytes(4 * SIZE_MAX))
        self.seed, self.seen, self.right = seed, seen, right
        self.number, self.done = 0, {}
        self.fds, self.appending = [], []
        self.open(os.O_CREAT | os.O_EXCL)

    def open(self, flags=0):
        """Two descriptors to write and read with, and one that appends."""
        for fds, more in ((self.fds, flags), (self.fds, 0),
                          (self.appending, os.O_APPEND)):
            for path in self.seen, self.right:
                fds.append(os.open(path, os.O_RDWR | more, 0o644))

    def close(self):
        for fd in self.fds + self.appending:
            os.close(fd)
        self.fds, self.appending = [], []

    def pair(self):
        at = 2 * self.rng.randrange(len(self.fds) // 2)
        return self.fds[at], self.fds[at + 1]

    def fail(self, text):
        raise AssertionError(
            f"operation {self.number}, seed {self.seed}: {text}")

    def both(self, name, operation, fds):
        results = []
        for fd in fds:
            try:
                results.append(operation(fd))
            except OSError as e:
                results.append(errno.errorcode.get(e.errno, e.errno))
        self.done[name] = self.done.get(name, 0) + 1
        if results[0] != results[1]:
            self.fail(f"{name}: {describe(results)}")

    def size(self):
        return os.fstat(self.fds[1]).st_size

    # --- operations

    def place(self, length):
        """Mostly within the file or at its end, sometimes beyond."""
        end = min(self.size() + self.rng.choice((0, 0, 1, 70000)), SIZE_MAX)
        return min(self.rng.randrange(end + 1), SIZE_MAX - length)

    def length(self):
        """Mostly small: what is special about large ones is soon seen."""
        kind = self.rng.randrange(16)
        if kind < 3:
            return (65536, 100000, self.rng.randrange(1, LENGTH_MAX))[kind]
        return (1, 7, 512, 4096, 5000)[kind % 5]

    def data(self, length):
        at = self.rng.randrange(len(self.noise) - length)
        return self.noise[at:at + length]

    def write(self):
        length = self.length()
        offset = self.place(length)
        data = self.data(length)
        self.both("write", lambda fd: os.pwrite(fd, data, offset), self.pair())

    def append(self):
        data = self.data(self.rng.randrange(1, 3000))
        if self.size() + len(data) <= SIZE_MAX:
            self.both("append", lambda fd: os.write(fd, data), self.appending)

    def read(self):
        length = self.length()
        offset = self.place(length)
        self.both("read", lambda fd: os.pread(fd, length, offset), self.pair())

    def mapped(self):
        """A private mapping goes through pages, unlike read(2)."""
        length = self.size()
        if not length:
            return
        at = self.rng.randrange(length)

        def look(fd):
            with mmap.mmap(fd, length, mmap.MAP_PRIVATE,
                           mmap.PROT_READ) as pages:
                return pages[at:at + 4096]
        self.both("map", look, self.pair())

    def truncate(self):
        size = self.place(0)
        self.both("truncate", lambda fd: os.ftruncate(fd, size), self.pair())

    def allocate(self):
        length = self.length()
        offset = self.place(length)
        mode = self.rng.choice((0, KEEP_SIZE, KEEP_SIZE | PUNCH_HOLE,
                                ZERO_RANGE, ZERO_RANGE | KEEP_SIZE))
        self.both(f"fallocate {mode}",
                  lambda fd: fallocate(fd, mode, offset, length), self.pair())

    def sync(self):
        self.both("fsync", os.fsync, self.pair())

    def look(self):
        self.both("size", lambda fd: os.fstat(fd).st_size, self.pair())

    def seek(self):
        self.both("seek end", lambda fd: os.lseek(fd, 0, os.SEEK_END),
                  self.pair())

    def whole(self):
        self.both("whole", lambda fd: os.pread(fd, SIZE_MAX, 0), self.pair())

    def run(self, operations):
        choices = (self.write,) * 8 + (self.read,) * 6 + (self.truncate,) * 2 \
            + (self.append, self.append, self.allocate, self.look, self.seek)
        rare = (self.sync, self.whole, self.mapped)
        for _ in range(operations):
            self.number += 1
            if self.number % 100:
                self.rng.choice(choices)()
            else:
                self.rng.choice(rare)()


def describe(results):
    if not all(isinstance(result, bytes) for result in results):
        return f"{results[0]!r:.80}, not {results[1]!r:.80}"
    seen, right = results
    if len(seen) != len(right):
        return f"{len(seen)} bytes, not {len(right)}"
    at = next(i for i, pair in enumerate(zip(seen, right))
              if pair[0] != pair[1])
    return f"differs from byte {at} of {len(right)} on"


def exercise(seed, operations, seen, right, delivered):
    one = Exerciser(seed, seen, right)
    try:
        for round in range(ROUNDS):
            if round:
                one.open()
                one.write()  # what was delivered cannot be read
            one.run(operations // ROUNDS)
            one.whole()
            one.close()
            assert sha256(delivered) == sha256(right), \
                f"round {round}, seed {seed}"
    finally:
        one.close()
    return one.done


if __name__ == "__main__":
    print(json.dumps(exercise(*map(int, sys.argv[1:3]), *sys.argv[3:])))
