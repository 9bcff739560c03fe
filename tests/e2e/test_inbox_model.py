"""inbox/ beside a plain directory: the same operations, the same outcome.

Random operations (seeded; GTFS_TEST_SEED chooses another run) are done on the
mount and on the model, some behind the mount; every errno and result must be
equal, and from time to time the whole trees.
"""

import os
import random
import stat
import subprocess

import pytest

from inbox_help import EXCHANGE, NOREPLACE, SPOOL, renameat2

OPERATIONS = 10000
COMPARE_EVERY = 500
NAMES = ["a", "b", "c", "dir", "d e", "ü"]


class Pair:
    """One tree under test, and one that is known to be right."""

    def __init__(self, rng, mount, behind, model):
        self.rng, self.model = rng, model
        self.mount, self.behind = mount, behind
        self.files = []  # (descriptor in the mount, in the model)
        self.done = {}

    def path(self):
        depth = self.rng.choice((1, 1, 2, 2, 3))
        return os.path.join(*(self.rng.choice(NAMES) for _ in range(depth)))

    def both(self, name, operation, *, only_mount=False):
        """Runs operation(top) on both; returns the outcomes if successful."""
        behind = not only_mount and self.rng.random() < 0.2
        seen = outcome(operation, self.behind if behind else self.mount)
        right = outcome(operation, self.model)
        assert seen[0] == right[0] and (only_mount or seen == right), \
            f"{name}{' behind the mount' if behind else ''}: " \
            f"{seen}, not {right}"
        key = (name, right[0])
        self.done[key] = self.done.get(key, 0) + 1
        return (seen[1], right[1]) if right[0] == "done" else None

    def on_open_file(self, name, operation):
        if not self.files:
            return
        pair = self.rng.choice(self.files)
        if "seek" in name and stat.S_ISDIR(os.fstat(pair[1]).st_mode):
            return  # the end of a directory is each file system's own
        seen, right = outcome(operation, pair[0]), outcome(operation, pair[1])
        assert seen == right, f"{name}: {seen}, not {right}"


def outcome(operation, *args):
    try:
        return "done", operation(*args)
    except OSError as e:
        return e.errno, None


def attributes(st):
    """What two trees can have in common."""
    size = st.st_size if stat.S_ISREG(st.st_mode) else 0
    links = 0 if stat.S_ISDIR(st.st_mode) else st.st_nlink
    return st.st_mode, size, links, st.st_uid, st.st_gid


def op_open(pair):
    path, rng = pair.path(), pair.rng
    flags = rng.choice((os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR))
    for flag in (os.O_CREAT, os.O_CREAT, os.O_EXCL, os.O_TRUNC, os.O_APPEND,
                 os.O_NOFOLLOW):
        if rng.random() < 0.35:
            flags |= flag
    mode = rng.choice((0o600, 0o644, 0o755))
    files = pair.both("open", lambda top: os.open(
        os.path.join(top, path), flags | os.O_NONBLOCK, mode),
        only_mount=True)
    if not files:
        return
    if not stat.S_ISFIFO(os.fstat(files[1]).st_mode):
        pair.files.append(files)
        return
    for fd in files:  # the kernel's alone: nothing of it is open in gtfs
        os.close(fd)


def op_close(pair):
    if len(pair.files) > 12:
        pair.rng.shuffle(pair.files)
        while len(pair.files) > 6:
            for fd in pair.files.pop():
                os.close(fd)


def op_file(pair):
    rng = pair.rng
    offset, size = rng.randrange(100000), rng.randrange(1, 20000)
    data = rng.randbytes(size)
    pair.on_open_file(*rng.choice((
        ("pwrite", lambda fd: os.pwrite(fd, data, offset)),
        ("pwrite", lambda fd: os.pwrite(fd, data, offset)),
        ("write", lambda fd: os.write(fd, data)),
        ("pread", lambda fd: os.pread(fd, size, offset)),
        ("read", lambda fd: os.read(fd, size)),
        ("lseek", lambda fd: os.lseek(fd, offset, os.SEEK_SET)),
        ("seek end", lambda fd: os.lseek(fd, 0, os.SEEK_END)),
        ("ftruncate", lambda fd: os.ftruncate(fd, offset)),
        ("fchmod", lambda fd: os.fchmod(fd, 0o700 | size & 0o77)),
        ("futimens", lambda fd: os.utime(fd, ns=(offset, size))),
        ("fsetxattr", lambda fd: os.setxattr(fd, "user.f", data[:9])),
        ("fgetxattr", lambda fd: os.getxattr(fd, "user.f")),
        ("fsync", os.fsync),
        ("fallocate", lambda fd: os.posix_fallocate(fd, offset, size)),
        ("fstat", lambda fd: attributes(os.fstat(fd))),
    )))


