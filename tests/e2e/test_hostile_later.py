"""What becomes of a file after its COMMIT, for another implementation of the
page: held and shown, renamed, withdrawn, followed by a version; and what it
reads back before.
"""

import contextlib
import os

import pytest

import hostile as h
from daemon import Mount
from hostile_target import (CONTENT, asks, delivers, empty, free_port, makes,
                            receive_published, tree)
from netbed import wait_for

pytestmark = pytest.mark.usefixtures("emptied")


@pytest.fixture
def emptied(target):
    yield
    empty(target)


def holds(peer, name, content=CONTENT, **fields):
    ident, got = delivers(peer, name, content, h.HELD, hold=1, **fields)
    assert got == b""
    return ident


# Held.

@pytest.mark.quick
@pytest.mark.sanitize
@pytest.mark.parametrize("end", ["SHOW", "RENAME", "RENAME and SHOW",
                                 "WITHDRAW"])
def test_what_is_held_is_not_seen_before(target, end):
    with h.Peer(target.port) as peer:
        ident = holds(peer, b"file.tmp")
        assert target.arrived() == []
        name = "file"
        if end == "SHOW":
            assert asks(peer, h.show(1, ident)) == h.OK
            name = "file.tmp"
        elif end == "RENAME":
            assert asks(peer, h.rename(1, ident, b"file")) == h.OK
        elif end == "RENAME and SHOW":
            assert asks(peer, h.rename(1, ident, b"file", hold=1)) == h.OK
            assert target.arrived() == []
            assert asks(peer, h.show(2, ident)) == h.OK
        else:
            assert asks(peer, h.withdraw(1, ident)) == h.OK
            assert asks(peer, h.show(2, ident)) == h.ENOENT
            assert target.arrived() == []
            return
        assert target.arrived() == [name]
        assert (target.backing / name).read_bytes() == CONTENT
        assert asks(peer, h.patch(3, ident, mode=0o640)) == h.OK
    target.wait_spool_empty()


def test_what_is_held_can_be_changed(target):
    with h.Peer(target.port) as peer:
        directory = makes(peer, b"directory")
        ident = holds(peer, b".file.Xy12Ab", parent=directory)
        assert asks(peer, h.patch(1, ident, mode=0o604)) == h.OK
        assert asks(peer, h.setxattr(2, ident, b"user.note", b"v")) == h.OK
        assert os.listdir(target.backing / "directory") == []
        assert asks(peer, h.rename(3, ident, b"file", directory)) == h.OK
    path = target.backing / "directory/file"
    assert path.read_bytes() == CONTENT
    assert path.stat().st_mode & 0o7777 == 0o604
    assert os.getxattr(path, "user.note") == b"v"


def test_what_was_shown_can_be_held_again(target):
    """vim: f becomes f~, a new f comes, f~ is removed."""
    with h.Peer(target.port) as peer:
        old, _ = delivers(peer, b"f")
        assert asks(peer, h.rename(1, old, b"f~", hold=1)) == h.OK
        assert target.arrived() == []
        delivers(peer, b"f", b"the next one")
        assert asks(peer, h.withdraw(2, old)) == h.OK
    assert target.arrived() == ["f"]
    assert (target.backing / "f").read_bytes() == b"the next one"


@pytest.mark.limit(90)
def test_what_is_held_is_shown_when_its_sender_has_gone(target):
    """Not at once: it may only have lost its connection."""
    key = h.X25519PrivateKey.generate()
    with h.Peer(target.port, key) as peer:
        holds(peer, b"left.part")
    with h.Peer(target.port, key) as peer:
        assert peer.alive()
        assert target.arrived() == []
    wait_for(lambda: target.arrived() == ["left.part"], 30, "shown")
    assert (target.backing / "left.part").read_bytes() == CONTENT


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_what_is_held_is_shown_by_the_next_start(keep_local, how):
    options = ("--discovery", "off", "--listen", f"127.0.0.1:{free_port()}")
    mount = Mount(keep_local, *options, name="restarted")
    try:
        with h.Peer(int(mount.self_info()["port"])) as peer:
            holds(peer, b"left~")
            ident = holds(peer, b"dropped~")
            assert asks(peer, h.withdraw(1, ident)) == h.OK
            assert mount.arrived() == []
            if how == "kill":
                mount.kill()
            else:
                mount.stop()
        mount = Mount(keep_local, *options, name="restarted",
                      paths=mount.paths)
        wait_for(lambda: mount.arrived() == ["left~"], 20,
                 lambda: f"shown: {mount.arrived()}")
        assert (mount.backing / "left~").read_bytes() == CONTENT
        mount.wait_spool_empty()
        mount.stop()
    finally:
        if mount.running():
            mount.kill()


