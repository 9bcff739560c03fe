"""PAIRING of gtfs-protocol(7), from the page alone, for a caller who keeps to
it only where it wants to: CPace over ristretto255 with libsodium's group.
"""

import ctypes
import ctypes.util
import hashlib
import hmac
import os

import hostile as h

PAIR, UNPAIRED = 7, 8
CODE, GROUP = 1, 2
EBUSY, EKEYREJECTED = 22, 26
SHARE, TAG = 32, 64

_sodium = ctypes.CDLL(ctypes.util.find_library("sodium"))
assert _sodium.sodium_init() >= 0


def lv(data):
    assert len(data) < 1 << 14
    if len(data) < 128:
        return bytes([len(data)]) + data
    return bytes([len(data) & 127 | 128, len(data) >> 7]) + data


def element(uniform):
    out = ctypes.create_string_buffer(32)
    assert not _sodium.crypto_core_ristretto255_from_hash(out, uniform)
    return out.raw


def times(scalar, point):
    """None: not an element, or the identity."""
    out = ctypes.create_string_buffer(32)
    failed = _sodium.crypto_scalarmult_ristretto255(out, scalar, point)
    return None if failed else out.raw


def random_scalar():
    out = ctypes.create_string_buffer(32)
    _sodium.crypto_core_ristretto255_scalar_random(out)
    return out.raw


def generator(secret, context, sid):
    first = lv(b"CPaceRistretto255") + lv(secret)
    zeros = lv(bytes(max(0, 127 - len(first))))
    return element(hashlib.sha512(first + zeros + lv(context) +
                                  lv(sid)).digest())


class Exchange:
    """One on peer, as the initiator."""

    def __init__(self, peer, secret, kind=CODE):
        self.peer, self.kind = peer, kind
        secret = secret.encode() if isinstance(secret, str) else secret
        self.sid = hashlib.blake2b(b"gtfs channel v1" + peer.noise.h,
                                   digest_size=32).digest()
        context = (b"gtfs pair v1" + bytes([kind]) + h.raw(peer.static) +
                   peer.noise.rs)
        self.scalar = random_scalar()
        self.share = times(self.scalar, generator(secret, context, self.sid))

    def mac(self, key, share, ad):
        return hmac.new(key, lv(share) + lv(ad), hashlib.sha512).digest()

    def take_share(self, theirs):
        shared = times(self.scalar, theirs)
        a, b = b"gtfs pair initiator", b"gtfs pair responder"
        isk = hashlib.sha512(lv(b"CPaceRistretto255_ISK") + lv(self.sid) +
                             lv(shared) + lv(self.share) + lv(a) +
                             lv(theirs) + lv(b)).digest()
        key = hashlib.sha512(b"CPaceMac" + self.sid + isk).digest()
        self.tag = self.mac(key, self.share, a)
        self.expected = self.mac(key, theirs, b)

    def send(self, step, data):
        self.peer.send(bytes([PAIR, self.kind, step]) + data)

    def begin(self):
        """Steps 1 and 2; the code of UNPAIRED, or None."""
        self.send(1, self.share)
        message = answer(self.peer)
        if message[0] == UNPAIRED:
            return int.from_bytes(message[1:], "big")
        assert message[:3] == bytes([PAIR, self.kind, 2])
        self.take_share(message[3:])
        return None

    def finish(self, tag=None):
        """Steps 3 and 4; the code of UNPAIRED, or OK."""
        self.send(3, self.tag if tag is None else tag)
        message = answer(self.peer)
        if message[0] == UNPAIRED:
            return int.from_bytes(message[1:], "big")
        assert message == bytes([PAIR, self.kind, 4]) + self.expected
        return h.OK

    def run(self):
        code = self.begin()
        return self.finish() if code is None else code


def answer(peer):
    """The next PAIR or UNPAIRED."""
    while True:
        message = peer.receive()
        if message[0] in (PAIR, UNPAIRED):
            return message
        assert message[0] == h.PONG, message.hex()


def other_code(code):
    """Well-formed, and wrong."""
    wrong = "1-abandon-ability"
    return wrong if code != wrong else "2-abandon-ability"


def random_share():
    return element(os.urandom(64))


class GroupPeer(h.Peer):
    """Says that it is in a group."""

    def hello(self):
        return super().hello() + b"\1\0\0"
