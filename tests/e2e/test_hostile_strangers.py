"""Callers whose key is not proven yet, and crowds of them."""

import os
import select
import socket
import time

import pytest

import hostile as h
from hostile_target import CONTENT, opened, sends_well
from netbed import wait_for


def test_a_handshake_of_garbage_ends(target):
    garbage = [b"GET / HTTP/1.1\r\n\r\n", b"gtfs", os.urandom(4096),
               h.PREAMBLE + b"\0\0", h.PREAMBLE + b"\xff\xff" + bytes(70000),
               h.PREAMBLE + b"\2\x83" + bytes(643),
               h.PREAMBLE + b"\0\x3f" + bytes(63),
               h.PREAMBLE + b"\0\x41" + bytes(65),
               h.PREAMBLE + b"\0\x40" + bytes(64), b"gtfx\1\0\0\0",
               h.PREAMBLE[:7]]
    for data in garbage:
        with h.Peer(target.port, handshake=False) as peer:
            try:
                peer.send_bytes(data)
                peer.socket.shutdown(socket.SHUT_WR)
            except (h.Ended, OSError):
                continue  # it has been closed already
            assert peer.ended(), data[:40]
    sends_well(target)


def test_another_major_version_is_told_ours(target):
    with h.Peer(target.port, handshake=False) as peer:
        peer.send_bytes(b"gtfs\x02\x00\x00\x00")
        assert peer.take(8)[:5] == h.PREAMBLE[:5]
        assert peer.ended()


@pytest.mark.parametrize("point", [bytes(32), b"\1" + bytes(31),
                                   b"\xec" + b"\xff" * 30 + b"\x7f"],
                         ids=["0", "1", "-1"])
def test_a_point_of_low_order_ends_it(target, point):
    with h.Peer(target.port, handshake=False) as peer:
        peer.send_bytes(h.PREAMBLE)
        peer.send_framed(point + bytes(32))
        assert peer.ended()


@pytest.mark.parametrize("how", ["nonce", "bit", "short", "hello", "no name",
                                 "name of 64", "NUL", "not UTF-8",
                                 "cut extension", "too long", "no cipher"])
def test_a_spoiled_message_3_ends_it(target, how):
    hellos = {
        "hello": b"", "no name": b"\0\0\0\0", "short": b"\0\0",
        "name of 64": b"\0\0\0\x40" + b"n" * 64,
        "NUL": b"\0\0\0\3a\0b", "not UTF-8": b"\0\0\0\2\xff\xfe",
        "cut extension": b"\0\0\0\1a\5\0\x09", "too long": b"\0\0\0\1a" +
        b"\5\2\x80" + bytes(640)}
    with h.Peer(target.port, handshake=False) as peer:
        if how == "no cipher":
            peer.ciphers = 0
        peer.send_bytes(h.PREAMBLE)
        peer.send_framed(peer.message_1())
        peer.message_2()
        message = peer.message_3(hellos.get(how),
                                 bytes(32) if how == "nonce" else None)
        if how == "bit":
            message = message[:-1] + bytes([message[-1] ^ 1])
        peer.send_framed(message)
        assert peer.ended()


def test_an_unknown_extension_is_skipped(target):
    with h.Peer(target.port, handshake=False) as peer:
        peer.send_bytes(h.PREAMBLE)
        peer.send_framed(peer.message_1())
        peer.message_2()
        peer.send_framed(peer.message_3(peer.hello() + b"\x63\0\2hi"))
        peer.start_records()
        assert peer.alive()


def test_half_open_handshakes_are_over_in_time(target):
    """5 s for a handshake, however its bytes come."""
    peers = [h.Peer(target.port, handshake=False) for _ in range(3)]
    started = time.monotonic()
    ended = set()
    data = h.PREAMBLE + b"\0\x40" + bytes(64)
    at = 0
    while len(ended) < len(peers) and time.monotonic() - started < 15:
        for peer in peers[1:]:
            if peer not in ended:
                try:
                    peer.send_bytes(data[at:at + 1])
                except h.Ended:
                    ended.add(peer)
        at += 1
        ready, _, _ = select.select([p.socket for p in peers
                                     if p not in ended], [], [], 0.3)
        ended |= {p for p in peers if p.socket in ready}
    took = time.monotonic() - started
    assert len(ended) == len(peers)
    assert took < 8
    for peer in peers:
        peer.close()


@pytest.mark.limit(120)
def test_a_flood_of_connections_is_bounded(target, figure):
    """Thousands that say nothing: few threads, little memory, and a peer
    whose session lives goes on."""
    sanitizer = os.environ.get("GTFS_SANITIZER")
    flood = 1000 if sanitizer else 10000
    with opened(target) as known:
        held, most = [], 0
        for i in range(flood):
            try:
                s = socket.create_connection(("127.0.0.1", target.port), 5)
            except OSError:
                continue
            held.append(s)
            if len(held) > 200:
                held.pop(0).close()
            if i % 200 == 0:
                most = max(most, threads(target))
                known.send(h.ping(i + 1))
                assert known.expect(h.PONG)
        known.send(h.write(1, 0, CONTENT))
        assert known.alive()
        for s in held:
            s.close()
    figure(f"{flood} silent connections: {most} threads at most, VmHWM "
           f"{target.vm_hwm()} kB")
    assert most < 64
    if not sanitizer:
        assert target.vm_hwm() < 20000
    wait_for(lambda: not handshaking(target), 10, "handshakes over")
    sends_well(target)


def threads(mount):
    return len(os.listdir(f"/proc/{mount.pid}/task"))


def handshaking(mount):
    names = []
    for task in os.listdir(f"/proc/{mount.pid}/task"):
        try:
            with open(f"/proc/{mount.pid}/task/{task}/comm") as comm:
                names.append(comm.read().strip())
        except OSError:
            continue
    return names.count("in") > 1


@pytest.mark.limit(120)
def test_proven_strangers_do_not_keep_the_others_out(target):
    """A place for a stranger is not kept by whoever came first."""
    crowd = [h.Peer(target.port) for _ in range(80)]
    try:
        sends_well(target)
        assert threads(target) < 120
    finally:
        for peer in crowd:
            peer.close()
    wait_for(lambda: threads(target) < 40, 10, "the crowd has gone")


def test_one_key_has_few_connections(target):
    static = h.X25519PrivateKey.generate()
    peers, refused = [], 0
    try:
        for _ in range(24):
            peer = h.Peer(target.port, static)
            peers.append(peer)
            try:
                peer.alive()
            except h.Ended:
                refused += 1
        assert 16 <= len(peers) - refused <= 20
    finally:
        for peer in peers:
            peer.close()
