"""What the tests of hostile peers share: a connection to the one gtfs that
they attack (fixture target), and somebody honest beside them.
"""

import socket

import hostile as h

CONTENT = b"some content that must arrive whole, or not at all" * 40


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def opened(target, **options):
    """A connection with an accepted OFFER under the tag 1."""
    peer = h.Peer(target.port, **options)
    peer.send(h.offer(1, b"victim"))
    peer.expect(h.ACCEPT)
    return peer


def sends_well(target, name=b"honest"):
    """Somebody else's file still arrives."""
    with h.Peer(target.port) as peer:
        peer.send(*h.file_messages(9, name, CONTENT))
        peer.expect(h.ACCEPT)
        tag, _, state, code, _ = h.ack_fields(receive_published(peer))
        assert (tag, state, code) == (9, h.PUBLISHED, h.OK)


def receive_published(peer):
    while True:
        message = peer.expect(h.ACK)
        if h.ack_fields(message)[2] != h.APPLIED:
            return message
