"""A file that was delivered goes on being written, and is read back."""

import errno
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from inbox_help import KEEP_SIZE, PUNCH_HOLE, fails, fallocate, opened
from material import MIB, wait_gone
from netbed import SCALE, wait_for

PATIENCE = ["--patience", "20"]
COLLAPSE_RANGE, ZERO_RANGE = 8, 16
WHOLE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC

# Opens $1, tells of it, and does to it what its standard input says.
HOLDER = """
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
print("open", flush=True)
for line in sys.stdin:
    try:
        answer = eval(line)
    except OSError as error:
        answer = error.errno
    print(answer, flush=True)
"""


class Holder:
    """A process that has a file open."""

    def __init__(self, mount, path):
        self.process = mount.popen(
            sys.executable, "-c", HOLDER, path, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == "open\n"

    def begin(self, expression):
        self.process.stdin.write(expression + "\n")
        self.process.stdin.flush()

    def answer(self):
        return eval(self.process.stdout.readline())

    def do(self, expression):
        self.begin(expression)
        return self.answer()

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=20 * SCALE) == 0


@pytest.fixture
def holder():
    """holder(mount, path): a Holder, ended with the test."""
    holders = []

    def make(mount, path):
        holders.append(Holder(mount, path))
        return holders[-1]
    yield make
    for one in holders:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def content(pair, name):
    return (pair.b.backing / name).read_bytes()


def send(pair, name, data):
    (pair.ab / name).write_bytes(data)
    assert content(pair, name) == data


# Versions.

@pytest.mark.quick
@pytest.mark.sanitize
def test_append_is_a_new_version(pair):
    for number in range(20):
        pair.a.sh('echo "$2" >> "$1"', pair.ab / "log", number)
        assert pair.b.arrived() == ["log"]
        assert content(pair, "log") == b"".join(
            b"%d\n" % n for n in range(number + 1))
        assert (pair.ab / "log").stat().st_size == len(content(pair, "log"))


def test_patch_is_a_new_version(pair):
    data = bytearray(random.Random(1).randbytes(3 * MIB))
    send(pair, "disk", bytes(data))
    with opened(pair.ab / "disk", os.O_WRONLY) as fd:
        os.pwrite(fd, b"patched", MIB + 17)
    data[MIB + 17:MIB + 24] = b"patched"
    assert content(pair, "disk") == data
    assert pair.b.arrived() == ["disk"]


def test_an_open_that_changes_nothing_costs_nothing(pair):
    send(pair, "kept", b"kept")
    before = (pair.b.backing / "kept").stat()
    with opened(pair.ab / "kept", os.O_RDWR | os.O_APPEND) as fd:
        os.fsync(fd)
        os.ftruncate(fd, 4)
    after = (pair.b.backing / "kept").stat()
    assert (before.st_ino, before.st_ctime_ns) == (after.st_ino,
                                                   after.st_ctime_ns)


def test_truncate_of_what_was_delivered(pair):
    send(pair, "cut", b"0123456789")
    os.truncate(pair.ab / "cut", 4)
    wait_for(lambda: content(pair, "cut") == b"0123", 5, "cut by its path")
    with opened(pair.ab / "cut", os.O_WRONLY) as fd:
        os.ftruncate(fd, 6)
    assert content(pair, "cut") == b"0123\0\0"
    os.truncate(pair.ab / "cut", 0)
    wait_for(lambda: content(pair, "cut") == b"", 5, "emptied by its path")
    assert pair.b.arrived() == ["cut"]


def test_writes_after_a_commit_are_a_new_version(pair, holder):
    first = holder(pair.a, pair.ab / "shared")
    first.do("os.write(fd, b'first ')")
    pair.a.sh('printf second >> "$1"', pair.ab / "shared")
    assert content(pair, "shared") == b"first second"
    assert first.do("os.pwrite(fd, b'FIRST', 0)") == 5
    assert content(pair, "shared") == b"first second"
    assert first.do("os.close(fd)") is None
    assert content(pair, "shared") == b"FIRST second"
    assert pair.b.arrived() == ["shared"]


def test_a_version_of_what_was_touched_is_estale(pair):
    send(pair, "mine", b"delivered")
    (pair.b.backing / "mine").write_bytes(b"edited there")
    fd = os.open(pair.ab / "mine", os.O_WRONLY | os.O_APPEND)
    with fails(errno.ESTALE):
        os.write(fd, b" more")
    with fails(errno.ESTALE):
        os.write(fd, b" more")
    with fails(errno.ESTALE):
        os.fsync(fd)
    with fails(errno.ESTALE):
        os.close(fd)
    assert content(pair, "mine") == b"edited there"
    assert pair.b.arrived() == ["mine"]


def test_a_failed_version_leaves_the_one_before(pair, holder):
    send(pair, "survivor", b"one\n")
    writer = holder(pair.a, pair.ab / "survivor")
    writer.do("os.pwrite(fd, b'half of two', 4)")
    writer.process.kill()
    writer.process.wait()
    pair.b.wait_spool_empty()
    assert content(pair, "survivor") == b"one\n"
    wait_for(lambda: (pair.ab / "survivor").stat().st_size == 4, 5,
             "the entry shows the version before")
    pair.a.sh('echo two >> "$1"', pair.ab / "survivor")
    assert content(pair, "survivor") == b"one\ntwo\n"


