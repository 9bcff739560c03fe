"""Peers that break the protocol after the handshake: the connection ends, and
nothing else does.

One gtfs without discovery is attacked from this machine; after each test it
still runs, its inbox holds what the test says, and its spool is empty.
"""

import os
import socket
import struct

import pytest

import hostile as h
from hostile_target import (CONTENT, discarding, opened, receive_published,
                            sends_well)


@pytest.mark.quick
@pytest.mark.sanitize
def test_an_honest_stranger_arrives(target):
    """That this implementation and gtfs agree on the page."""
    sends_well(target)
    assert target.arrived() == ["honest"]
    assert (target.backing / "honest").read_bytes() == CONTENT


@pytest.mark.parametrize("cipher", [h.CHACHA, h.CHACHA | h.AES,
                                    h.CHACHA | 0xfff8],
                         ids=["chacha", "aes", "unknown bits"])
def test_every_cipher_of_the_page(target, cipher):
    with h.Peer(target.port, ciphers=cipher) as peer:
        peer.send(*h.file_messages(1, b"by cipher", CONTENT))
        receive_published(peer)
    assert (target.backing / "by cipher").read_bytes() == CONTENT


# States of the receiver.

OPERATIONS = {
    "WRITE": h.write(1, 0, b"x"),
    "TRUNCATE": h.truncate(1, 5),
    "RESERVE": h.reserve(1, 0, 5),
    "META": h.meta(1),
    "XATTR": h.xattr(1, b"user.a", b"v"),
    "MOVE": h.move(1, b"elsewhere"),
    "READ": h.read(1, 0, 100),
    "CHECKPOINT": h.check(h.CHECKPOINT, 1, 0, 0, bytes(16)),
    "COMMIT": h.check(h.COMMIT, 1, 0, 0, bytes(16)),
}
FOREIGN = {
    "PONG": h.pong(),
    "ACCEPT": h.accept(1),
    "REFUSE": h.refuse(1),
    "ACK": h.ack(1, 1),
    "RESULT": h.result(1),
    "DATA": h.data(1, b"x"),
    "type 0": b"\0",
    "type 4": b"\4",
    "type 31": b"\x1f" + bytes(20),
    "type 40": b"\x28" + bytes(24),
    "type 255": b"\xff",
    "nothing": b"",
    "ABORT of another tag": h.abort(77),
}
IDLE = {**OPERATIONS, **FOREIGN, "ABORT of no offer": h.abort(0)}
OPEN = {**FOREIGN,
        "OFFER": h.offer(2, b"second"),
        "OFFER again": h.offer(1, b"victim"),
        "seq 0": h.write(0, 0, b"x"),
        "seq 2": h.write(2, 0, b"x"),
        "seq -1": h.write(2 ** 64 - 1, 0, b"x"),
        "XATTR of seq 2": h.xattr(2, b"user.a"),
        "MOVE of seq 0": h.move(0, b"elsewhere"),
        "COMMIT of seq 2": h.check(h.COMMIT, 2, 0, 0, bytes(16))}


@pytest.mark.parametrize("what", IDLE)
def test_idle_ends_with(target, what):
    with h.Peer(target.port) as peer:
        peer.send(IDLE[what])
        assert peer.ended()
    assert target.arrived() == []


@pytest.mark.parametrize("what", OPEN)
def test_open_ends_with(target, what):
    with opened(target) as peer:
        peer.send(OPEN[what])
        assert peer.ended()
    assert target.arrived() == []


@pytest.mark.parametrize("what", IDLE)
def test_after_a_commit_ends_with(target, what):
    with h.Peer(target.port) as peer:
        peer.send(*h.file_messages(1, b"done", CONTENT))
        receive_published(peer)
        peer.send(IDLE[what])
        assert peer.ended()
    assert (target.backing / "done").read_bytes() == CONTENT
    assert target.arrived() == ["done"]


@pytest.mark.parametrize("what", FOREIGN)
def test_discarding_ends_with(target, what):
    with discarding(target) as peer:
        peer.send(FOREIGN[what])
        assert peer.ended()
    assert target.arrived() == []


@pytest.mark.parametrize("what", OPERATIONS)
def test_discarding_ignores(target, what):
    with discarding(target) as peer:
        peer.send(OPERATIONS[what], h.abort(1), OPERATIONS[what])
        assert peer.alive()
        peer.send(*h.file_messages(2, b"next", CONTENT))
        receive_published(peer)
    assert target.arrived() == ["next"]