# Versions.

def version(base, operations, size, tag=50, name=b"file", ident=None,
            **fields):
    hold = fields.pop("hold", 0)
    return h.transfer(h.offer(tag, name, ident, base=base, **fields),
                      operations, size, hold)


def test_a_version_begins_with_its_base_and_replaces_it(target):
    with h.Peer(target.port) as peer:
        base, _ = delivers(peer, b"file")
        assert asks(peer, h.setxattr(1, base, b"user.note", b"v")) == h.OK
        assert asks(peer, h.patch(2, base, mode=0o604)) == h.OK
        ident = os.urandom(16)
        messages = version(base, [h.write(1, len(CONTENT), b" and more")],
                           len(CONTENT) + 9, ident=ident)
        peer.send(*messages[:-1])
        peer.expect(h.ACCEPT)
        assert (target.backing / "file").read_bytes() == CONTENT
        peer.send(messages[-1])
        got = h.ack_fields(receive_published(peer))
        assert got[2:] == (h.PUBLISHED, h.OK, b"file")
        assert (target.backing / "file").read_bytes() == CONTENT + b" and more"
        assert os.getxattr(target.backing / "file", "user.note") == b"v"
        # The new id names it, the old one nothing.
        assert asks(peer, h.patch(3, base, mode=0o600)) == h.ENOENT
        assert asks(peer, h.patch(4, ident, mode=0o640)) == h.OK
    assert target.arrived() == ["file"]
    assert (target.backing / "file").stat().st_mode & 0o7777 == 0o640


@pytest.mark.parametrize("end", ["ABORT", "cut", "a wrong check"])
def test_a_version_that_fails_leaves_its_base(target, end):
    key = h.X25519PrivateKey.generate()
    with h.Peer(target.port, key) as peer:
        base, _ = delivers(peer, b"file")
        before = tree(target.backing)
        messages = version(base, [h.truncate(1, 0), h.write(2, 0, b"new")], 3)
        peer.send(*messages[:-1])
        peer.expect(h.ACCEPT)
        if end == "ABORT":
            peer.send(h.abort(50))
            assert peer.alive()
        elif end == "a wrong check":
            target.expect("does not match its check")
            peer.send(h.check(h.COMMIT, 3, 4, 2, bytes(16)))
            assert h.ack_fields(peer.expect_failure())[3] == h.EBADMSG
    target.wait_spool_empty()
    assert tree(target.backing) == before
    with h.Peer(target.port, key) as peer:
        assert asks(peer, h.patch(1, base, mode=0o640)) == h.OK


def test_a_version_of_what_is_held_stays_held_or_is_shown(target):
    with h.Peer(target.port) as peer:
        first = holds(peer, b"file~", b"one")
        second = os.urandom(16)
        peer.send(*version(first, [h.write(1, 3, b" two")], 7, name=b"file~",
                           ident=second, hold=1))
        assert h.ack_fields(receive_published(peer))[2] == h.HELD
        assert target.arrived() == []
        peer.send(*version(second, [h.write(1, 7, b" three")], 13,
                           name=b"file~", tag=51))
        got = h.ack_fields(receive_published(peer))
        assert got[2:] == (h.PUBLISHED, h.OK, b"file~")
        for gone in first, second:
            assert asks(peer, h.show(1, gone)) == h.ENOENT
    assert target.arrived() == ["file~"]
    assert (target.backing / "file~").read_bytes() == b"one two three"
    target.wait_spool_empty()


