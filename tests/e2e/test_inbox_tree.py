"""inbox/ as a tree: listing, depth, changes behind the mount, many at once."""

import ctypes
import errno
import os
import resource
import stat
import subprocess
import threading

import pytest

from inbox_help import SPOOL, fails, fill, libc, opened, opened_at

# Listing.

@pytest.mark.sanitize
def test_directory_offsets_are_stable(inbox, backing):
    names = {f"file-{i:04}" for i in range(2000)}
    (backing / "d").mkdir()
    for name in names:
        fill(backing / "d" / name)
    assert set(os.listdir(inbox / "d")) == names
    libc.opendir.restype = ctypes.c_void_p
    libc.readdir.restype = ctypes.c_void_p
    libc.telldir.restype = ctypes.c_long
    stream = ctypes.c_void_p(libc.opendir(os.fsencode(inbox / "d")))

    def read():
        entry = libc.readdir(stream)
        return ctypes.string_at(entry + 19).decode() if entry else None

    first = []
    for _ in range(1000):
        first.append(read())
    place = ctypes.c_long(libc.telldir(stream))
    rest = []
    while name := read():
        rest.append(name)
    libc.seekdir(stream, place)
    again = []
    while name := read():
        again.append(name)
    assert again == rest and set(first + rest) == names | {".", ".."}
    fill(backing / "d" / "late")
    libc.rewinddir(stream)
    every = []
    while name := read():
        every.append(name)
    assert "late" in every and len(every) == len(names) + 3
    libc.closedir(stream)


@pytest.mark.sanitize
def test_many_entries_need_few_descriptors(lone, inbox, backing):
    for i in range(20):
        (backing / f"d{i}").mkdir()
        for k in range(200):
            os.close(os.open(backing / f"d{i}" / f"f{k}",
                             os.O_CREAT | os.O_WRONLY))
    before = resource.prlimit(lone.pid, resource.RLIMIT_NOFILE)
    used = max(int(fd) for fd in os.listdir(f"/proc/{lone.pid}/fd"))
    resource.prlimit(lone.pid, resource.RLIMIT_NOFILE,
                     (used + 16, before[1]))
    try:
        found = subprocess.run(["find", inbox, "-type", "f", "-size", "0"],
                               check=True, capture_output=True)
        assert len(found.stdout.splitlines()) == 4000
        subprocess.run(["rm", "-r", *inbox.glob("d*")], check=True)
    finally:
        resource.prlimit(lone.pid, resource.RLIMIT_NOFILE, before)


def test_paths_deeper_than_path_max(inbox, backing):
    at = os.open(inbox, os.O_RDONLY)
    for i in range(60):
        os.mkdir("n" * 200, dir_fd=at)
        below = os.open("n" * 200, os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
        os.close(at)
        at = below
    with opened_at(at, "f") as fd:
        os.write(fd, b"deep")
    os.close(at)
    script = "import os\nfor i in range(60): os.chdir('n' * 200)\n" \
        "print(open('f').read(), os.listdir(), os.stat('.').st_nlink)\n" \
        "open('g', 'w').write('x'); os.rename('g', 'h'); os.unlink('h')\n"
    out = subprocess.run(["/usr/bin/python3", "-c", script], cwd=inbox,
                         check=True, capture_output=True).stdout
    assert out.split() == [b"deep", b"['f']", b"2"]
    subprocess.run(["rm", "-r", inbox / ("n" * 200)], check=True)
    assert os.listdir(backing) == [SPOOL]


# Behind the mount.

@pytest.mark.sanitize
def test_changes_behind_the_mount_show_at_once(inbox, backing):
    fill(backing / "f", b"one")
    assert (inbox / "f").read_bytes() == b"one"
    with opened(inbox / "f", os.O_RDONLY) as fd:
        fill(backing / "f", b"three")
        assert os.pread(fd, 10, 0) == b"three"
        assert os.fstat(fd).st_size == 5
        fill(backing / "new", b"replaced")
        os.rename(backing / "new", backing / "f")
        assert (inbox / "f").read_bytes() == b"replaced"
        assert os.pread(fd, 10, 0) == b"three"
    (backing / "f").unlink()
    with fails(errno.ENOENT):
        os.stat(inbox / "f")
    (backing / "f").mkdir()
    fill(backing / "f" / "x")
    assert os.listdir(inbox / "f") == ["x"]
    os.rename(backing / "f", backing / "g")
    assert (inbox / "g" / "x").exists() and not (inbox / "f").exists()
    os.chmod(backing / "g", 0o711)
    assert stat.S_IMODE((inbox / "g").stat().st_mode) == 0o711
    os.rename(backing / "g" / "x", backing / "x")
    os.rename(backing / "g", backing / "h")
    os.symlink("/etc", backing / "g")
    assert os.readlink(inbox / "g") == "/etc"
    assert (inbox / "x").read_bytes() == b""


def test_a_directory_moved_beneath_its_child_behind_the_mount(inbox, backing):
    (backing / "a" / "b").mkdir(parents=True)
    with opened(inbox / "a" / "b", os.O_RDONLY) as b, \
            opened(inbox / "a", os.O_RDONLY) as a:
        os.rename(backing / "a" / "b", backing / "b")
        os.rename(backing / "a", backing / "b" / "a")
        for at in (a, b):
            try:
                os.listdir(at)
                os.stat("a", dir_fd=at)
            except OSError as e:
                assert e.errno in (errno.ENOENT, errno.ESTALE, errno.ELOOP)
        assert os.listdir(inbox / "b") == ["a"]
        fill(inbox / "b" / "a" / "f", b"x")
    assert (backing / "b" / "a" / "f").read_bytes() == b"x"


# Many at once.

@pytest.mark.sanitize
def test_files_stay_reachable_while_directories_move(inbox):
    (inbox / "p" / "q").mkdir(parents=True)
    for i in range(20):
        fill(inbox / "p" / "q" / f"f{i}", b"x")
    at = os.open(inbox / "p" / "q", os.O_PATH)
    stop, failures = threading.Event(), []

    def look():
        while not stop.is_set():
            try:
                for i in range(20):
                    assert os.stat(f"f{i}", dir_fd=at).st_size == 1
                    os.chmod(f"f{i}", 0o600, dir_fd=at)
            except (OSError, AssertionError) as e:
                failures.append(e)
                return

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for thread in lookers:
        thread.start()
    try:
        for _ in range(300):
            os.rename(inbox / "p", inbox / "r")
            os.rename(inbox / "r" / "q", inbox / "r" / "s")
            os.rename(inbox / "r" / "s", inbox / "q")
            os.rename(inbox / "q", inbox / "r" / "q")
            os.rename(inbox / "r", inbox / "p")
    finally:
        stop.set()
        for thread in lookers:
            thread.join()
        os.close(at)
    assert failures == []
