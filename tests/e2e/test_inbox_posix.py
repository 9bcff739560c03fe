"""inbox/ is an ordinary writable folder: each operation, and its errno."""

import errno
import fcntl
import mmap
import os
import select
import socket
import stat
import subprocess

import pytest

from inbox_help import (EXCHANGE, KEEP_SIZE, NOREPLACE, PUNCH_HOLE, SPOOL,
                        fails, fallocate, fill, opened, opened_at, renameat2)

# Files.

@pytest.mark.quick
@pytest.mark.sanitize
def test_write_read_reaches_backing(inbox, backing):
    data = os.urandom(3 * 1024 * 1024 + 17)
    fill(inbox / "f", data)
    assert (backing / "f").read_bytes() == data
    assert (inbox / "f").read_bytes() == data
    with opened(inbox / "f", os.O_RDWR) as fd:
        assert os.pwrite(fd, b"abc", 1 << 20) == 3
        assert os.pread(fd, 5, (1 << 20) - 1)[1:4] == b"abc"
        assert os.pread(fd, 10, 1 << 40) == b""
    assert (backing / "f").read_bytes()[1 << 20:][:3] == b"abc"


def test_open_errors(inbox):
    fill(inbox / "f")
    (inbox / "d").mkdir()
    with fails(errno.ENOENT):
        os.open(inbox / "none", os.O_RDONLY)
    with fails(errno.EEXIST):
        os.open(inbox / "f", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    with fails(errno.EISDIR):
        os.open(inbox / "d", os.O_WRONLY)
    with fails(errno.ENOTDIR):
        os.open(inbox / "f" / "x", os.O_RDONLY)
    with fails(errno.ENAMETOOLONG):
        os.open(inbox / ("n" * 256), os.O_CREAT | os.O_WRONLY)
    fill(inbox / ("n" * 255), b"1")
    with opened(inbox / "f", os.O_RDONLY) as fd:
        with fails(errno.EBADF):
            os.write(fd, b"x")


def test_read_only_file_can_be_created_for_writing(inbox, backing):
    with opened(inbox / "f", os.O_CREAT | os.O_RDWR | os.O_EXCL, 0o444) as fd:
        os.write(fd, b"object")
        os.ftruncate(fd, 3)
    assert (backing / "f").read_bytes() == b"obj"
    assert stat.S_IMODE((backing / "f").stat().st_mode) == 0o444


def test_umask_is_the_callers(inbox, backing):
    old = os.umask(0o027)
    try:
        os.mkdir(inbox / "d", 0o777)
        os.close(os.open(inbox / "f", os.O_CREAT | os.O_WRONLY, 0o666))
    finally:
        os.umask(old)
    assert stat.S_IMODE((backing / "d").stat().st_mode) == 0o750
    assert stat.S_IMODE((backing / "f").stat().st_mode) == 0o640


def test_truncate(inbox, backing):
    fill(inbox / "f", b"x" * 10000)
    os.truncate(inbox / "f", 5000)
    assert (backing / "f").stat().st_size == 5000
    os.truncate(inbox / "f", 6000)
    assert (inbox / "f").read_bytes() == b"x" * 5000 + bytes(1000)
    os.close(os.open(inbox / "f", os.O_WRONLY | os.O_TRUNC))
    assert (backing / "f").stat().st_size == 0
    with fails(errno.EINVAL):
        os.truncate(inbox / "f", -1)
    with fails(errno.EISDIR):
        os.truncate(inbox, 0)


@pytest.mark.sanitize
def test_append_by_two_processes_loses_nothing(inbox, backing):
    script = "import os,sys\n" \
        "fd = os.open(sys.argv[1], os.O_WRONLY|os.O_APPEND|os.O_CREAT)\n" \
        "for i in range(500): os.write(fd, sys.argv[2].encode()*20+b'\\n')\n"
    writers = [subprocess.Popen(["/usr/bin/python3", "-c", script,
                                 directory / "log", letter])
               for directory, letter in ((inbox, "a"), (inbox, "b"),
                                         (backing, "c"))]
    assert [w.wait(60) for w in writers] == [0, 0, 0]
    lines = (inbox / "log").read_bytes().splitlines()
    assert sorted(lines) == sorted([c * 20 for c in (b"a", b"b", b"c")] * 500)


def test_append_follows_fcntl(inbox, backing):
    fill(inbox / "f", b"0123456789")
    with opened(inbox / "f", os.O_RDWR | os.O_APPEND) as fd:
        os.write(fd, b"A")
        fcntl.fcntl(fd, fcntl.F_SETFL, 0)
        os.lseek(fd, 0, os.SEEK_SET)
        os.write(fd, b"B")
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
        with open(backing / "f", "ab") as behind:
            behind.write(b"C")
        os.write(fd, b"D")
    assert (inbox / "f").read_bytes() == b"B123456789ACD"


def test_synchronous_writes(inbox, backing):
    for flag in (os.O_SYNC, os.O_DSYNC):
        with opened(inbox / "f", os.O_CREAT | os.O_WRONLY | flag) as fd:
            assert os.write(fd, b"durable" * 1000) == 7000
    assert (backing / "f").stat().st_size == 7000


def test_fsync_and_close_report_success(inbox):
    with opened(inbox / "f", os.O_CREAT | os.O_RDWR) as fd:
        os.write(fd, b"x")
        os.fsync(fd)
        os.fdatasync(fd)
        os.close(os.dup(fd))
    with opened(inbox, os.O_RDONLY | os.O_DIRECTORY) as fd:
        os.fsync(fd)
        os.fdatasync(fd)


def test_direct_io(inbox, backing):
    fill(inbox / "f", b"q" * 8192)
    buffer = mmap.mmap(-1, 4096)
    buffer.write(b"w" * 4096)
    with opened(inbox / "f", os.O_RDWR | os.O_DIRECT) as fd:
        assert os.pwritev(fd, [buffer], 4096) == 4096
        assert os.preadv(fd, [buffer], 0) == 4096
    assert buffer[:] == b"q" * 4096
    assert (backing / "f").read_bytes() == b"q" * 4096 + b"w" * 4096


@pytest.mark.sanitize
def test_shared_mapping(inbox, backing):
    fill(inbox / "f", bytes(100000))
    with opened(inbox / "f", os.O_RDWR | os.O_APPEND) as fd:
        with mmap.mmap(fd, 100000) as m:
            m[50000:50005] = b"hello"
            m.flush()
            assert (backing / "f").read_bytes()[50000:50005] == b"hello"
            os.pwrite(fd, b"", 0)
            m[70000:70003] = b"end"
    os.sync()
    data = (backing / "f").read_bytes()
    assert len(data) == 100000 and data[70000:70003] == b"end"
    with open(inbox / "f", "rb") as f:
        with mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
            assert m[50000:50005] == b"hello"


def test_programs_run_from_there(inbox):
    fill(inbox / "true", open("/bin/true", "rb").read()).chmod(0o755)
    subprocess.run([inbox / "true"], check=True)


def test_fallocate_and_holes(inbox, backing):
    with opened(inbox / "f", os.O_CREAT | os.O_RDWR) as fd:
        os.posix_fallocate(fd, 0, 1 << 20)
        assert os.fstat(fd).st_size == 1 << 20
        fallocate(fd, KEEP_SIZE, 1 << 20, 1 << 20)
        assert os.fstat(fd).st_size == 1 << 20
        os.pwrite(fd, b"x" * (1 << 20), 0)
        fallocate(fd, KEEP_SIZE | PUNCH_HOLE, 65536, 65536)
        assert os.pread(fd, 3, 65535) == b"x\0\0"
        with opened(backing / "f", os.O_RDONLY) as plain:
            for whence in (os.SEEK_DATA, os.SEEK_HOLE):
                for offset in (0, 65536, 70000, 131072):
                    assert os.lseek(fd, offset, whence) == \
                        os.lseek(plain, offset, whence)
        with fails(errno.ENXIO):
            os.lseek(fd, 1 << 21, os.SEEK_DATA)


@pytest.mark.sanitize
def test_copy_file_range(inbox, backing):
    data = os.urandom(20 << 20)
    fill(inbox / "a", data)
    with opened(inbox / "a", os.O_RDONLY) as source, \
            opened(inbox / "b", os.O_CREAT | os.O_WRONLY) as target:
        done = 0
        while n := os.copy_file_range(source, target, len(data) - done):
            done += n
        assert done == len(data)
    assert (backing / "b").read_bytes() == data


def test_statfs_is_the_backings(inbox, backing):
    seen, real = os.statvfs(inbox), os.statvfs(backing)
    assert (seen.f_blocks * seen.f_frsize, seen.f_namemax) == \
        (real.f_blocks * real.f_frsize, real.f_namemax)


# Names.

def test_rename(inbox, backing):
    fill(inbox / "a", b"a")
    fill(inbox / "b", b"b")
    (inbox / "d").mkdir()
    with fails(errno.EEXIST):
        renameat2(inbox / "a", inbox / "b", NOREPLACE)
    renameat2(inbox / "a", inbox / "b", EXCHANGE)
    assert (inbox / "a").read_bytes() == b"b"
    renameat2(inbox / "a", inbox / "d" / "c", NOREPLACE)
    renameat2(inbox / "d", inbox / "b", EXCHANGE)
    assert (inbox / "b" / "c").read_bytes() == b"b"
    assert (backing / "d").read_bytes() == b"a"
    with fails(errno.ENOTDIR):
        os.rename(inbox / "b", inbox / "d")
    with fails(errno.EISDIR):
        os.rename(inbox / "d", inbox / "b")
    with fails(errno.EINVAL):
        os.rename(inbox / "b", inbox / "b" / "x")
    with fails(errno.ENOENT):
        os.rename(inbox / "none", inbox / "x")
    (inbox / "e").mkdir()
    with fails(errno.ENOTEMPTY):
        os.rename(inbox / "e", inbox / "b")
    os.rename(inbox / "b", inbox / "e")
    assert sorted(os.listdir(inbox)) == ["d", "e"]


@pytest.mark.sanitize
def test_rename_of_a_directory_with_open_files(inbox, backing):
    (inbox / "a" / "b").mkdir(parents=True)
    fill(inbox / "a" / "b" / "f", b"one")
    fill(inbox / "a" / "b" / "other", b"two")
    with opened(inbox / "a" / "b" / "f", os.O_RDWR) as fd, \
            opened(inbox / "a" / "b", os.O_RDONLY) as at:
        os.rename(inbox / "a", inbox / "z")
        os.pwrite(fd, b"ONE", 0)
        os.fchmod(fd, 0o600)
        assert os.stat("other", dir_fd=at).st_size == 3
        os.rename(inbox / "z" / "b", inbox / "top")
        with opened_at(at, "new") as new:
            os.write(new, b"x")
        assert os.fstat(fd).st_size == 3
    assert sorted(os.listdir(backing / "top")) == ["f", "new", "other"]
    assert (backing / "top" / "f").read_bytes() == b"ONE"
    assert stat.S_IMODE((backing / "top" / "f").stat().st_mode) == 0o600


def test_links(inbox, backing):
    fill(inbox / "a", b"a")
    os.link(inbox / "a", inbox / "b")
    one, two = (inbox / "a").stat(), (inbox / "b").stat()
    assert (one.st_ino, one.st_nlink) == (two.st_ino, 2)
    (inbox / "a").unlink()
    assert (inbox / "b").read_bytes() == b"a"
    (inbox / "b").chmod(0o600)
    assert (inbox / "b").stat().st_nlink == 1
    with fails(errno.EEXIST):
        os.link(inbox / "b", inbox / "b")
    (inbox / "d").mkdir()
    with fails(errno.EPERM):
        os.link(inbox / "d", inbox / "e")
    os.symlink("b", inbox / "s")
    os.link(inbox / "s", inbox / "s2", follow_symlinks=False)
    assert os.readlink(backing / "s2") == "b"


def test_symlinks_are_served_as_they_are(inbox, backing):
    for target in ("f", "../x/y", "/etc/passwd", "t" * 4095, "dangling"):
        os.symlink(target, inbox / "s")
        assert os.readlink(inbox / "s") == target
        assert os.readlink(backing / "s") == target
        assert stat.S_ISLNK((inbox / "s").lstat().st_mode)
        (inbox / "s").unlink()
    fill(inbox / "f", b"x")
    os.symlink("f", inbox / "s")
    assert (inbox / "s").read_bytes() == b"x"
    with fails(errno.EEXIST):
        os.symlink("f", inbox / "s")
    with fails(errno.ELOOP):
        os.open(inbox / "s", os.O_RDONLY | os.O_NOFOLLOW)
    with fails(errno.EINVAL):
        os.readlink(inbox / "f")
    os.utime(inbox / "s", ns=(1, 2), follow_symlinks=False)
    assert (backing / "s").lstat().st_mtime_ns == 2
    os.chown(inbox / "s", -1, -1, follow_symlinks=False)


def test_special_files(inbox, backing):
    os.mkfifo(inbox / "fifo", 0o600)
    assert stat.S_ISFIFO((backing / "fifo").stat().st_mode)
    with opened(inbox / "fifo", os.O_RDWR) as fd:
        os.write(fd, b"through")
        assert os.read(fd, 7) == b"through"
    with socket.socket(socket.AF_UNIX) as server, \
            socket.socket(socket.AF_UNIX) as client:
        at = os.open(inbox, os.O_PATH)
        server.bind(f"/proc/self/fd/{at}/socket")
        server.listen()
        client.connect(f"/proc/self/fd/{at}/socket")
        os.close(at)
    assert stat.S_ISSOCK((backing / "socket").stat().st_mode)
    os.mknod(inbox / "regular", stat.S_IFREG | 0o640)
    assert (inbox / "regular").read_bytes() == b""


def test_remove(inbox, backing):
    (inbox / "d" / "e").mkdir(parents=True)
    fill(inbox / "f")
    with fails(errno.ENOTEMPTY):
        os.rmdir(inbox / "d")
    with fails(errno.ENOTDIR):
        os.rmdir(inbox / "f")
    with fails(errno.EISDIR):
        os.unlink(inbox / "d")
    with fails(errno.ENOENT):
        os.unlink(inbox / "none")
    with fails(errno.EEXIST):
        os.mkdir(inbox / "f")
    os.rmdir(inbox / "d" / "e")
    os.rmdir(inbox / "d")
    os.unlink(inbox / "f")
    assert os.listdir(backing) == [SPOOL]


def test_a_name_made_again_at_once_is_a_new_one(inbox):
    """Inode numbers are reused; a directory that died must not come back."""
    for i in range(200):
        os.mkdir(inbox / "d")
        with opened(inbox / "d", os.O_RDONLY) as old:
            os.rmdir(inbox / "d")
            os.mkdir(inbox / "d")
            with fails(errno.ENOENT):
                os.mkdir("x", dir_fd=old)
        os.mkdir(inbox / "d" / "sub")
        os.rmdir(inbox / "d" / "sub")
        os.rmdir(inbox / "d")
        fill(inbox / "f", str(i).encode())
        assert (inbox / "f").read_bytes() == str(i).encode()
        os.unlink(inbox / "f")


def test_the_spool_is_not_there(inbox, backing):
    spool = inbox / SPOOL
    assert (backing / SPOOL).is_dir()
    assert SPOOL not in os.listdir(inbox)
    assert SPOOL not in [entry.name for entry in os.scandir(inbox)]
    fill(inbox / "f")
    (inbox / "d").mkdir()
    for look in (os.stat, os.rmdir, os.unlink, os.listdir, os.readlink,
                 lambda path: os.rename(path, inbox / "x"),
                 lambda path: os.open(path, os.O_RDONLY)):
        with fails(errno.ENOENT):
            look(spool)
    for make in (os.mkdir, os.mkfifo, lambda path: path.write_bytes(b"x"),
                 lambda path: os.rename(inbox / "f", path),
                 lambda path: os.rename(inbox / "d", path),
                 lambda path: os.link(inbox / "f", path),
                 lambda path: os.symlink("f", path)):
        with fails(errno.EPERM):
            make(spool)
    assert (backing / SPOOL).is_dir()
    (inbox / "d" / SPOOL).mkdir()  # only at the top


# Attributes.

def test_mode_owner_and_times(inbox, backing):
    fill(inbox / "f")
    for mode in (0o600, 0o4755, 0o2710, 0o000, 0o644):
        os.chmod(inbox / "f", mode)
        assert stat.S_IMODE((backing / "f").stat().st_mode) == mode
        assert stat.S_IMODE((inbox / "f").stat().st_mode) == mode
    os.chown(inbox / "f", os.getuid(), os.getgid())
    os.utime(inbox / "f", ns=(1234567890123456789, 987654321))
    seen = (inbox / "f").stat()
    assert (seen.st_atime_ns, seen.st_mtime_ns) == \
        (1234567890123456789, 987654321)
    fill(backing / "now")
    os.utime(inbox / "f")
    assert (backing / "f").stat().st_mtime_ns >= \
        (backing / "now").stat().st_mtime_ns
    seen, real = (inbox / "f").stat(), (backing / "f").stat()
    for field in ("st_uid", "st_gid", "st_mode", "st_ino", "st_nlink",
                  "st_blocks", "st_blksize", "st_ctime_ns"):
        assert getattr(seen, field) == getattr(real, field), field


def test_xattrs(inbox, backing):
    fill(inbox / "f")
    os.setxattr(inbox / "f", "user.a", b"1" * 100)
    assert os.getxattr(backing / "f", "user.a") == b"1" * 100
    assert os.getxattr(inbox / "f", "user.a") == b"1" * 100
    assert os.listxattr(inbox / "f") == ["user.a"]
    with fails(errno.EEXIST):
        os.setxattr(inbox / "f", "user.a", b"", os.XATTR_CREATE)
    with fails(errno.ENODATA):
        os.setxattr(inbox / "f", "user.b", b"", os.XATTR_REPLACE)
    os.setxattr(inbox / "f", "user.a", b"", os.XATTR_REPLACE)
    assert os.getxattr(inbox / "f", "user.a") == b""
    os.removexattr(inbox / "f", "user.a")
    for call in (os.getxattr, os.removexattr):
        with fails(errno.ENODATA):
            call(inbox / "f", "user.a")
    with fails(errno.EOPNOTSUPP):
        os.setxattr(inbox / "f", "nonsense.a", b"")
    os.symlink("f", inbox / "s")
    with fails(errno.EPERM):
        os.setxattr(inbox / "s", "user.a", b"1", follow_symlinks=False)
    assert os.listxattr(backing / "f") == []
    (inbox / "d").mkdir()
    os.setxattr(inbox / "d", "user.d", b"dir")
    assert os.getxattr(backing / "d", "user.d") == b"dir"


@pytest.mark.sanitize
def test_unlinked_files_work_while_open(inbox):
    with opened(inbox / "f", os.O_CREAT | os.O_RDWR) as fd:
        os.write(fd, b"0123456789")
        os.unlink(inbox / "f")
        assert os.fstat(fd).st_nlink == 0
        os.fchmod(fd, 0o600)
        os.ftruncate(fd, 5)
        os.utime(fd, ns=(5, 6))
        os.setxattr(fd, "user.x", b"y")
        assert os.getxattr(fd, "user.x") == b"y"
        seen = os.fstat(fd)
        assert (seen.st_size, stat.S_IMODE(seen.st_mode), seen.st_mtime_ns) \
            == (5, 0o600, 6)
        assert os.pread(fd, 10, 0) == b"01234"
        os.pwrite(fd, b"new", 5)
        fill(inbox / "f", b"another")
        assert os.pread(fd, 10, 0) == b"01234new"
        with opened(f"/proc/self/fd/{fd}", os.O_RDONLY) as again:
            assert os.read(again, 10) == b"01234new"
    with opened(inbox / "f", os.O_RDWR) as fd:
        os.rename(fill(inbox / "g", b"g"), inbox / "f")
        os.fchmod(fd, 0o640)
        assert os.pread(fd, 10, 0) == b"another"
    assert stat.S_IMODE((inbox / "f").stat().st_mode) != 0o640


def test_locks(inbox):
    fill(inbox / "f", b"x")
    with open(inbox / "f", "r+") as one, open(inbox / "f", "r+") as two:
        fcntl.flock(one, fcntl.LOCK_EX)
        with fails(errno.EAGAIN):
            fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(one, fcntl.LOCK_UN)
        fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.lockf(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
        other = subprocess.run(
            ["/usr/bin/python3", "-c",
             "import fcntl,sys\nf = open(sys.argv[1], 'r+')\n"
             "try: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
             "except OSError: sys.exit(7)\n", inbox / "f"])
        assert other.returncode == 7


def test_poll_says_ready(inbox):
    with opened(inbox / "f", os.O_CREAT | os.O_RDWR) as fd:
        poll = select.poll()
        poll.register(fd, select.POLLIN | select.POLLOUT)
        assert poll.poll(0) == [(fd, select.POLLIN | select.POLLOUT)]