@pytest.mark.parametrize("how", ["OFFER", "MOVE"])
@pytest.mark.parametrize("taken", ["free", "own", "a person's"])
def test_a_version_with_another_name_leaves_no_base(target, how, taken):
    with h.Peer(target.port) as peer:
        directory = makes(peer, b"directory")
        if taken == "own":
            delivers(peer, b"new", b"replaced", parent=directory)
        elif taken == "a person's":
            (target.backing / "directory/new").write_bytes(b"a person's")
        base, _ = delivers(peer, b"file")
        operations = [h.write(1, 0, b"S")]
        fields = {"name": b"new", "parent": directory}
        if how == "MOVE":
            operations.append(h.move(2, b"new", directory))
            fields = {}
        peer.send(*version(base, operations, len(CONTENT), **fields))
        got = h.ack_fields(receive_published(peer))
        name = "new (2)" if taken == "a person's" else "new"
        assert got[2:] == (h.PUBLISHED, h.OK, name.encode())
    assert target.arrived() == ["directory"]
    folder = target.backing / "directory"
    assert sorted(os.listdir(folder)) == sorted({"new", name})
    assert (folder / name).read_bytes() == b"S" + CONTENT[1:]


# The same name again.

def test_the_same_name_again_replaces_what_is_the_sender_s_own(target):
    with h.Peer(target.port) as other:
        delivers(other, b"name.txt", b"somebody else's")
    with h.Peer(target.port) as peer:
        _, got = delivers(peer, b"name.txt", b"one")
        assert got == b"name (2).txt"
        _, got = delivers(peer, b"name.txt", b"the second")
        assert got == b"name (2).txt"
        assert target.arrived() == ["name (2).txt", "name.txt"]
        (target.backing / "name (2).txt").write_bytes(b"edited here")
        _, got = delivers(peer, b"name.txt", b"number three")
        assert got == b"name (3).txt"
    assert (target.backing / "name.txt").read_bytes() == b"somebody else's"
    assert (target.backing / "name (2).txt").read_bytes() == b"edited here"
    assert (target.backing / "name (3).txt").read_bytes() == b"number three"


def test_the_same_content_again_is_no_second_copy(target):
    """Of what a person put there; another sender's stays that sender's."""
    (target.backing / "own.txt").write_bytes(CONTENT)
    with h.Peer(target.port) as one, h.Peer(target.port) as two:
        _, got = delivers(one, b"own.txt")
        assert got in (b"own.txt", b"own (2).txt")
        first, _ = delivers(one, b"sent.txt")
        second, got = delivers(two, b"sent.txt")
        assert got == b"sent (2).txt"
        assert asks(two, h.withdraw(1, second)) == h.OK
        assert asks(one, h.patch(1, first, mode=0o640)) == h.OK
    assert (target.backing / "own.txt").read_bytes() == CONTENT
    assert (target.backing / "sent.txt").read_bytes() == CONTENT


def test_the_last_move_names_it(target):
    with h.Peer(target.port) as peer:
        directory = makes(peer, b"directory")
        operations = [h.move(1, b"one"), h.write(2, 0, CONTENT),
                      h.move(3, b"two", directory)]
        peer.send(*h.transfer(h.offer(7, b"zero"), operations, len(CONTENT)))
        assert h.ack_fields(receive_published(peer))[4] == b"two"
    assert target.arrived() == ["directory"]
    assert (target.backing / "directory/two").read_bytes() == CONTENT


# Reading back.

def reads(peer, offset, length, req=1):
    peer.send(h.read(req, offset, length))
    message = peer.expect(h.DATA)
    assert message[1:9] == req.to_bytes(8, "big")
    assert message[9:11] == bytes(2)
    return message[11:]


@pytest.mark.quick
def test_what_is_read_is_what_was_written_before(target):
    with h.Peer(target.port) as peer:
        messages = [h.offer(1, b"file"), h.read(1, 0, 10),
                    h.write(1, 0, b"first"), h.read(2, 0, 10),
                    h.write(2, 0, b"F"), h.write(3, 8, b"end"),
                    h.read(3, 0, 100), h.truncate(4, 2), h.read(4, 1, 1),
                    h.read(5, 2, 1), h.read(6, 2 ** 62, 262144),
                    h.write(5, 0, b"X")]
        peer.send(*messages)
        for req, content in enumerate([b"", b"first", b"First\0\0\0end", b"i",
                                       b"", b""], 1):
            message = peer.expect(h.DATA)
            assert message[1:] == h.data(req, content)[1:]
        # No READ was counted.
        operations = [m for m in messages[1:] if m[0] != h.READ]
        peer.send(h.transfer(messages[0], operations, 2)[-1])
        assert h.ack_fields(receive_published(peer))[3] == h.OK
    assert (target.backing / "file").read_bytes() == b"Xi"


