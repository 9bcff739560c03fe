"""What a written file means: a test for each row of that table, in its order
and named after it. Programs go through it in test_programs.py."""

import errno
import mmap
import os
import random
import socket
import stat
import subprocess
import time

import pytest

from daemon import Paths
from netbed import SCALE, run, wait_for
from table_help import (MIB, NO_LINK, ab, got, hides, put, raises, shows,
                        spool_has, writer)

CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL
AT_ONCE = 1.0  # seconds, on a busy machine


class timed:
    """Asserts that the peer, who is stopped, was not waited for."""

    def __enter__(self):
        self.began = time.monotonic()

    def __exit__(self, kind, *_):
        assert kind or time.monotonic() - self.began < AT_ONCE * SCALE


@pytest.fixture
def stopped(pair):
    """stopped(): from now on b does nothing, to the end of the test."""
    yield pair.b.pause
    pair.b.resume()


def test_create_does_not_wait_for_the_offer(pair, ab, stopped):
    put(ab / "first", b"a warm connection")
    stopped()
    with timed():
        fd = os.open(ab / "n", CREATE)
        assert sorted(os.listdir(ab)) == ["first", "n"]
    pair.b.resume()
    os.write(fd, b"late")
    os.close(fd)
    assert got(pair.b, "n") == b"late"


@pytest.mark.sanitize
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_write_at_any_offset(pair, ab, seed):
    """Sequential, backwards, overlapping, with holes; up and down."""
    rng, model = random.Random(seed), bytearray()
    fd = os.open(ab / "n", CREATE)
    for _ in range(150):
        if rng.random() < 0.1:
            size = rng.randrange(MIB)
            os.ftruncate(fd, size)
            model = model[:size].ljust(size, b"\0")
            continue
        at = rng.choice([len(model), rng.randrange(len(model) + 200_000)])
        block = rng.randbytes(rng.choice([1, 100, 5000, 300_000]))
        written = os.pwrite(fd, block, at)
        assert written == len(block) or written >= 65536
        model = model.ljust(at, b"\0")
        model[at:at + written] = block[:written]
    os.close(fd)
    assert got(pair.b, "n") == model


def test_ftruncate_and_fallocate(pair, ab):
    fd = os.open(ab / "n", CREATE)
    os.write(fd, b"0123456789")
    os.ftruncate(fd, 4)
    os.posix_fallocate(fd, 2, MIB)
    os.pwrite(fd, b"end", 2 * MIB)
    os.ftruncate(fd, 2 * MIB + 2)
    os.close(fd)
    content = b"0123" + bytes(2 * MIB - 4) + b"en"
    assert got(pair.b, "n") == content
    status = (pair.b.backing / "n").stat()
    assert MIB <= status.st_blocks * 512 < 2 * MIB  # reserved, and a hole


def test_fallocate_says_that_the_disk_is_full(start, bed, scratch):
    """Before the bytes are sent; and df shows the peer's space."""
    paths = Paths(bed.hosts["b"])
    paths.backing.mkdir()
    run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", paths.backing])
    a, b = start("a"), start("b", paths=paths)
    there = a.wait_peer("b")
    b.wait_peer("a")
    put(there / "n", bytes(8 * MIB))

    def shown():
        space = os.statvfs(there)
        return (space.f_blocks * space.f_frsize == 64 * MIB and
                40 * MIB < space.f_bavail * space.f_frsize <= 56 * MIB)
    wait_for(shown, 10, lambda: f"b's space: {os.statvfs(there)}")
    fd = os.open(there / "m", CREATE)
    with raises(errno.ENOSPC):
        os.posix_fallocate(fd, 0, 100 * MIB)
    with raises(errno.ENOSPC):
        os.close(fd)
    (scratch / "large").write_bytes(bytes(100 * MIB))
    done = a.sh('cp "$1" "$2"', scratch / "large", there, check=False)
    assert done.returncode == 1 and "No space left on device" in done.stderr
    b.wait_spool_empty()
    assert b.arrived() == ["n"]
    put(there / "k", bytes(30 * MIB))
    assert b.arrived() == ["k", "n"]


