"""A receiver that lies: a program is never told that its file is there when it
is not.
"""

import errno
import os
import queue
import struct
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
                    message = next_of(peer)
                    if message[0] == h.OFFER:
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


REQUESTS = (h.MKDIR, h.PATCH, h.SYMLINK, h.SETXATTR, h.RENAME, h.SHOW,
            h.WITHDRAW)


def next_of(peer):
    """The next message that belongs to a transfer; others get their answer."""
    while True:
        message = peer.into.open(peer.receive_record())
        number = int.from_bytes(message[1:9], "big")
        if message[0] == h.PING:
            peer.send(h.pong(number))
        elif message[0] in REQUESTS:
            peer.send(h.result(number))
        else:
            return message


def until_commit(peer, tag):
    """Reads the operations up to COMMIT; its seq."""
    while True:
        message = next_of(peer)
        if message[0] == h.COMMIT:
            return int.from_bytes(message[1:9], "big")
        elif message[0] == h.ABORT:
            raise h.Ended


def create(mount, suffix=""):
    """A new file for mallory, open for writing and reading."""
    path = mount.to("mallory") / f"file-{time.monotonic_ns()}{suffix}"

    def attempt():
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            if error.errno not in (errno.EHOSTUNREACH, errno.ENOENT):
                raise
    fd = None

    def opens():
        nonlocal fd
        fd = attempt()
        return fd is not None
    wait_for(opens, 15, lambda: "open for mallory:\n" + mount.log_text())
    return fd


def copy(mount, content=CONTENT, suffix=""):
    """Writes and closes a file for mallory: 0, or the errno."""
    fd = create(mount, suffix)
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


def right(tag, n):
    return [h.ack(tag, n, h.PUBLISHED, name=b"there")]


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
    "held, unasked": lambda tag, n: [h.ack(tag, n, h.HELD)],
    "held with a name": lambda tag, n: [h.ack(tag, n, h.HELD, name=b"x")],
    "DATA unasked": lambda tag, n: [h.data(1, b"x"), *right(tag, n)],
    "DATA of a failure, unasked": lambda tag, n: [h.data(1, code=h.EIO),
                                                  *right(tag, n)],
    "a RESULT unasked": lambda tag, n: [h.result(77), *right(tag, n)],
    "a request of its own": lambda tag, n: [h.mkdir(1, b"i" * 16, b"d"),
                                            *right(tag, n)],
    "a READ of its own": lambda tag, n: [h.read(1, 0, 10), *right(tag, n)],
}


@pytest.mark.parametrize("what", LIES)
def test_no_answer_but_the_right_one_is_success(hostile_receiver, what):
    hostile_receiver.script = lie(LIES[what])
    error = copy(hostile_receiver.mount)
    assert error != 0, "close returned 0"
    assert hostile_receiver.failure is None
    hostile_receiver.mount.assert_running()
    hostile_receiver.mount.assert_quiet()


EARLY = {
    "applied": lambda tag: h.ack(tag, 0),
    "published": lambda tag: h.ack(tag, 1, h.PUBLISHED, name=b"x"),
    "held": lambda tag: h.ack(tag, 1, h.HELD),
    "failed": lambda tag: h.ack(tag, 1, h.APPLIED, h.EIO),
    "DATA": lambda tag: h.data(1, b"x"),
    "RESULT": lambda tag: h.result(77),
    "another tag": lambda tag: h.accept(tag + 1),
}


@pytest.mark.parametrize("what", EARLY)
def test_nothing_comes_before_accept(hostile_receiver, what):
    """The connection ends there, and the transfer with it."""
    outcome = queue.Queue()

    def script(peer, tag):
        peer.send(EARLY[what](tag), h.accept(tag))
        outcome.put(peer.ended())
        raise h.Ended
    hostile_receiver.script = script
    assert copy(hostile_receiver.mount) != 0
    assert outcome.get(timeout=20)
    hostile_receiver.mount.assert_quiet()


IDLE = {
    "applied of a tag to come": lambda tag: h.ack(tag + 1, 1),
    "ACCEPT of a tag to come": lambda tag: h.accept(tag + 1),
    "DATA": lambda tag: h.data(2 ** 40, b"x"),
    "DATA of 0": lambda tag: h.data(0, b"x"),
    "RESULT": lambda tag: h.result(2 ** 40),
    "OFFER": lambda tag: h.offer(1, b"x"),
    "SHOW": lambda tag: h.show(1, b"i" * 16),
    "type 31": lambda tag: b"\x1f" + bytes(20),
}