def test_abort_after_commit_comes_too_late(target):
    with h.Peer(target.port) as peer:
        peer.send(*h.file_messages(1, b"kept", CONTENT), h.abort(1))
        receive_published(peer)
        assert peer.alive()
    assert (target.backing / "kept").read_bytes() == CONTENT


def test_abort_drops_and_frees_the_connection(target):
    with opened(target) as peer:
        peer.send(h.write(1, 0, CONTENT), h.abort(1))
        assert peer.alive()
        target.wait_spool_empty()
        peer.send(*h.file_messages(2, b"after", CONTENT))
        receive_published(peer)
    assert target.arrived() == ["after"]


# Integrity: nothing appears, EBADMSG.

def spoiled(field, kind):
    operations = [h.write(1, 0, CONTENT[:1000]), h.write(2, 1000,
                                                         CONTENT[1000:]),
                  h.meta(3), h.xattr(4, b"user.a", b"value"),
                  h.move(5, b"moved")]
    messages = h.transfer(h.offer(1, b"spoiled"), operations, len(CONTENT))
    seq, size, count = struct.unpack(">QQQ", messages[-1][1:25])
    digest = messages[-1][25:41]
    if field == "size":
        size += 1
    elif field == "less":
        size -= 1
    elif field == "count":
        count += 1
    elif field == "hash":
        digest = bytes([digest[0] ^ 1]) + digest[1:]
    elif field == "no hash":
        digest = bytes(16)
    elif field == "bytes":
        messages[1] = messages[1][:-1] + b"!"
    elif field == "swapped":
        first, second = messages[1], messages[2]
        messages[1] = first[:9] + second[9:17] + first[17:]
        messages[2] = second[:9] + first[9:17] + second[17:]
    elif field == "meta":
        messages[3] = h.meta(3, mode=0o600)
    elif field == "attribute":
        messages[4] = h.xattr(4, b"user.b", b"value")
    elif field == "value":
        messages[4] = h.xattr(4, b"user.a", b"valve")
    elif field == "name":
        messages[5] = h.move(5, b"moved!")
    messages[-1] = h.check(kind, seq, size, count, digest)
    return messages


@pytest.mark.parametrize("kind", [h.COMMIT, h.CHECKPOINT],
                         ids=["COMMIT", "CHECKPOINT"])
@pytest.mark.parametrize("field", ["size", "less", "count", "hash", "no hash",
                                   "bytes", "swapped", "meta", "attribute",
                                   "value", "name"])
def test_a_wrong_check_publishes_nothing(target, field, kind):
    target.expect("does not match its check")
    with h.Peer(target.port) as peer:
        peer.send(*spoiled(field, kind))
        peer.expect(h.ACCEPT)
        _, seq, state, code, name = h.ack_fields(peer.expect_failure())
        assert (seq, code, name) == (6, h.EBADMSG, b"")
        assert state == (h.PUBLISHED if kind == h.COMMIT else h.DURABLE)
        assert peer.alive()
    assert target.arrived() == []


# Parents.

@pytest.mark.parametrize("parent", ["unknown", "of another key", "a file"])
def test_a_parent_that_is_not_ours_is_stale(target, parent):
    ident, other = os.urandom(16), None
    if parent == "of another key":
        other = h.Peer(target.port)
        other.send(h.mkdir(1, ident, b"theirs"))
        assert other.expect(h.RESULT)[9:] == bytes(2)
    with h.Peer(target.port) as peer:
        if parent == "a file":
            peer.send(*h.file_messages(1, b"file", CONTENT, ident))
            receive_published(peer)
        peer.send(h.offer(5, b"below", parent=ident))
        refused = peer.expect(h.REFUSE)
        assert refused[5:] == struct.pack(">H", h.ESTALE)
        peer.send(h.patch(7, os.urandom(16)))
        assert peer.expect(h.RESULT)[9:] != bytes(2)
    if other:
        other.close()
        assert os.listdir(target.backing / "theirs") == []


# Records.

def damaged(peer, how):
    """Bytes in place of the records of a whole file."""
    records = [peer.record(m) for m in h.file_messages(1, b"x", CONTENT)]
    if how == "replayed":
        return b"".join(records[:2] + records[1:2])
    if how == "reordered":
        return b"".join([records[0], records[2], records[1]])
    if how == "lost":
        return b"".join(records[:1] + records[2:])
    if how == "the tag":
        return records[0][:-1] + bytes([records[0][-1] ^ 1])
    if how == "the text":
        return records[0][:9] + bytes([records[0][9] ^ 1]) + records[0][10:]
    if how == "longer":
        return b"\0\xff" + records[0][2:] + bytes(70000)
    if how == "shorter":
        return b"\0\0\x11" + records[0][3:]
    if how == "no tag":
        return b"\0\0\x0f" + bytes(15)
    if how == "empty":
        return bytes(3)
    if how == "too long":
        return b"\xff\xff\xff" + bytes(100)
    return os.urandom(5000)


