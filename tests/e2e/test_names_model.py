"""Random changes of a tree under peers/, the same on an ordinary disk.

Each operation ends alike in both places, and in the end so does the tree that
the peer has. A round's seed is in the assertions' text; all of it is one
process and lasts less than the five seconds in which that may take its files
back, so that unlink means here what it means there.
"""

import errno
import os
import random
import stat
import time
from pathlib import Path

import pytest

from material import sha256
from netbed import wait_for

OPERATIONS = 250
ROUNDS = 12
REMOVE_FOR = 4  # seconds from the beginning of a round
NAMES = ["a", "b", "c", "naïve", "d d", "-e"]


class Tree:
    """One of the two places; every operation is a number of an errno, or 0."""

    def __init__(self, top):
        self.top = top
        top.mkdir()

    def write(self, path, data):
        (self.top / path).write_bytes(data)

    def append(self, path, data):
        if not (self.top / path).exists():  # what O_APPEND would make
            raise OSError(errno.ENOENT, "not there")
        with open(self.top / path, "ab") as file:
            file.write(data)

    def written_elsewhere(self, path, new, data):
        """Renamed while it is open."""
        if (self.top / path).is_symlink():
            # It could be renamed over the very file that is open, which ends
            # that transfer (test_names.py).
            raise OSError(errno.EMLINK, "left out")
        with open(self.top / path, "wb") as file:
            file.write(data[:5])
            file.flush()
            os.rename(self.top / path, self.top / new)
            file.write(data[5:])

    def mkdir(self, path):
        os.mkdir(self.top / path)

    def symlink(self, path, target):
        os.symlink(target, self.top / path)

    def rename(self, path, new):
        os.rename(self.top / path, self.top / new)

    def unlink(self, path):
        os.unlink(self.top / path)

    def rmdir(self, path):
        os.rmdir(self.top / path)

    def chmod(self, path, mode):
        # Of a link it would be that of what it points to.
        if not (self.top / path).is_symlink():
            os.chmod(self.top / path, mode)

    def utime(self, path, ns):
        os.utime(self.top / path, ns=(ns, ns), follow_symlinks=False)

    def settle(self):
        """What was removed is removed there, too: requests are answered in
        order, but a file may be committed before an earlier one of them."""
        for old, new in ("settle", "settled"), ("settled", "settle"):
            if (self.top.parent / old).exists():
                os.rename(self.top.parent / old, self.top.parent / new)
                return
        (self.top.parent / "settle").write_bytes(b"")
        self.settle()

    def try_it(self, name, *args):
        try:
            getattr(self, name)(*args)
        except OSError as error:
            return errno.errorcode[error.errno]
        return 0


def describe(top):
    """{path: what is there}; the times of directories apart."""
    found = {}
    for path in sorted(Path(top).rglob("*")):
        st = path.lstat()
        what = [stat.filemode(st.st_mode)]
        if path.is_symlink():
            what.append(os.readlink(path))
        elif path.is_file():
            what += [st.st_mtime_ns, sha256(path)[:8]]
        found[str(path.relative_to(top))] = what
    return found


def choose(rng, known):
    """A path that may be there, at most three names long."""
    if known and rng.random() < 0.7:
        return rng.choice(known)
    path = rng.choice(NAMES)
    below = [p for p in known if p.count("/") < 2]
    if below and rng.random() < 0.6:
        path = f"{rng.choice(below)}/{path}"
    return path


def operation(rng, known, number, may_remove):
    one, two = choose(rng, known), choose(rng, known)
    data = f"{number}:{one}".encode() * rng.randrange(1, 400)
    kinds = [("write", one, data), ("write", one, data), ("append", one, data),
             ("written_elsewhere", one, two, data), ("mkdir", one),
             ("mkdir", one), ("symlink", one, rng.choice(NAMES)),
             ("rename", one, two), ("rename", one, two),
             ("rename", one, two), ("chmod", one, rng.choice([0o700, 0o751])),
             ("utime", one, 10**18 + number * 1000 + 1)]
    if may_remove:
        kinds += [("unlink", one), ("rmdir", one)]
    return rng.choice(kinds)


def paths_of(top):
    return [str(path.relative_to(top)) for path in sorted(top.rglob("*"))]


def freeze_times(tree, top):
    """Every file gets a time that both places can agree on."""
    for number, path in enumerate(paths_of(top)):
        tree.utime(path, 2 * 10**18 + number)


@pytest.mark.sanitize
@pytest.mark.limit(300)
def test_names_are_like_those_of_an_ordinary_disk(pair, scratch):
    first = int(os.environ.get("GTFS_SEED") or random.randrange(10**6))
    for seed in range(first, first + ROUNDS):
        rng = random.Random(seed)
        name = f"round {seed}"
        here, model = Tree(pair.ab / name), Tree(scratch / name)
        began = time.monotonic()
        for number in range(OPERATIONS):
            known = paths_of(model.top)
            may_remove = time.monotonic() - began < REMOVE_FOR
            what = operation(rng, known, number, may_remove)
            expected, got = model.try_it(*what), here.try_it(*what)
            where = f"seed {seed}, operation {number}: {what[:3]!r:.120}"
            print(where, got, sep=": ")
            assert got == expected, where
            if may_remove and not got and what[0] in ("unlink", "rmdir"):
                here.settle()
        for tree in model, here:
            freeze_times(tree, model.top)
        assert paths_of(here.top) == paths_of(model.top), f"seed {seed}"
        there = pair.b.backing / name
        wait_for(lambda: describe(there) == describe(model.top), 10,
                 lambda: f"seed {seed}: {differences(there, model.top)}")
    pair.b.wait_spool_empty()


def differences(there, model):
    one, two = describe(there), describe(model)
    return [(path, one.get(path), two.get(path))
            for path in sorted(one.keys() | two.keys())
            if one.get(path) != two.get(path)]
