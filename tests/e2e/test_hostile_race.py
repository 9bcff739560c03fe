"""The inbox is raced: somebody exchanges a directory with a link that leads out
of it, as fast as they can, while files arrive in that directory.
"""

import contextlib
import os
import subprocess
import sys
import time

import pytest

import hostile as h
from hostile_target import empty, makes, receive_published

LEAST, SECONDS = 300, 8

# Arguments: two names. Exchanges them for as long as its input is open.
SWAPPER = """
import ctypes, os, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
a, b = (os.fsencode(word) for word in sys.argv[1:])
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)),
                 daemon=True).start()
print("begun", flush=True)
while True:
    for _ in range(1000):
        if libc.renameat2(-100, a, -100, b, 2):
            sys.exit(os.strerror(ctypes.get_errno()))
"""


@pytest.fixture
def emptied(target):
    yield target
    empty(target)


@contextlib.contextmanager
def swapping(a, b):
    process = subprocess.Popen([sys.executable, "-c", SWAPPER, a, b],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"begun\n"
        yield
        assert process.poll() is None
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def found(target, name):
    """Where a file of that name is, links not followed: its contents."""
    return [open(os.path.join(folder, name), "rb").read()
            for folder, _, files in os.walk(target.backing)
            if name in files and ".gtfs-spool" not in folder]


def sends(peer, tag, name, content, parent):
    """The name it got, or None: it was refused."""
    peer.send(*h.file_messages(tag, name.encode(), content, parent=parent))
    while True:
        message = peer.receive()
        if message[0] == h.REFUSE:
            assert message[5:] == h.ESTALE.to_bytes(2, "big")
            return None
        if message[0] == h.ACK:
            _, _, state, code, got = h.ack_fields(message)
            if code != h.OK:
                assert code == h.ESTALE
                peer.send(h.abort(tag))
                return None
            if state == h.PUBLISHED:
                return os.fsdecode(got)


@pytest.mark.sanitize
@pytest.mark.parametrize("level", ["the directory", "the one above"])
def test_nothing_arrives_behind_a_link(emptied, tmp_path, figure, level):
    target = emptied
    outside = tmp_path / "outside"
    (outside / "inner").mkdir(parents=True)
    before = [os.stat(path) for path in (outside, outside / "inner")]
    arrived, refused = {}, 0
    with h.Peer(target.port) as peer:
        top = makes(peer, b"top")
        inner = makes(peer, b"inner", top)
        raced = target.backing / (
            "top/inner" if level == "the directory" else "top")
        link = target.backing / "link"
        link.symlink_to(outside)
        with swapping(raced, link):
            end = time.monotonic() + SECONDS
            n = 0
            while n < LEAST and time.monotonic() < end:
                n += 1
                content = os.urandom(2000)
                # A directory and what is in it; both may go astray.
                got = sends(peer, n, f"f{n}", content, inner)
                if got:
                    arrived[got] = content
                else:
                    refused += 1
                peer.send(h.mkdir(n, os.urandom(16), b"d%d" % n, inner))
                assert h.result_code(peer.expect(h.RESULT)) in (h.OK,
                                                                h.ESTALE)
        for name, content in arrived.items():
            assert found(target, name) == [content], name
        peer.send(*h.file_messages(9999, b"after", b"after"))
        receive_published(peer)
    after = [os.stat(path) for path in (outside, outside / "inner")]
    assert [(s.st_mtime_ns, s.st_ctime_ns) for s in before] == [
        (s.st_mtime_ns, s.st_ctime_ns) for s in after]
    assert sorted(os.listdir(outside)) == ["inner"]
    assert os.listdir(outside / "inner") == []
    figure(f"files into {level} that was raced: {len(arrived)} arrived, "
           f"{refused} were refused")
    assert arrived and refused
