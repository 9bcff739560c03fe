"""Callers whose key is not proven yet, and crowds of them."""

import os
import select
import socket
import time

import pytest

import hostile as h
from hostile_target import CONTENT, free_port, opened, sends_well
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


def test_who_cannot_be_dialled_back_can_be_refused(target):
    """Its key was pinned: so it is listed, and the name means it."""
    name = "behind a firewall"
    with opened(target, name=name) as peer:
        assert name in os.listdir(target.peers)
        assert target.peer_record(name)[1] == "offline"
        target.command("refuse", name)
        peer.send(h.write(1, 0, CONTENT))
        assert peer.expect(h.ABORT) == h.abort(1, h.EACCES)
        peer.send(h.offer(2, b"again"))
        assert peer.expect(h.REFUSE) == h.refuse(2, h.EACCES)
        target.command("forget", name)
        assert name not in os.listdir(target.peers)
        peer.send(h.offer(3, b"let in anew"))
        assert peer.expect(h.ACCEPT)
        target.command("accept", name)
        peer.send(h.write(1, 0, CONTENT))
        assert peer.alive()


def is_heard(target, source):
    """Does a caller from there get a handshake?"""
    try:
        with h.Peer(target.port, source=source) as peer:
            return peer.alive()
    except (h.Ended, ConnectionError):
        return False


def breaks_the_protocol(target, source):
    with h.Peer(target.port, source=source) as peer:
        peer.send(h.pong())
        assert peer.ended()


def test_who_keeps_breaking_the_protocol_is_not_heard(target):
    """New keys cost nothing, so their address pays."""
    source = h.own_address()
    breaks_the_protocol(target, source)
    assert is_heard(target, source)
    for _ in range(2):
        breaks_the_protocol(target, source)
    wait_for(lambda: not is_heard(target, source), 5, "not heard")
    assert is_heard(target, h.own_address())
    sends_well(target)


def test_who_looks_at_the_port_is_heard(target):
    """A few connections that come to nothing mean nothing."""
    source = h.own_address()
    for _ in range(5):
        with h.Peer(target.port, source=source, handshake=False) as peer:
            peer.send_bytes(b"GET / HTTP/1.1\r\n\r\n")
            assert peer.ended()
    assert is_heard(target, source)


def test_a_neighbour_of_the_hostile_goes_on(target):
    """Two at one address: one of them is known, and the other a pest."""
    source = h.own_address()
    with opened(target, source=source) as known:
        for _ in range(10):
            breaks_the_protocol(target, source)
        assert known.alive()
        with opened(target, source=source, static=known.static) as second:
            assert second.alive()


@pytest.fixture
def small_target(start, keep_local):
    port = free_port()
    mount = start(keep_local, "--discovery", "off", "--listen",
                  f"127.0.0.1:{port}")
    mount.port = port
    return mount


@pytest.mark.limit(120)
def test_readers_who_take_nothing_are_small(small_target, figure):
    """Forty connections that ask for all they can, and take no answer."""
    size = 262144
    crowd = []
    for static in [h.X25519PrivateKey.generate() for _ in range(2)]:
        for _ in range(20):
            peer = opened(small_target, static=static)
            crowd.append(peer)
            peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.send(h.truncate(1, 64 * size),
                      *(h.read(i, i * size, size) for i in range(64)))
    try:
        with opened(small_target) as honest:
            honest.send(h.truncate(1, size), h.read(7, 0, size))
            assert honest.expect(h.DATA) == h.data(7, bytes(size))
        figure(f"{len(crowd)} readers who take nothing: VmHWM "
               f"{small_target.vm_hwm()} kB")
        if not os.environ.get("GTFS_SANITIZER"):
            assert small_target.vm_hwm() < 12000
    finally:
        for peer in crowd:
            peer.close()
    small_target.wait_spool_empty()
