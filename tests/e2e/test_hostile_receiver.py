"""A receiver that lies: a program is never told that its file is there when it
is not.
"""

import errno
import os
import socket
import threading
import time

import pytest

import hostile as h
from daemon import Mount
from hostile_target import CONTENT
from netbed import wait_for


class Receiver:
    """A Listener that one gtfs knows as mallory; script plays one session."""

    def __init__(self, keep_local):
        self.listener = h.Listener()
        self.mount = Mount(keep_local, "--discovery", "off", "--patience",
                           "5", "--peer",
                           f"mallory=127.0.0.1:{self.listener.port}",
                           name="sender")
        self.script, self.failure, self.played = None, None, 0
        self.ending = False
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        self.mount.wait_peer("mallory")

    def serve(self):
        while not self.ending:
            try:
                peer = self.listener.take()
            except OSError:
                continue
            except (h.Ended, AssertionError):
                continue
            threading.Thread(target=self.session, args=(peer,),
                             daemon=True).start()

    def session(self, peer):
        try:
            with peer:
                peer.socket.settimeout(30)
                peer.send(h.pong())
                while True:
                    message = peer.into.open(peer.receive_record())
                    if message[0] == h.PING:
                        peer.send(h.pong(int.from_bytes(message[1:9], "big")))
                    elif message[0] == h.OFFER:
                        self.played += 1
                        tag = int.from_bytes(message[1:5], "big")
                        self.script(peer, tag)
        except (h.Ended, OSError):
            pass
        except BaseException as error:  # shown by the test
            self.failure = error

    def close(self):
        self.ending = True
        self.listener.close()


@pytest.fixture(scope="session")
def hostile_receiver(keep_local):
    receiver = Receiver(keep_local)
    yield receiver
    try:
        receiver.mount.stop()
    finally:
        receiver.close()
        if receiver.mount.running():
            receiver.mount.kill()


def until_commit(peer, tag, kinds=None):
    """Reads the operations up to COMMIT; its seq."""
    while True:
        message = peer.into.open(peer.receive_record())
        if message[0] == h.PING:
            peer.send(h.pong(int.from_bytes(message[1:9], "big")))
        elif message[0] == h.COMMIT:
            return int.from_bytes(message[1:9], "big")
        elif message[0] == h.ABORT:
            raise h.Ended


def copy(mount, content=CONTENT):
    """Writes and closes a file for mallory: 0, or the errno."""
    path = mount.to("mallory") / f"file-{time.monotonic_ns()}"

    def attempt():
        try:
            return os.open(path, os.O_WRONLY | os.O_CREAT)
        except OSError as error:
            if error.errno not in (errno.EHOSTUNREACH, errno.ENOENT):
                raise
    fd = None

    def opens():
        nonlocal fd
        fd = attempt()
        return fd is not None
    wait_for(opens, 15, lambda: "open for mallory:\n" + mount.log_text())
    try:
        os.write(fd, content)
    except OSError:
        pass  # the first error stays: close says it again
    try:
        os.close(fd)
    except OSError as error:
        return error.errno
    return 0


def lie(answer):
    """Accepts, reads all up to COMMIT n, and sends that answer to it."""
    def script(peer, tag):
        peer.send(h.accept(tag))
        seq = until_commit(peer, tag)
        for message in answer(tag, seq):
            peer.send(message)
    return script


LIES = {
    "applied": lambda tag, n: [h.ack(tag, n, h.APPLIED)],
    "durable": lambda tag, n: [h.ack(tag, n, h.DURABLE)],
    "published too early": lambda tag, n: [h.ack(tag, n - 1, h.PUBLISHED,
                                                 name=b"x")],
    "published without a name": lambda tag, n: [h.ack(tag, n, h.PUBLISHED)],
    "of a tag to come": lambda tag, n: [h.ack(tag + 1, n, h.PUBLISHED,
                                              name=b"x")],
    "of an operation to come": lambda tag, n: [h.ack(tag, n + 1, h.PUBLISHED,
                                                     name=b"x")],
    "published as failed": lambda tag, n: [h.ack(tag, n, h.PUBLISHED, h.EIO)],
    "refused late": lambda tag, n: [h.refuse(tag)],
    "accepted again": lambda tag, n: [h.accept(tag)],
    "aborted": lambda tag, n: [h.abort(tag)],
    "a name that leaves": lambda tag, n: [h.ack(tag, n, h.PUBLISHED,
                                                name=b"../x")],
    "noise": lambda tag, n: [b"\xff" * 40],
    "an offer of its own": lambda tag, n: [h.offer(1, b"x")],
    "gone": lambda tag, n: [h.bye()],
}


@pytest.mark.parametrize("what", LIES)
def test_no_answer_but_the_right_one_is_success(hostile_receiver, what):
    hostile_receiver.script = lie(LIES[what])
    error = copy(hostile_receiver.mount)
    assert error != 0, "close returned 0"
    assert hostile_receiver.failure is None
    hostile_receiver.mount.assert_running()
    hostile_receiver.mount.assert_quiet()


def test_the_right_answer_is_success(hostile_receiver):
    hostile_receiver.script = lie(lambda tag, n: [
        h.ack(tag, n - 1), h.ack(tag, n, h.PUBLISHED, name=b"there")])
    assert copy(hostile_receiver.mount) == 0


def test_an_answer_of_an_earlier_transfer_is_late(hostile_receiver):
    """Tags keep one transfer's success from being another's."""
    hostile_receiver.script = lie(lambda tag, n: [
        h.ack(tag, n, h.PUBLISHED, name=b"first")])
    assert copy(hostile_receiver.mount) == 0

    def script(peer, tag):
        peer.send(h.ack(tag - 1, 2, h.PUBLISHED, name=b"stale")
                  if tag > 1 else h.pong())
        peer.send(h.refuse(tag, h.ENOSPC))
    hostile_receiver.script = script
    assert copy(hostile_receiver.mount) == errno.ENOSPC


@pytest.mark.limit(90)
def test_a_peer_that_breaks_every_connection_is_given_up(hostile_receiver):
    """Never a success, not for ever, and not in a tight circle."""
    def script(peer, tag):
        raise h.Ended
    before = hostile_receiver.played
    hostile_receiver.script = script
    started = time.monotonic()
    assert copy(hostile_receiver.mount, b"x") in (errno.ETIMEDOUT,
                                                  errno.EHOSTUNREACH)
    assert time.monotonic() - started < 40
    assert hostile_receiver.played - before < 200
