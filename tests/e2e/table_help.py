"""Small programs for the tests of the table, and ways to wait for a peer."""

import contextlib
import errno
import os
import subprocess
import sys

import pytest

from netbed import MARK, wait_for

MIB = 1 << 20


@pytest.fixture
def ab(pair):
    """a's folder for b; nothing that another test has sent is listed."""
    for above, names, files in os.walk(pair.ab, topdown=False):
        for name in files + [n for n in names if os.path.islink(
                os.path.join(above, n))]:
            os.unlink(os.path.join(above, name))
        for name in names:
            if os.path.lexists(os.path.join(above, name)):
                os.rmdir(os.path.join(above, name))
    assert os.listdir(pair.ab) == []
    yield pair.ab


@contextlib.contextmanager
def raises(*errnos):
    with pytest.raises(OSError) as caught:
        yield
    assert caught.value.errno in errnos, caught.value


class Writer:
    """A Python program that is told what to do, a line at a time: another
    process than the tests'. n is the path it was given."""

    PROGRAM = """
import errno, mmap, os, sys
n = sys.argv[1]
for line in sys.stdin:
    try:
        exec(line)
        print("ok", flush=True)
    except OSError as error:
        print(errno.errorcode[error.errno], flush=True)
"""

    def __init__(self, bed, path, **options):
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", self.PROGRAM, str(path)], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            start_new_session=True, env={**os.environ, MARK: bed.id},
            **options)
        bed.processes.append(self.process)

    def tell(self, line):
        """Does not wait for the answer."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def answer(self):
        return self.process.stdout.readline().strip()

    def does(self, line, result="ok"):
        self.tell(line)
        assert self.answer() == result, line

    def ends(self):
        """Returns the exit status."""
        self.process.stdin.close()
        return self.process.wait(20)

    def kill(self):
        self.process.kill()
        return self.process.wait(20)


@pytest.fixture
def writer(bed):
    """writer(path): a Writer, ended with the test."""
    writers = []

    def start(path, **options):
        writers.append(Writer(bed, path, **options))
        return writers[-1]
    yield start
    for one in writers:
        if one.process.poll() is None:
            one.kill()


def put(path, content):
    """Writes a file as programs do: open, write, close."""
    with open(path, "wb", buffering=0) as file:
        file.write(content)


def got(mount, name):
    return (mount.backing / name).read_bytes()


def shows(mount, name, content=None, timeout=5):
    """Waits until a name is in the inbox, with that content."""
    def there():
        path = mount.backing / name
        return path.exists() and (content is None or
                                  content == path.read_bytes())
    wait_for(there, timeout, lambda: f"{name} shows: {mount.arrived()}")


def hides(mount, name, timeout=5):
    wait_for(lambda: name not in mount.arrived(), timeout,
             lambda: f"{name} is gone: {mount.arrived()}")


def spool_has(mount, content, timeout=5):
    """Waits until a file of the spool has that content."""
    wait_for(lambda: any(path.read_bytes() == content
                         for path in mount.spooled()), timeout,
             lambda: f"in the spool: {mount.spooled()}")


NO_LINK = (errno.EPERM, errno.EOPNOTSUPP)