@pytest.mark.parametrize("what", IDLE)
def test_an_idle_sender_ends_with(hostile_receiver, what):
    """... the connection alone: the file before it has arrived."""
    outcome = queue.Queue()

    def script(peer, tag):
        peer.send(h.accept(tag))
        seq = until_commit(peer, tag)
        peer.send(*right(tag, seq), IDLE[what](tag))
        outcome.put(peer.ended())
        raise h.Ended
    hostile_receiver.script = script
    assert copy(hostile_receiver.mount) == 0
    assert outcome.get(timeout=20)
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


# Held files.

HELD_LIES = {
    "applied": lambda tag, n: [h.ack(tag, n, h.APPLIED)],
    "durable": lambda tag, n: [h.ack(tag, n, h.DURABLE)],
    "held too early": lambda tag, n: [h.ack(tag, n - 1, h.HELD)],
    "held as failed": lambda tag, n: [h.ack(tag, n, h.HELD, h.ENOSPC)],
    "held by a later version": lambda tag, n: [h.ack(tag, n, 6)],
}


@pytest.mark.parametrize("what", HELD_LIES)
def test_held_is_success_only_when_it_is_said(hostile_receiver, what):
    hostile_receiver.script = lie(HELD_LIES[what])
    assert copy(hostile_receiver.mount, suffix=".tmp") != 0
    hostile_receiver.mount.assert_running()
    hostile_receiver.mount.assert_quiet()


@pytest.mark.parametrize("state, name", [(h.HELD, b""), (h.PUBLISHED, b"x"),
                                         (h.RECEIVED, b"x")])
def test_held_or_shown_at_once_is_success(hostile_receiver, state, name):
    hostile_receiver.script = lie(lambda tag, n: [h.ack(tag, n, state,
                                                        name=name)])
    assert copy(hostile_receiver.mount, suffix=".tmp") == 0


# Reading back.

def answering(answer):
    """Accepts; answers every READ by answer(req, offset, length)."""
    def script(peer, tag):
        peer.send(h.accept(tag))
        while True:
            message = next_of(peer)
            if message[0] == h.READ:
                req, offset, length = struct.unpack(">QQI", message[1:])
                peer.send(*answer(req, offset, length))
            elif message[0] == h.COMMIT:
                seq = int.from_bytes(message[1:9], "big")
                peer.send(*right(tag, seq))
                return
            elif message[0] == h.ABORT:
                raise h.Ended
    return script


def read_back(mount):
    """Writes and reads: the bytes or errno of the read, those of the close."""
    fd = create(mount)
    try:
        assert os.write(fd, CONTENT) == len(CONTENT)
        try:
            got = os.pread(fd, 1000, 10)
        except OSError as error:
            got = error.errno
    except BaseException:
        os.close(fd)
        raise
    try:
        os.close(fd)
    except OSError as error:
        return got, error.errno
    return got, 0


def test_what_is_read_back_is_what_the_peer_says(hostile_receiver):
    """Fewer bytes only at the end of the file."""
    hostile_receiver.script = answering(lambda req, offset, length: [
        h.data(req, CONTENT[offset:offset + length])])
    assert read_back(hostile_receiver.mount) == (CONTENT[10:1010], 0)


def test_a_read_that_fails_there_fails_alone(hostile_receiver):
    hostile_receiver.script = answering(lambda req, offset, length: [
        h.data(req, code=h.EIO)])
    assert read_back(hostile_receiver.mount) == (errno.EIO, 0)


READ_LIES = {
    "another number": lambda req, offset, length: [h.data(req + 1, b"x")],
    "more than asked": lambda req, offset, length: [
        h.data(req, b"x" * (length + 1))],
    "twice": lambda req, offset, length: [
        h.data(req, CONTENT[offset:offset + length])] * 2,
    "bytes of a failure": lambda req, offset, length: [
        h.data(req, b"x", h.EIO)],
    "cut": lambda req, offset, length: [h.data(req)[:-1]],
}


@pytest.mark.limit(90)
@pytest.mark.parametrize("what", READ_LIES)
def test_a_lie_about_what_is_read_ends_it(hostile_receiver, what):
    """Never bytes of something else, and never a success after it."""
    hostile_receiver.script = answering(READ_LIES[what])
    got, closed = read_back(hostile_receiver.mount)
    assert closed != 0
    assert isinstance(got, int) or what == "twice"
    hostile_receiver.mount.assert_running()
    hostile_receiver.mount.assert_quiet()