def test_a_large_read_is_one_answer(target):
    content = os.urandom(300000)
    with h.Peer(target.port) as peer:
        peer.send(h.offer(1, b"large"), h.write(1, 0, content[:200000]),
                  h.write(2, 200000, content[200000:]))
        assert reads(peer, 0, 262144) == content[:262144]
        assert reads(peer, 200000, 262144) == content[200000:]
        peer.send(h.abort(1))
        assert peer.alive()
    target.wait_spool_empty()
    assert target.arrived() == []


def test_a_version_reads_its_base(target):
    with h.Peer(target.port) as peer:
        base, _ = delivers(peer, b"file")
        peer.send(h.offer(5, b"file", base=base), h.write(1, 0, b"S"))
        assert reads(peer, 0, 4) == b"S" + CONTENT[1:4]
        assert reads(peer, len(CONTENT) - 2, 100) == CONTENT[-2:]
        peer.send(h.abort(5))
        assert peer.alive()
    assert (target.backing / "file").read_bytes() == CONTENT


# Space.

def test_what_is_done_with_a_range_is_read_back(target):
    with h.Peer(target.port) as peer:
        operations = [h.write(1, 0, b"x" * 30000), h.reserve(2, 0, 40000, 0),
                      h.reserve(3, 0, 80000, 1), h.reserve(4, 0, 2 ** 20, 2),
                      h.reserve(5, 4096, 8192, 3), h.reserve(6, 100, 10, 4),
                      h.reserve(7, 39990, 20, 4), h.reserve(8, 200, 10, 5),
                      h.reserve(9, 90000, 10, 5)]
        expected = bytearray(40010)
        expected[:30000] = b"x" * 30000
        for at, length in ((4096, 8192), (100, 10), (200, 10)):
            expected[at:at + length] = bytes(length)
        messages = h.transfer(h.offer(1, b"ranges"), operations, 40010)
        peer.send(*messages[:-1])
        assert reads(peer, 0, 100000) == expected
        peer.send(messages[-1])
        assert h.ack_fields(receive_published(peer))[3] == h.OK
    assert (target.backing / "ranges").read_bytes() == expected


def test_space_that_is_not_there_fails_early(target):
    with h.Peer(target.port) as peer:
        peer.send(h.offer(1, b"huge"), h.reserve(1, 0, 2 ** 62, 2))
        _, seq, _, code, _ = h.ack_fields(peer.expect_failure())
        assert (seq, code) in [(1, h.ENOSPC), (1, h.EFBIG)]
    target.wait_spool_empty()


# Too much.

@pytest.mark.limit(120)
def test_a_sender_cannot_have_everything_held(target):
    """What is beyond the limit is shown at once, and said to be."""
    key, states = h.X25519PrivateKey.generate(), set()
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(h.Peer(target.port, key))
                 for _ in range(12)]
        sent = []
        for tag in range(1, 93):
            for number, peer in enumerate(peers):
                name, ident = b"%d-%d~" % (number, tag), os.urandom(16)
                sent.append((peer, ident))
                peer.send(*h.file_messages(tag, name, b"x", ident, hold=1))
            for number, peer in enumerate(peers):
                name = b"%d-%d~" % (number, tag)
                got = h.ack_fields(receive_published(peer))[2:]
                assert got in ((h.HELD, h.OK, b""),
                               (h.PUBLISHED, h.OK, name))
                states.add(got[0])
        assert states == {h.HELD, h.PUBLISHED}
        assert 0 < len(target.arrived()) < 200
        for peer, ident in sent:
            peer.send(h.withdraw(1, ident))
        for peer, _ in sent:
            assert h.result_code(peer.expect(h.RESULT)) == h.OK
    assert target.arrived() == []


@pytest.mark.limit(120)
def test_a_peer_that_asks_and_does_not_read_is_dropped(target):
    """... and costs one answer, not thousands."""
    with h.Peer(target.port) as peer:
        peer.send(h.offer(1, b"unread"), h.write(1, 0, os.urandom(262144)))
        assert len(reads(peer, 0, 262144)) == 262144
        try:
            for n in range(2, 4000):
                peer.send(h.read(n, 0, 262144))
        except (h.Ended, TimeoutError):
            pass

        def failed():
            return [t["state"] for t in target.transfers("unread")] == [
                "failed"]
        wait_for(failed, 20, lambda: f"failed: {target.transfers()}")
    if not os.environ.get("GTFS_SANITIZER"):
        assert target.vm_hwm() < 20000