def test_a_failed_transfer_stays_with_its_descriptors(pair, holder):
    send(pair, "again", b"delivered")
    (pair.b.backing / "again").write_bytes(b"edited there")
    failed = holder(pair.a, pair.ab / "again")
    assert failed.do("os.write(fd, b'x')") == errno.ESTALE
    pair.a.sh('echo anew > "$1"', pair.ab / "again")
    assert failed.do("os.write(fd, b'x')") == errno.ESTALE
    assert failed.do("os.close(fd)") == errno.ESTALE
    assert content(pair, "again") == b"edited there"
    assert content(pair, "again (2)") == b"anew\n"


def test_a_killed_creator_harms_no_other_writer(pair, holder):
    creator = holder(pair.a, pair.ab / "handed on")
    writer = holder(pair.a, pair.ab / "handed on")
    writer.do("os.write(fd, b'half ')")
    creator.process.kill()
    creator.process.wait()
    assert writer.do("os.write(fd, b'whole')") == 5
    assert writer.do("os.close(fd)") is None
    assert content(pair, "handed on") == b"half whole"


def test_where_both_have_written_a_kill_ends_it(pair, holder):
    one, two = (holder(pair.a, pair.ab / "torn") for _ in range(2))
    one.do("os.write(fd, b'one')")
    two.do("os.pwrite(fd, b'two', 3)")
    one.process.kill()
    one.process.wait()
    assert two.do("os.write(fd, b'more')") == errno.ECANCELED
    assert two.do("os.close(fd)") == errno.ECANCELED
    pair.b.wait_spool_empty()
    assert "torn" not in pair.b.arrived()


def test_a_failed_replacement_leaves_what_it_was_renamed_over(pair, holder):
    send(pair, "target", b"one\n")
    writer = holder(pair.a, pair.ab / "replacement")
    writer.do("os.write(fd, b'half of another')")
    os.rename(pair.ab / "replacement", pair.ab / "target")
    writer.process.kill()
    writer.process.wait()
    pair.b.wait_spool_empty()
    wait_for(lambda: (pair.ab / "target").stat().st_size == 4, 5,
             "the entry shows what is there")
    assert "replacement" not in os.listdir(pair.ab)
    pair.a.sh('echo two >> "$1"', pair.ab / "target")
    assert content(pair, "target") == b"one\ntwo\n"
    pair.a.sh('echo three > "$1"', pair.ab / "target")
    assert content(pair, "target") == b"three\n"
    assert "target (2)" not in pair.b.arrived()


def test_a_file_emptied_during_its_commit_is_the_newer_one(pair):
    """The child's close is a checkpoint: RELEASE commits, seen by nobody."""
    program = """
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
if os.fork() == 0:
    os.write(fd, b"x" * 3000000)
    os._exit(0)
os.close(fd)
os.wait()
"""
    for number in range(10):
        name = f"twice {number}"
        pair.a.sh('"$1" -c "$2" "$3"', sys.executable, program,
                  pair.ab / name)
        (pair.ab / name).write_bytes(b"new")
        assert content(pair, name) == b"new"
    assert not [name for name in pair.b.arrived() if " (2)" in name
                and name.startswith("twice")]


def test_an_append_right_after_a_change_is_no_surprise(pair):
    """The peer copies the file while it takes its new mode and time."""
    path = pair.ab / "changed"
    send(pair, "changed", b"")
    for number in range(200):
        os.chmod(path, 0o600 | number % 8)
        os.utime(path, ns=(number, number))
        with opened(path, os.O_WRONLY | os.O_APPEND) as fd:
            os.write(fd, b"x")
    assert content(pair, "changed") == b"x" * 200
    assert pair.b.arrived() == ["changed"]


def test_an_append_right_after_a_change_has_it(pair):
    """What was changed before the write is part of the version."""
    path, there = pair.ab / "kept", pair.b.backing / "kept"
    path.write_bytes(b"")
    for number in range(150):
        os.setxattr(path, "user.number", b"%d" % number)
        os.chmod(path, 0o600 + number % 64)
        with open(path, "ab") as file:
            file.write(b"x")
        assert os.getxattr(there, "user.number") == b"%d" % number
        assert there.stat().st_mode & 0o777 == 0o600 + number % 64


def test_fsync_of_an_empty_file_waits_for_the_answer(fresh_pair, holder):
    a, b = fresh_pair(["--patience", "1"])
    b.pause()
    try:
        writer = holder(a, a.to("b") / "empty")
        assert writer.do("os.fsync(fd)") == errno.ETIMEDOUT
    finally:
        b.resume()