@pytest.mark.quick
@pytest.mark.sanitize
def test_read_of_a_file_being_written(pair, ab):
    """By any descriptor of it; mapped too, but not shared."""
    with open(ab / "n", "w+b", buffering=0) as file:
        file.write(bytes(range(256)) * 4096)
        assert os.pread(file.fileno(), 5, 3 * 256 + 1) == b"\1\2\3\4\5"
        assert os.pread(file.fileno(), 100, MIB - 2) == b"\xfe\xff"
        assert os.pread(file.fileno(), 100, MIB + 9) == b""
        with open(ab / "n", "rb", buffering=0) as other:
            os.pwrite(file.fileno(), b"new", 10)
            assert os.pread(other.fileno(), 5, 9) == b"\x09new\x0d"
        with mmap.mmap(file.fileno(), MIB, mmap.MAP_PRIVATE,
                       mmap.PROT_READ) as mapped:
            assert mapped[MIB // 2 + 7] == 7
        with raises(errno.ENODEV):
            mmap.mmap(file.fileno(), MIB, mmap.MAP_SHARED)
        assert pair.b.arrived() == []
    assert len(got(pair.b, "n")) == MIB


def test_reading_a_file_already_delivered(pair, ab):
    put(ab / "n", b"theirs now")
    with raises(errno.EACCES):
        (ab / "n").read_bytes()
    assert (ab / "n").stat().st_size == 10


@pytest.mark.quick
@pytest.mark.sanitize
def test_open_of_a_delivered_entry(pair, ab):
    """Appending and patching: a new version, replaced in one step."""
    put(ab / "n", b"0123456789")
    inode = (pair.b.backing / "n").stat().st_ino
    fd = os.open(ab / "n", os.O_WRONLY | os.O_APPEND)
    os.write(fd, b"abc")
    assert got(pair.b, "n") == b"0123456789"
    os.close(fd)
    assert got(pair.b, "n") == b"0123456789abc"
    assert (pair.b.backing / "n").stat().st_ino != inode
    fd = os.open(ab / "n", os.O_WRONLY)
    os.pwrite(fd, b"XY", 4)
    os.close(fd)
    assert got(pair.b, "n") == b"0123XY6789abc"
    assert pair.b.arrived() == ["n"]


def test_writes_after_a_commit(pair, ab):
    fd = os.open(ab / "n", CREATE)
    os.write(fd, b"one ")
    other = os.open(ab / "n", os.O_WRONLY)
    os.close(os.dup(fd))
    assert pair.b.arrived() == []
    os.close(other)
    assert pair.b.arrived() == []
    os.close(fd)
    assert got(pair.b, "n") == b"one "
    with open(ab / "n", "ab", buffering=0) as file:
        file.write(b"two ")
        file.write(b"three")
    assert got(pair.b, "n") == b"one two three"


@pytest.mark.sanitize
def test_a_touched_delivery_is_stale(pair, ab):
    put(ab / "n", b"as it was sent")
    (pair.b.backing / "n").write_bytes(b"edited there")
    fd = os.open(ab / "n", os.O_WRONLY | os.O_APPEND)
    with raises(errno.ESTALE):
        os.write(fd, b" and more")
        os.fsync(fd)
    with raises(errno.ESTALE):
        os.close(fd)
    assert got(pair.b, "n") == b"edited there"
    pair.b.wait_spool_empty()


@pytest.mark.parametrize("sync", [os.fsync, os.fdatasync])
def test_fsync(pair, ab, sync):
    """The bytes are in the peer's spool then, and nowhere else."""
    fd = os.open(ab / "n", CREATE)
    os.write(fd, b"so far")
    sync(fd)
    assert [p.read_bytes() for p in pair.b.spooled()] == [b"so far"]
    assert pair.b.arrived() == []
    os.close(fd)
    assert got(pair.b, "n") == b"so far"


@pytest.mark.quick
def test_close_by_the_opener(pair, ab):
    fd = os.open(ab / "n", CREATE)
    os.write(fd, b"whole")
    assert pair.b.arrived() == []
    os.close(fd)
    assert got(pair.b, "n") == b"whole"


def test_close_with_nothing_uncommitted(pair, ab, stopped):
    put(ab / "n", b"sent")
    held = os.open(ab / "n", os.O_WRONLY)
    stopped()
    with timed():
        os.close(os.open(ab / "n", os.O_WRONLY | os.O_APPEND))
        os.close(os.dup(held))
        os.close(held)


@pytest.mark.sanitize
def test_close_by_another_process(pair, ab):
    fd = os.open(ab / "n", CREATE)
    os.write(fd, b"head ")
    subprocess.run(["echo", "by a child"], stdout=fd, check=True)
    assert pair.b.arrived() == []
    os.close(os.dup(fd))
    assert pair.b.arrived() == []
    spool_has(pair.b, b"head by a child\n")
    os.close(fd)
    assert got(pair.b, "n") == b"head by a child\n"


@pytest.mark.quick
@pytest.mark.sanitize
def test_close_by_execve(pair, ab, writer):
    """The kernel closes what is close-on-exec with a lock held that every
    look at the process in /proc would wait for."""
    one = writer(ab / "n")
    one.does("fd = os.open(n, os.O_WRONLY | os.O_CREAT)")
    one.does("os.write(fd, b'head ')")
    one.does("pid = os.fork() or os.execv('/bin/true', ['true'])")
    one.does("assert os.waitpid(pid, 0)[1] == 0")
    assert pair.b.arrived() == []
    one.does("os.write(fd, b'tail')")
    one.tell("os.execv('/bin/true', ['true'])")
    assert one.process.wait(20) == 0
    shows(pair.b, "n", b"head tail")


def outliving(writer, path):
    """A writer that has ended, what its child is fed by, the child's pid."""
    out, into = os.pipe()
    one = writer(path, pass_fds=(out,))
    one.does("fd = os.open(n, os.O_WRONLY | os.O_CREAT)")
    one.does("os.write(fd, b'head ')")
    one.does("import subprocess")
    one.tell(f"print(subprocess.Popen(['cat'], stdin={out}, stdout=fd).pid)")
    pid = int(one.answer())
    assert one.answer() == "ok"
    os.close(out)
    return one, into, pid


@pytest.mark.quick
@pytest.mark.sanitize
def test_last_close_commits(pair, ab, writer):
    one, into, _ = outliving(writer, ab / "n")
    assert one.ends() == 0
    spool_has(pair.b, b"head ")
    assert pair.b.arrived() == []
    os.write(into, b"tail")
    os.close(into)
    shows(pair.b, "n", b"head tail")


def test_a_failure_of_the_last_close_is_told(fresh_pair, writer):
    """No errno can."""
    a, b = fresh_pair(("--patience", "2"))
    one, into, _ = outliving(writer, a.to("b") / "n")
    assert one.ends() == 0
    spool_has(b, b"head ")
    b.kill()
    os.close(into)
    wait_for(lambda: [t["state"] for t in a.transfers("n")] == ["failed"], 20,
             lambda: f"a failed transfer: {a.transfers()}")
    assert a.transfers("n")[0]["reason"] not in ("", "-"), a.transfers()
    assert "n" in (a.path / ".gtfs/events").read_text()


@pytest.mark.quick
@pytest.mark.sanitize
def test_the_writer_is_killed(pair, ab, writer):
    one = writer(ab / "n")
    one.does("f = open(n, 'wb', 0); f.write(b'half')")
    one.kill()
    pair.b.wait_spool_empty()
    one, into, pid = outliving(writer, ab / "m")
    assert one.ends() == 0
    spool_has(pair.b, b"head ")
    os.kill(pid, 9)
    pair.b.wait_spool_empty()
    os.close(into)
    assert pair.b.arrived() == []
    wait_for(lambda: os.listdir(ab) == [], 5, "they are not listed")


def test_exit_with_another_status(pair, ab, writer):
    """Nothing arrives, but what was its standard output or error."""
    for name, to in ("out", 1), ("err", 2), ("n", 9):
        one = writer(ab / name)
        one.does(f"fd = os.open(n, os.O_WRONLY | os.O_CREAT); "
                 f"keep = os.dup(1); os.dup2(fd, {to}) and os.close(fd); "
                 f"sys.stdout = open(keep, 'w'); os.write({to}, b'report')")
        one.tell("os._exit(3)")
        assert one.ends() == 3
    shows(pair.b, "out", b"report")
    shows(pair.b, "err", b"report")
    pair.b.wait_spool_empty()
    assert pair.b.arrived() == ["err", "out"]


@pytest.mark.quick
@pytest.mark.sanitize
def test_rename_inside_a_peer(pair, ab):
    fd = os.open(ab / "n", CREATE)
    os.write(fd, b"in flight")
    os.rename(ab / "n", ab / "m")
    os.close(fd)
    assert pair.b.arrived() == ["m"]
    os.mkdir(ab / "d")
    os.rename(ab / "m", ab / "d/k")
    assert got(pair.b, "d/k") == b"in flight"
    (pair.b.backing / "d/k").write_bytes(b"touched")
    with raises(errno.ESTALE):
        os.rename(ab / "d/k", ab / "k")
    assert got(pair.b, "d/k") == b"touched"


@pytest.mark.sanitize
def test_metadata_before_and_after_close(pair, ab):
    """Also after the last close; chown succeeds without effect."""
    def have():
        path = pair.b.backing / "n"
        status = path.stat()
        return (stat.S_IMODE(status.st_mode), status.st_mtime_ns,
                {name: os.getxattr(path, name) for name in os.listxattr(path)
                 if not name.startswith("user.gtfs.")}, status.st_uid)
    fd = os.open(ab / "n", CREATE, 0o600)
    os.write(fd, b"x")
    os.fchmod(fd, 0o6751)
    os.fchown(fd, 1234, 1234)
    os.utime(fd, ns=(1_000_000_000_123_456_789,) * 2)
    os.setxattr(fd, "user.one", b"1")
    os.close(fd)
    assert have() == (0o751, 1_000_000_000_123_456_789, {"user.one": b"1"},
                      os.getuid())
    os.chmod(ab / "n", 0o044)
    os.chown(ab / "n", 1234, 1234)
    os.utime(ab / "n", ns=(1_100_000_000_987_654_321,) * 2)
    os.setxattr(ab / "n", "user.two", b"\0\xff")
    os.removexattr(ab / "n", "user.one")
    wait_for(lambda: have() == (0o644, 1_100_000_000_987_654_321,
                                {"user.two": b"\0\xff"}, os.getuid()), 5,
             lambda: f"patched: {have()}")
    assert (ab / "n").stat().st_mtime_ns == 1_100_000_000_987_654_321
    assert got(pair.b, "n") == b"x"


def test_mkdir_and_files_below(pair, ab, stopped):
    os.mkdir(ab / "d", 0o750)
    os.mkdir(ab / "d/empty")
    shows(pair.b, "d/empty")
    assert stat.S_IMODE((pair.b.backing / "d").stat().st_mode) == 0o750
    stopped()
    with timed():
        os.mkdir(ab / "d/later")
    pair.b.resume()
    shows(pair.b, "d/later")
    os.rmdir(pair.b.backing / "d/later")
    fd = os.open(ab / "d/later/n", CREATE)
    with raises(errno.ESTALE):
        os.write(fd, b"x")
        os.fsync(fd)
    with raises(errno.ESTALE):
        os.close(fd)
    pair.b.wait_spool_empty()


@pytest.mark.sanitize
def test_symlinks(pair, ab):
    os.makedirs(ab / "d/sub")
    for target, name in (("n", "d/here"), ("../n", "d/sub/up"),
                         ("sub/../n", "d/through")):
        try:
            os.symlink(target, ab / name)
        except PermissionError:
            assert ".." in target and not target.startswith("..")
            continue
        wait_for(lambda: os.path.islink(pair.b.backing / name), 5, name)
        assert os.readlink(pair.b.backing / name) == target
        assert os.readlink(ab / name) == target
    for target, name in (("n", "top"), ("/etc/passwd", "d/absolute"),
                         ("../../n", "d/sub/out"), ("..", "d/above"),
                         ("../d/../../n", "d/sub/about")):
        with raises(errno.EPERM):
            os.symlink(target, ab / name)
    os.rename(ab / "d/here", ab / "d/sub/here")
    for old, new in (("d/sub/up", "d/up"), ("d/sub", "sub"),
                     ("d/sub/here", "here")):
        with raises(errno.EXDEV):
            os.rename(ab / old, ab / new)
    wait_for(lambda: sorted(os.listdir(pair.b.backing / "d/sub")) ==
             ["here", "up"], 5, "the links are where they were")
    assert pair.b.arrived() == ["d"]


def test_hard_links_fifos_devices_sockets(pair, ab):
    put(ab / "n", b"x")
    with raises(*NO_LINK):
        os.link(ab / "n", ab / "m")
    with raises(*NO_LINK):
        os.mkfifo(ab / "fifo")
    with raises(*NO_LINK):
        os.mknod(ab / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as unix, raises(*NO_LINK):
        unix.bind(f"/proc/self/fd/{os.open(ab, os.O_PATH)}/s")
    assert os.listdir(ab) == ["n"]


def test_trash(pair, ab):
    for top in ab, pair.a.path:
        for name in ".Trash", ".Trash-1000":
            with raises(errno.EPERM):
                os.mkdir(top / name)
    with raises(errno.EPERM):
        put(ab / ".Trash-1000", b"x")
    put(ab / ".directory", b"data")
    put(ab / "desktop.ini", b"data too")
    assert pair.b.arrived() == [".directory", "desktop.ini"]


@pytest.mark.sanitize
def test_unlink_of_an_entry(pair, ab, writer):
    """In flight: cancelled. By its writer at once: withdrawn, if untouched.
    By another: only forgotten here."""
    fd = os.open(ab / "flight", CREATE)
    os.write(fd, b"x" * 1000)
    os.unlink(ab / "flight")
    with raises(errno.ECANCELED):
        os.close(fd)
    put(ab / "mine", b"a mistake")
    assert pair.b.arrived() == ["mine"]
    os.unlink(ab / "mine")
    hides(pair.b, "mine")
    put(ab / "touched", b"a mistake")
    (pair.b.backing / "touched").write_bytes(b"but wanted")
    os.unlink(ab / "touched")
    other = writer(ab / "theirs")
    other.does("open(n, 'w').write('by another')")
    os.unlink(ab / "theirs")
    assert os.listdir(ab) == []
    put(ab / "last", b"x")  # requests before it have been answered
    pair.b.wait_spool_empty()
    assert pair.b.arrived() == ["last", "theirs", "touched"]
    assert got(pair.b, "touched") == b"but wanted"


@pytest.mark.quick
@pytest.mark.sanitize
def test_the_same_name_again(pair, ab):
    put(ab / "n.txt", b"one")
    put(ab / "n.txt", b"two")
    assert pair.b.arrived() == ["n.txt"] and got(pair.b, "n.txt") == b"two"
    (pair.b.backing / "n.txt").write_bytes(b"two, edited")
    put(ab / "n.txt", b"three")
    assert got(pair.b, "n.txt") == b"two, edited"
    assert got(pair.b, "n (2).txt") == b"three"
    put(ab / "n.txt", b"four")
    assert pair.b.arrived() == ["n (2).txt", "n.txt"]
    assert got(pair.b, "n (2).txt") == b"four"


def test_the_same_content_again(pair, ab):
    (pair.b.backing / "n").write_bytes(b"is there already")
    inode = (pair.b.backing / "n").stat().st_ino
    put(ab / "n", b"is there already")
    assert pair.b.arrived() == ["n"]
    assert (pair.b.backing / "n").stat().st_ino == inode


def test_edit_in_the_inbox(pair, ab):
    put(ab / "n", b"arrived")
    with open(pair.b.inbox / "n", "r+b") as file:
        with mmap.mmap(file.fileno(), 0) as mapped:
            mapped[:3] = b"ARR"
    assert got(pair.b, "n") == b"ARRived"
    os.rename(pair.b.inbox / "n", pair.b.inbox / "m")
    (pair.b.backing / "behind").write_bytes(b"the mount")
    assert sorted(os.listdir(pair.b.inbox)) == ["behind", "m"]
    os.unlink(pair.b.inbox / "m")
    assert pair.b.arrived() == ["behind"]


@pytest.mark.quick
def test_mv_from_the_inbox_to_a_peer(pair, ab):
    """EXDEV, so mv copies and removes."""
    put(pair.a.inbox / "n", b"to be passed on")
    with raises(errno.EXDEV):
        os.rename(pair.a.inbox / "n", ab / "n")
    pair.a.sh('mv "$1" "$2"', pair.a.inbox / "n", ab)
    assert got(pair.b, "n") == b"to be passed on"
    assert pair.a.arrived() == []


def replace(path):
    path.with_name("other").write_bytes(path.read_bytes())
    os.rename(path.with_name("other"), path)


@pytest.mark.parametrize("touch", [
    lambda path: path.write_bytes(b"9 bytes.."), replace,
    lambda path: os.utime(path, (1, 1)), lambda path: path.chmod(0o600)],
    ids=["content", "another inode", "mtime", "mode"])
def test_touched(pair, ab, touch):
    put(ab / "n", b"9 bytes!!")
    touch(pair.b.backing / "n")
    with raises(errno.ESTALE):
        os.rename(ab / "n", ab / "m")
    assert pair.b.arrived() == ["n"]


def test_reading_is_not_touching(pair, ab):
    put(ab / "n", b"read there")
    assert got(pair.b, "n") == (pair.b.inbox / "n").read_bytes()
    os.rename(ab / "n", ab / "m")
    assert got(pair.b, "m") == b"read there"


@pytest.mark.sanitize
def test_received_xattrs(pair, ab):
    put(ab / "n.txt", b"x")
    put(ab / "in flight", b"")
    path = pair.b.backing / "n.txt"
    have = {name: os.getxattr(path, name).decode()
            for name in os.listxattr(path)}
    assert have["user.gtfs.from"] == pair.a.self_info()["fingerprint"]
    assert have["user.gtfs.name"] == "n.txt"
    assert len(bytes.fromhex(have["user.gtfs.id"])) == 16
    assert have["user.gtfs.received"]
    for name in "user.gtfs.state", "user.gtfs.progress":
        assert os.getxattr(ab / "n.txt", name)
    assert os.getxattr(ab / "n.txt", "user.gtfs.state") == b"delivered"


@pytest.mark.parametrize("name", ["n" * 256, "d/" + "n" * 256])
def test_a_name_that_cannot_exist_there(pair, ab, name):
    os.mkdir(ab / "d")
    with raises(errno.ENAMETOOLONG):
        put(ab / name, b"x")