def op_name(pair):
    path, rng = pair.path(), pair.rng
    offset, mode = rng.randrange(50000), rng.choice((0o700, 0o755, 0o4711))

    def at(operation, *args, **kwargs):
        return lambda top: operation(os.path.join(top, path), *args, **kwargs)

    pair.both(*rng.choice((
        ("mkdir", at(os.mkdir, 0o755)),
        ("mkdir", at(os.mkdir, 0o700)),
        ("rmdir", at(os.rmdir)),
        ("unlink", at(os.unlink)),
        ("truncate", at(os.truncate, offset)),
        ("chmod", at(os.chmod, mode)),
        ("utime", at(os.utime, ns=(offset, offset * 7))),
        ("lutime", at(os.utime, ns=(1, offset), follow_symlinks=False)),
        ("symlink", lambda top: os.symlink("b", os.path.join(top, path))),
        ("readlink", at(os.readlink)),
        ("mkfifo", at(os.mkfifo, 0o640)),
        ("mknod", at(os.mknod, stat.S_IFREG | 0o604)),
        ("lstat", lambda top: attributes(os.lstat(os.path.join(top, path)))),
        ("stat", lambda top: attributes(os.stat(os.path.join(top, path)))),
        ("setxattr", at(os.setxattr, "user.x", b"%d" % offset)),
        ("getxattr", at(os.getxattr, "user.x")),
        ("listxattr", at(os.listxattr)),
        ("removexattr", at(os.removexattr, "user.x")),
        ("list", lambda top: sorted(os.listdir(os.path.join(top, path)))),
    )))


def op_two_names(pair):
    one, two, rng = pair.path(), pair.path(), pair.rng

    # mv(1) looks, too: within rename(2) the kernel cannot give a directory
    # that was moved behind the mount its new place, and says ESTALE itself.
    for path in one, two:
        outcome(os.lstat, os.path.join(pair.mount, path))

    def at(operation, *args):
        return lambda top: operation(os.path.join(top, one),
                                     os.path.join(top, two), *args)

    pair.both(*rng.choice((
        ("rename", at(os.rename)),
        ("rename", at(os.rename)),
        ("link", at(lambda a, b: os.link(a, b, follow_symlinks=False))),
        ("noreplace", at(renameat2, NOREPLACE)),
        ("exchange", at(renameat2, EXCHANGE)),
    )))


def tree(top):
    """Everything in it: attributes, contents, which names are one file."""
    result, first = {}, {}
    for folder, folders, names in os.walk(top):
        folders[:] = sorted(name for name in folders if name != SPOOL)
        for name in sorted(names + folders):
            path = os.path.join(folder, name)
            st, inner = os.lstat(path), os.path.relpath(path, top)
            same = first.setdefault(st.st_ino, inner)
            content = None
            if stat.S_ISREG(st.st_mode):
                with open(path, "rb") as f:
                    content = f.read()
            elif stat.S_ISLNK(st.st_mode):
                content = os.readlink(path)
            xattrs = {name: os.getxattr(path, name, follow_symlinks=False)
                      for name in os.listxattr(path, follow_symlinks=False)}
            result[inner] = attributes(st), same, content, xattrs
    return result


def assert_same(pair):
    right = tree(pair.model)
    for top in (pair.mount, pair.behind):
        seen = tree(top)
        assert seen.keys() == right.keys()
        for name, entry in right.items():
            assert seen[name] == entry, f"{name} in {top}"


@pytest.mark.sanitize
@pytest.mark.limit(300)
def test_random_operations_as_on_a_plain_directory(inbox, backing, tmp_path):
    seed = int(os.environ.get("GTFS_TEST_SEED", "1"))
    rng = random.Random(seed)
    model = tmp_path / "model"
    model.mkdir()
    pair = Pair(rng, str(inbox), str(backing), str(model))
    operations = (op_open, op_close, op_file, op_file, op_file, op_name,
                  op_name, op_two_names)
    try:
        for i in range(OPERATIONS):
            try:
                rng.choice(operations)(pair)
                if i % COMPARE_EVERY == COMPARE_EVERY - 1:
                    assert_same(pair)
            except AssertionError as e:
                raise AssertionError(f"operation {i}, seed {seed}: {e}") from e
        assert_same(pair)
    finally:
        for pair_of_fds in pair.files:
            for fd in pair_of_fds:
                os.close(fd)
        subprocess.run(["rm", "-rf", model], check=True)
    assert sum(1 for _, result in pair.done if result == "done") > 15