@pytest.mark.parametrize("how", ["replayed", "reordered", "lost", "the tag",
                                 "the text", "longer", "shorter", "no tag",
                                 "empty", "too long", "noise"])
def test_a_damaged_record_ends_it(target, how):
    with h.Peer(target.port) as peer:
        peer.send_bytes(damaged(peer, how))
        assert peer.ended()
    assert target.arrived() == []


def test_a_reflected_record_ends_it(target):
    with h.Peer(target.port) as peer:
        peer.send_bytes(peer.receive_record())
        assert peer.ended()


def test_a_record_of_another_connection_ends_it(target):
    with h.Peer(target.port) as one, h.Peer(target.port) as two:
        two.send_bytes(one.record(h.offer(1, b"spliced")))
        assert two.ended()
        assert one.socket.fileno() >= 0
    assert target.arrived() == []


@pytest.mark.parametrize("bit", range(0, 24))
def test_every_bit_of_a_length_counts(target, bit):
    with h.Peer(target.port) as peer:
        record = peer.record(h.offer(1, b"x"))
        length = int.from_bytes(record[:3], "big") ^ (1 << bit)
        peer.send_bytes(length.to_bytes(3, "big") + record[3:])
        try:
            peer.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has been closed already
        assert peer.ended()
    assert target.arrived() == []


# The connection is cut.

def test_a_cut_at_every_record_leaves_nothing(target):
    whole = len(h.file_messages(1, b"cut", CONTENT))
    for n in range(whole):
        with h.Peer(target.port) as peer:
            peer.send(*h.file_messages(1, b"cut", CONTENT)[:n])
            if n:
                peer.expect(h.ACCEPT)
        target.wait_spool_empty()
        assert target.arrived() == []


def test_a_cut_inside_a_record_leaves_nothing(target):
    messages = h.file_messages(1, b"cut", CONTENT)
    for step in (1, 2, 3, 4, 15, 20, 60, 100, 1000, 1500, 2100):
        with h.Peer(target.port) as peer:
            data = b"".join(peer.record(m) for m in messages)
            peer.send_bytes(data[:step])
        assert target.arrived() == []
    with h.Peer(target.port) as peer:
        data = b"".join(peer.record(m) for m in messages)
        peer.send_bytes(data[:-1])
        peer.expect(h.ACCEPT)
    target.wait_spool_empty()
    assert target.arrived() == []


def test_bytes_one_by_one_are_a_file_too(target):
    with h.Peer(target.port) as peer:
        for message in h.file_messages(1, b"slow", b"drip"):
            for byte in peer.record(message):
                peer.send_bytes(bytes([byte]))
        receive_published(peer)
    assert (target.backing / "slow").read_bytes() == b"drip"


# Ids and tags.

def test_the_same_id_again_never_replaces(target):
    ident = os.urandom(16)
    with h.Peer(target.port) as peer:
        peer.send(*h.file_messages(1, b"first", CONTENT, ident))
        receive_published(peer)
        peer.send(*h.file_messages(2, b"second", b"other", ident))
        while peer.receive()[0] == h.ACK:
            pass
    assert (target.backing / "first").read_bytes() == CONTENT


def test_the_same_name_again_never_replaces(target):
    for content in (CONTENT, b"another"):
        with h.Peer(target.port) as peer:
            peer.send(*h.file_messages(1, b"name.txt", content))
            receive_published(peer)
    assert target.arrived() == ["name (2).txt", "name.txt"]
    assert (target.backing / "name.txt").read_bytes() == CONTENT


def test_one_id_on_two_connections_is_two_spools(target):
    ident, static = os.urandom(16), h.X25519PrivateKey.generate()
    messages = h.file_messages(1, b"twice", CONTENT, ident)
    with h.Peer(target.port, static) as one, \
            h.Peer(target.port, static) as two:
        one.send(*messages[:2])
        one.expect(h.ACCEPT)
        two.send(*messages)
        receive_published(two)
    target.wait_spool_empty()
    assert target.arrived() == ["twice"]
    assert (target.backing / "twice").read_bytes() == CONTENT