def test_an_unused_descriptor_commits_nothing_of_another(pair, holder):
    writer = holder(pair.a, pair.ab / "growing")
    writer.do("os.write(fd, b'half ')")
    os.close(os.open(pair.ab / "growing", os.O_WRONLY))
    os.close(os.open(pair.ab / "growing", os.O_RDONLY))
    assert pair.b.arrived() == []
    writer.do("os.write(fd, b'whole')")
    assert writer.do("os.close(fd)") is None
    assert content(pair, "growing") == b"half whole"


# Reading back.

@pytest.mark.sanitize
def test_what_is_being_written_can_be_read(pair, holder):
    rng = random.Random(3)
    data = bytearray(rng.randbytes(5 * MIB + 123))
    fd = os.open(pair.ab / "both", os.O_RDWR | os.O_CREAT)
    os.write(fd, data)
    other = os.open(pair.ab / "both", os.O_RDONLY)
    for _ in range(50):
        offset, length = rng.randrange(len(data)), rng.randrange(1, 2 * MIB)
        patch = rng.randbytes(rng.randrange(1, 5000))
        os.pwrite(fd, patch, offset)
        data[offset:offset + len(patch)] = patch
        start = max(0, offset - rng.randrange(MIB))
        for source in fd, other:
            assert os.pread(source, length, start) == data[
                start:start + length]
    assert os.pread(other, 10, len(data)) == b""
    assert os.pread(other, 10, len(data) - 4) == data[-4:]
    reader = holder(pair.a, pair.ab / "both")
    assert reader.do("os.pread(fd, 9, 100)") == data[100:109]
    os.close(other)
    os.close(fd)
    reader.end()  # whose exit status is known a moment later
    wait_for(lambda: pair.b.arrived() == ["both"], 10, "it arrives")
    assert content(pair, "both") == data


def test_what_was_delivered_is_the_peers_to_read(pair):
    send(pair, "theirs", b"delivered")
    with fails(errno.EACCES):
        os.open(pair.ab / "theirs", os.O_RDONLY)
    with opened(pair.ab / "theirs", os.O_RDWR) as fd:
        with fails(errno.EACCES):
            os.read(fd, 9)
        os.pwrite(fd, b"DE", 0)
        assert os.pread(fd, 100, 0) == b"DElivered"
    assert content(pair, "theirs") == b"DElivered"


@pytest.mark.sanitize
def test_a_killed_reader_harms_nobody(fresh_pair, holder):
    a, b = fresh_pair(PATIENCE)
    path = a.to("b") / "read"
    writer, reader, other = (holder(a, path) for _ in range(3))
    writer.do("os.write(fd, b'x' * 1000)")
    writer.do("os.fsync(fd)")
    b.pause()
    reader.begin("len(os.pread(fd, 1000, 0))")
    other.begin("len(os.pread(fd, 500, 0))")

    def waits():
        with open(f"/proc/{reader.process.pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] in "DS"
    wait_for(waits, 10, "the reader waits")
    started = time.monotonic()
    reader.process.kill()
    assert wait_gone(reader.process, 5) == -signal.SIGKILL
    assert time.monotonic() - started < 0.5 * SCALE
    b.resume()
    assert other.answer() == 500
    assert writer.do("os.write(fd, b'y')") == 1
    other.end()
    writer.end()
    wait_for(lambda: "read" in b.arrived(), 5, "read arrives")
    assert (b.backing / "read").read_bytes() == b"x" * 1000 + b"y"


def test_data_and_holes_are_as_of_a_whole_file(pair):
    with opened(pair.ab / "seek", os.O_RDWR | os.O_CREAT) as fd:
        os.pwrite(fd, b"x", 9999)
        assert os.lseek(fd, 0, os.SEEK_DATA) == 0
        assert os.lseek(fd, 77, os.SEEK_DATA) == 77
        assert os.lseek(fd, 77, os.SEEK_HOLE) == 10000
        with fails(errno.ENXIO):
            os.lseek(fd, 10000, os.SEEK_DATA)


# fallocate.

def test_fallocate_does_there_what_it_does_here(pair, scratch):
    """The same calls on a file of this machine are the reference."""
    calls = [(0, 0, 300000), (KEEP_SIZE, 200000, 900000),
             (PUNCH_HOLE | KEEP_SIZE, 5000, 70000), (ZERO_RANGE, 90000, 5),
             (ZERO_RANGE | KEEP_SIZE, 299990, 4000),
             (ZERO_RANGE, 299999, 5000)]
    paths = [pair.ab / "reserved", scratch / "reserved"]
    for path in paths:
        with opened(path, os.O_RDWR | os.O_CREAT) as fd:
            os.write(fd, b"x" * 100000)
            sizes = []
            for call in calls:
                fallocate(fd, *call)
                sizes.append(os.fstat(fd).st_size)
        if path is paths[0]:
            seen = sizes
    assert seen == sizes
    assert content(pair, "reserved") == paths[1].read_bytes()
    with opened(paths[0], os.O_RDWR) as fd:
        with fails(errno.EOPNOTSUPP):
            fallocate(fd, COLLAPSE_RANGE, 0, 4096)
        fallocate(fd, 0, 0, 400000)
    assert (pair.b.backing / "reserved").stat().st_size == 400000
