"""A short session with one byte wrong, at every offset in turn: of what is on
the wire, handshake included, and of what is in the records. It ends, or is
refused, or is the file that was meant. Never another one.
"""

import os
import socket

import hostile as h
from hostile_target import CONTENT, receive_published, sends_well

SHORT = b"a short file"


def session(peer, name=b"short"):
    """All bytes that a caller sends who copies one file, but for message 3,
    which needs an answer: a list of pieces."""
    return [peer.record(m) for m in h.file_messages(1, name, SHORT)]


def spoil(data, at):
    return data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1:]


def says_no_more(peer):
    try:
        peer.socket.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # it has been closed already


def handshake_lengths():
    """Of the preamble and of messages 1 and 3, with their lengths."""
    return [len(h.PREAMBLE), 2 + 64, 2 + 48 + 16 + 32 + 2 + 4 + 7]


def shakes_hands(port, where, at):
    """A handshake with one byte wrong; must not come to records."""
    with h.Peer(port, handshake=False) as peer:
        parts = [h.PREAMBLE, None, None]
        message = peer.message_1()
        parts[1] = len(message).to_bytes(2, "big") + message
        if where < 2:
            parts[where] = spoil(parts[where], at)
            peer.send_bytes(parts[0] + parts[1])
        else:
            peer.send_bytes(parts[0] + parts[1])
            peer.message_2()
            message = peer.message_3()
            message = len(message).to_bytes(2, "big") + message
            assert len(message) == handshake_lengths()[2]
            peer.send_bytes(spoil(message, at))
        says_no_more(peer)
        assert peer.ended(), (where, at)


def test_a_byte_of_the_handshake(target, figure):
    lengths = handshake_lengths()
    for where, length in enumerate(lengths):
        for at in range(length):
            shakes_hands(target.port, where, at)
    figure(f"handshakes with one bit wrong: {sum(lengths)}")
    assert target.arrived() == []
    sends_well(target)


def test_a_byte_of_the_records(target, figure):
    with h.Peer(target.port) as peer:
        length = len(b"".join(session(peer)))
    for at in range(length):
        with h.Peer(target.port) as peer:
            try:
                peer.send_bytes(spoil(b"".join(session(peer)), at))
            except h.Ended:
                pass
            says_no_more(peer)
            assert peer.ended(), at
    figure(f"sessions with one bit wrong: {length}")
    assert target.arrived() == []
    sends_well(target)


def test_the_end_after_every_byte(target, figure):
    """And a session that is cut there."""
    with h.Peer(target.port) as peer:
        length = len(b"".join(session(peer)))
    for at in range(length):
        with h.Peer(target.port) as peer:
            peer.send_bytes(b"".join(session(peer))[:at])
            says_no_more(peer)
            assert peer.ended(), at
    figure(f"sessions cut short: {length}")
    target.wait_spool_empty()
    assert target.arrived() == []


def outcome(peer):
    """Its last word: PUBLISHED, HELD, a code, or that it has ended."""
    try:
        while True:
            message = peer.receive()
            if message[0] == h.REFUSE:
                return int.from_bytes(message[5:], "big")
            if message[0] != h.ACK:
                continue
            _, _, state, code, name = h.ack_fields(message)
            if code != h.OK:
                return code
            if state in (h.PUBLISHED, h.HELD):
                return state, name
    except h.Ended:
        return "ended"
    except TimeoutError:
        return "waits"


def one_wrong(target, messages, which, at):
    ident = os.urandom(16)
    wrong = spoil(messages(ident)[which], at)
    sent = messages(ident)
    sent[which] = wrong
    with h.Peer(target.port) as peer:
        try:
            peer.send(*sent)
        except h.Ended:
            pass
        says_no_more(peer)
        result = outcome(peer)
    names = target.arrived()
    for name in names:
        path = target.backing / name
        assert path.read_bytes() == SHORT, (which, at)
        path.unlink()
    if isinstance(result, tuple) and result[0] == h.PUBLISHED:
        assert names == [os.fsdecode(result[1])], (which, at)
    elif not isinstance(result, tuple):
        assert names == [], (which, at, result)
    return "ended" if result == "ended" else type(result).__name__


def test_a_byte_of_a_message(target, figure):
    """The sender itself has it wrong: sealed well, by a key that may."""
    def messages(ident):
        return h.file_messages(1, b"short", SHORT, ident, split=1)

    target.expect("does not match its check")
    outcomes = {}
    for which, message in enumerate(messages(bytes(16))):
        for at in range(len(message)):
            if message[0] == h.COMMIT and at == len(message) - 1:
                continue  # hold: it asks for another thing, and gets it
            what = one_wrong(target, messages, which, at)
            outcomes[what] = outcomes.get(what, 0) + 1
    figure(f"messages with one bit wrong: {sum(outcomes.values())}, "
           f"{outcomes}")
    assert outcomes["ended"] and outcomes["int"] and outcomes["tuple"]
    with h.Peer(target.port) as peer:
        peer.send(*h.file_messages(1, b"after", CONTENT))
        receive_published(peer)
