"""Whatever a peer says, in whatever order: messages and names from a generator,
whose seed a failure prints. GTFS_TEST_SEED has it made again.
"""

import contextlib
import os
import random
import socket

import pytest

import hostile as h
from hostile_target import (CONTENT, asks, delivers, empty, free_port, makes,
                            sends_well, tree)

SEED = int(os.environ.get("GTFS_TEST_SEED", 0)) or random.randrange(1, 2 ** 32)
NAMES, SESSIONS, MESSAGES = 1000, 250, 14

PIECES = [b".", b"..", b"/", b"../", b"/..", b"\\", b"\0", b"a", b"canary",
          b"out", b"loop", b"pipe", b"hard", b".gtfs", b".gtfs-spool", b"~",
          b" (2)", b"-rf", b"\n", b"\x1b[2J", b"\xff", b"%s%n", b"$(x)", b"*",
          "\u202e".encode(), "\u200b".encode(), b"\xc0\xaf"]


@pytest.fixture
def chance(figure):
    figure(f"seed {SEED}")
    print(f"GTFS_TEST_SEED={SEED}")
    return random.Random(SEED)


@pytest.fixture
def trapped(target, tmp_path):
    """Its inbox has ways out, and what is there is watched."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "canary").write_text("sings")
    for name, to in ("out", outside), ("canary", outside / "canary"), (
            "loop", "loop"):
        (target.backing / name).symlink_to(to)
    os.mkfifo(target.backing / "pipe")
    os.link(outside / "canary", target.backing / "hard")

    def shot():
        return tree(outside), sorted(os.listdir(target.state)), [
            os.lstat(path).st_ctime_ns
            for path in (outside, outside / "canary", target.paths.top)]
    target.shot = shot
    yield target
    empty(target)


def a_name(chance):
    if chance.random() < 0.1:
        return bytes(chance.randrange(256)
                     for _ in range(chance.randrange(12)))
    if chance.random() < 0.05:
        return b"n" * chance.randrange(250, 260)
    return b"".join(chance.choice(PIECES)
                    for _ in range(chance.choice([0, 1, 1, 1, 2, 3])))


def is_name(name):
    return (0 < len(name) < 256 and name not in (b".", b"..") and
            b"/" not in name and b"\0" not in name)


def named_message(chance, name, ids):
    """As its sender would have it said: (kind, messages)."""
    kind = chance.choice(["file", "file", "MKDIR", "RENAME", "MOVE"])
    ident, parent = os.urandom(16), chance.choice([h.TOP, h.TOP, *ids])
    if kind == "file":
        return kind, h.file_messages(1, name, CONTENT, ident, parent=parent)
    if kind == "MKDIR":
        ids.append(ident)
        return kind, [h.mkdir(1, ident, name, parent)]
    if kind == "RENAME":
        return kind, [h.rename(1, chance.choice(ids), name, parent)]
    return kind, h.transfer(h.offer(1, b"before", ident), [
        h.write(1, 0, CONTENT), h.move(2, name, parent)], len(CONTENT))


def answered(peer, kind):
    """Waits for what ends it; h.Ended where the connection does."""
    while True:
        message = peer.receive()
        if message[0] in (h.RESULT, h.REFUSE):
            return
        if message[0] == h.ACK:
            _, _, state, code, _ = h.ack_fields(message)
            if code != h.OK:
                peer.send(h.abort(1))
                return
            if state == h.PUBLISHED:
                return


def test_a_thousand_names(trapped, chance, figure):
    target, static = trapped, h.X25519PrivateKey.generate()
    before, peer, ids, refused = target.shot(), None, [], 0
    for _ in range(NAMES):
        if not peer:
            peer = h.Peer(target.port, static)
        if not ids:
            ids = [makes(peer, b"home of names")]
        name = a_name(chance)
        kind, messages = named_message(chance, name, ids)
        try:
            peer.send(*messages)
            answered(peer, kind)
            assert is_name(name), (kind, name)
        except h.Ended:
            assert not is_name(name), (kind, name)
            peer.close()
            peer, refused = None, refused + 1
    peer = peer or h.Peer(target.port)
    peer.close()
    figure(f"names from a generator: {NAMES}, {refused} of them none")
    assert target.shot() == before
    assert 0.1 < refused / NAMES < 0.9


# Every kind of message, with fields that mean something now and then.

def numbers(chance):
    return chance.choice([0, 1, 1, 2, 3, 100, 2 ** 31, 2 ** 63 - 1, 2 ** 63,
                          2 ** 64 - 1])


def small(chance):
    return min(numbers(chance), 2 ** 32 - 1)


def any_message(chance, ids, seq):
    name = chance.choice([b"n", b"v", b"top", a_name(chance)])
    ident = chance.choice([*ids, h.TOP, os.urandom(16)])
    other = chance.choice([*ids, h.TOP, h.TOP, os.urandom(16)])
    n = chance.choice([seq, seq, seq, numbers(chance)])
    content = os.urandom(chance.choice([0, 1, 50]))
    digest = chance.choice([bytes(16), os.urandom(16)])
    kinds = [
        lambda: h.ping(numbers(chance)), lambda: h.pong(numbers(chance)),
        lambda: h.ask(name, numbers(chance)), lambda: h.answer(), h.unask,
        lambda: h.offer(small(chance), name, ident, other, base=bytes(16)),
        lambda: h.offer(1, name, os.urandom(16), base=ident),
        lambda: h.offer(1, name), lambda: h.accept(1), lambda: h.refuse(1),
        lambda: h.write(n, numbers(chance), content),
        lambda: h.write(n, 0, content), lambda: h.truncate(n, numbers(chance)),
        lambda: h.reserve(n, numbers(chance), numbers(chance),
                          chance.randrange(7)),
        lambda: h.meta(n, chance.randrange(9), chance.randrange(0o2000)),
        lambda: h.check(chance.choice([h.CHECKPOINT, h.COMMIT]), n,
                        numbers(chance), numbers(chance), digest),
        lambda: h.ack(1, n), lambda: h.abort(small(chance)),
        lambda: h.abort(1), lambda: h.xattr(n, b"user.x", content),
        lambda: h.move(n, name, other), lambda: h.read(n, numbers(chance), 50),
        lambda: h.data(n, content), lambda: h.result(n),
        lambda: h.mkdir(n, ident, name, other), lambda: h.patch(n, ident),
        lambda: h.symlink(n, ident, other, name, b"../x"),
        lambda: h.setxattr(n, ident, b"user.x", content),
        lambda: h.rename(n, ident, name, other), lambda: h.show(n, ident),
        lambda: h.rename(n, ident, name, other, 1),
        lambda: h.withdraw(n, ident),
        lambda: bytes([chance.randrange(256)]) + content]
    message = chance.choice(kinds)()
    if chance.random() < 0.1:
        at = chance.randrange(len(message))
        message = chance.choice([
            message[:at], message + b"\0",
            message[:at] + bytes([chance.randrange(256)]) + message[at + 1:]])
    return message


def a_session(chance, port, ids, static, known):
    """How many messages it came to."""
    with h.Peer(port, static) as peer:
        seq = 1
        try:
            if known and chance.random() < 0.7:
                peer.send(h.offer(1, b"n"))
            for n in range(MESSAGES):
                message = any_message(chance, ids, seq)
                seq += h.WRITE <= message[0] <= h.COMMIT if message else 0
                peer.send(message)
            peer.send(h.bye())
        except h.Ended:
            return n
        with contextlib.suppress(OSError):  # it has been closed already
            peer.socket.shutdown(socket.SHUT_WR)
        assert peer.ended()
        return MESSAGES


def victims(target):
    """Things of another key: a directory with a file, a file, a held one."""
    with h.Peer(target.port) as peer:
        top = makes(peer, b"victim")
        inner, _ = delivers(peer, b"inner", parent=top)
        outer, _ = delivers(peer, b"victim.txt")
    return [top, inner, outer]


def of_victims(target):
    return {path: what for path, what in tree(target.backing).items()
            if path.startswith("victim")}


def test_whatever_is_said(trapped, chance, figure):
    target = trapped
    target.expect("does not match its check")
    theirs = victims(target)
    before, shot = of_victims(target), target.shot()
    assert len(before) == 3
    static = h.X25519PrivateKey.generate()
    with h.Peer(target.port, static) as peer:
        own = [makes(peer, b"own"), delivers(peer, b"own.txt")[0]]
    sent = sum(a_session(chance, target.port, theirs + own, static, True)
               for _ in range(SESSIONS))
    figure(f"sessions of random messages: {SESSIONS}, {sent} messages")
    with h.Peer(target.port, static) as peer:
        for ident in own:  # what it holds now would stay for a while
            asks(peer, h.show(1, ident))
    assert of_victims(target) == before
    assert target.shot() == shot
    sends_well(target)


def test_whatever_a_stranger_says(start, keep_local, chance, figure):
    """Not a byte of it is kept."""
    target = start(keep_local, "--discovery", "off", "--listen",
                   f"127.0.0.1:{free_port()}", accept="ask")
    port = int(target.self_info()["port"])

    def kept():
        return (tree(target.backing), target.spooled(),
                sorted(os.listdir(target.state / "pins")))
    before = kept()
    ids = [os.urandom(16)]
    sent = sum(a_session(chance, port, ids, None, False)
               for _ in range(SESSIONS))
    figure(f"sessions of a stranger's messages: {SESSIONS}, {sent} messages")
    assert kept() == before
