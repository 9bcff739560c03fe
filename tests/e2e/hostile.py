"""A peer that keeps to gtfs-protocol(7) only where it wants to.

Its own implementation, from the page alone: preamble, Noise XX, records and
messages. Nothing here shares code with gtfs, so what both agree on is what the
page says.
"""

import hashlib
import hmac
import ipaddress
import itertools
import os
import socket
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey, X25519PublicKey)
from cryptography.hazmat.primitives.ciphers.aead import (AESGCM,
                                                         ChaCha20Poly1305)
from cryptography.hazmat.primitives.serialization import (Encoding,
                                                          PublicFormat)

PREAMBLE = b"gtfs\x01\x00\x00\x00"
CHACHA, AES, AEGIS = 1, 2, 4
SIZE_UNKNOWN = 2 ** 64 - 1

(PING, PONG, BYE, ASK, ANSWER, UNASK) = range(1, 7)
POLICY_ACCEPT, POLICY_ASK, POLICY_REFUSE = 1, 2, 3
(OFFER, ACCEPT, REFUSE, WRITE, TRUNCATE, RESERVE, META, CHECKPOINT, COMMIT,
 ACK, ABORT, XATTR, MOVE, READ, DATA) = range(16, 31)
(MKDIR, PATCH, RESULT, SYMLINK, SETXATTR, RENAME, SHOW, WITHDRAW) = range(32,
                                                                          40)
APPLIED, DURABLE, PUBLISHED, RECEIVED, HELD = range(1, 6)
OK, EIO, EACCES, ENOSPC, EDQUOT, ECANCELED = range(6)
EILSEQ, ESTALE, ENOENT, EEXIST, EINVAL, EPERM = 6, 8, 9, 10, 18, 19
EFBIG, EXDEV, ENOTEMPTY, EBADMSG = 14, 20, 21, 23
TOP = bytes(16)


_callers = itertools.count(1 << 8)


def own_address():
    """An address of this machine that nobody else calls from: gtfs stops
    listening to one that keeps breaking the protocol, and rightly so."""
    return str(ipaddress.IPv4Address((127 << 24) + (1 << 16) +
                                     next(_callers)))


class Ended(Exception):
    """The other side has closed the connection."""


def raw(key):
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def hkdf(chain, secret):
    """Noise, section 4.3, with two outputs."""
    temporary = mac(chain, secret)
    first = mac(temporary, b"\x01")
    return first, mac(temporary, first + b"\x02")


class Noise:
    """XX, for either side (Noise, section 5)."""

    def __init__(self, static, prologue, initiator):
        name = b"Noise_XX_25519_ChaChaPoly_SHA256"
        self.h = self.ck = name
        self.k, self.n = None, 0
        self.s, self.e = static, X25519PrivateKey.generate()
        self.rs = self.re = None
        self.initiator = initiator
        self.mix_hash(prologue)

    def mix_hash(self, data):
        self.h = hashlib.sha256(self.h + data).digest()

    def mix_key(self, secret):
        self.ck, self.k = hkdf(self.ck, secret)
        self.n = 0

    def nonce(self):
        nonce = struct.pack("<4xQ", self.n)
        self.n += 1
        return nonce

    def seal(self, plain):
        if self.k is None:
            sealed = plain
        else:
            sealed = ChaCha20Poly1305(self.k).encrypt(self.nonce(), plain,
                                                      self.h)
        self.mix_hash(sealed)
        return sealed

    def open(self, sealed):
        if self.k is None:
            plain = sealed
        else:
            plain = ChaCha20Poly1305(self.k).decrypt(self.nonce(), sealed,
                                                     self.h)
        self.mix_hash(sealed)
        return plain

    def dh(self, token):
        mine, theirs = token if self.initiator else token[::-1]
        mine = self.e if mine == "e" else self.s
        theirs = self.re if theirs == "e" else self.rs
        self.mix_key(mine.exchange(X25519PublicKey.from_public_bytes(theirs)))

    def write(self, tokens, payload):
        out = b""
        for token in tokens:
            if token == "e":
                out += raw(self.e)
                self.mix_hash(raw(self.e))
            elif token == "s":
                out += self.seal(raw(self.s))
            else:
                self.dh(token)
        return out + self.seal(payload)

    def read(self, tokens, message):
        for token in tokens:
            if token == "e":
                self.re, message = message[:32], message[32:]
                self.mix_hash(self.re)
            elif token == "s":
                length = 32 if self.k is None else 48
                self.rs = self.open(message[:length])
                message = message[length:]
            else:
                self.dh(token)
        return self.open(message)

    def split(self):
        return hkdf(self.ck, b"")


class Direction:
    """The records of one direction (RECORD LAYER)."""

    def __init__(self, key, cipher):
        label = {CHACHA: b"ChaCha20-Poly1305", AES: b"AES-256-GCM"}[cipher]
        key = mac(key, b"gtfs record v1 " + label)
        self.aead = (AESGCM if cipher == AES else ChaCha20Poly1305)(key)
        self.layout = ">4xQ" if cipher == AES else "<4xQ"
        self.n = 0

    def nonce(self):
        nonce = struct.pack(self.layout, self.n)
        self.n += 1
        return nonce

    def seal(self, message):
        header = (len(message) + 16).to_bytes(3, "big")
        return header + self.aead.encrypt(self.nonce(), message, header)

    def open(self, record):
        return self.aead.decrypt(self.nonce(), record[3:], record[:3])


class Peer:
    """One connection to a gtfs, as a sender of files."""

    def __init__(self, port, static=None, name="mallory", ciphers=CHACHA,
                 address="127.0.0.1", listens=0, handshake=True, source=None):
        self.static = static or X25519PrivateKey.generate()
        self.name, self.ciphers, self.listens = name, ciphers, listens
        self.socket = socket.create_connection(
            (address, port), 5, (source or own_address(), 0))
        self.socket.settimeout(10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent = []  # records, as they left
        if handshake:
            self.shake_hands()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    # The handshake, in steps that a test can spoil.

    def hello(self):
        name = self.name.encode()
        return struct.pack(">BHB", 0, self.listens, len(name)) + name

    def message_1(self):
        self.nonce = os.urandom(32)
        self.noise = Noise(self.static, b"gtfs-protocol v1" + PREAMBLE, True)
        commitment = hashlib.blake2b(
            b"gtfs commitment v1" + self.nonce + raw(self.static),
            digest_size=32).digest()
        return self.noise.write(["e"], commitment)

    def message_2(self):
        if self.take(8)[:5] != PREAMBLE[:5]:
            raise AssertionError("not the preamble")
        length = int.from_bytes(self.take(2), "big")
        payload = self.noise.read(["e", "ee", "s", "es"], self.take(length))
        self.seed = hashlib.blake2b(
            b"gtfs words v1" + self.noise.h + self.nonce + payload[:32],
            digest_size=32).digest()
        self.theirs = int.from_bytes(payload[32:34], "big")
        self.their_name = payload[38:38 + payload[37]].decode()

    def message_3(self, hello=None, nonce=None):
        payload = (self.nonce if nonce is None else nonce) + struct.pack(
            ">H", self.ciphers)
        payload += self.hello() if hello is None else hello
        return self.noise.write(["s", "se"], payload)

    def send_framed(self, message):
        self.socket.sendall(len(message).to_bytes(2, "big") + message)

    def shake_hands(self):
        self.socket.sendall(PREAMBLE)
        self.send_framed(self.message_1())
        self.message_2()
        self.send_framed(self.message_3())
        self.start_records()

    def start_records(self):
        both = self.ciphers & self.theirs
        cipher = AES if both & AES else CHACHA
        out, into = self.noise.split()
        self.out, self.into = Direction(out, cipher), Direction(into, cipher)

    # Bytes, records, messages.

    def take(self, length):
        data = b""
        while len(data) < length:
            try:
                more = self.socket.recv(length - len(data))
            except ConnectionError:
                raise Ended from None
            if not more:
                raise Ended
            data += more
        return data

    def send_bytes(self, data):
        try:
            self.socket.sendall(data)
        except ConnectionError:
            raise Ended from None

    def record(self, message):
        record = self.out.seal(message)
        self.sent.append(record)
        return record

    def send(self, *messages):
        self.send_bytes(b"".join(self.record(m) for m in messages))

    def receive_record(self):
        header = self.take(3)
        return header + self.take(int.from_bytes(header, "big"))

    def receive(self):
        """The next message that is not a PONG which nobody asked for."""
        while True:
            message = self.into.open(self.receive_record())
            if message[0] != PONG or message[1:9] != bytes(8):
                return message

    def expect(self, kind):
        """The next message, of that type; what an honest transfer gets
        meanwhile, ACCEPT and applied, may come before."""
        while True:
            message = self.receive()
            if message[0] == kind:
                return message
            if message[0] == ACCEPT:
                continue
            if message[0] == ACK and message[13] == APPLIED and \
                    message[14:16] == bytes(2):
                continue
            raise AssertionError(f"got {message.hex()}")

    def expect_failure(self):
        """The ACK that says which operation has failed, and why."""
        while True:
            message = self.receive()
            if message[0] == ACK and message[14:16] != bytes(2):
                return message
            if message[0] not in (ACK, ACCEPT):
                raise AssertionError(f"got {message.hex()}")

    def ended(self):
        """Waits until the other side has closed; late answers may come."""
        try:
            while True:
                self.take(1)
        except Ended:
            return True
        except TimeoutError:
            return False

    def alive(self):
        """Does it still answer?"""
        self.send(ping(4711))
        return self.expect(PONG) is not None


# Messages. Each takes what the page lists, and checks nothing.

def named(name):
    return struct.pack(">H", len(name)) + name


def ping(cookie):
    return struct.pack(">BQ", PING, cookie)


def pong(cookie=0, policy=1):
    return struct.pack(">BQQQQQB", PONG, cookie, 1 << 30, 1 << 31, 1000, 2000,
                       policy)


def bye(code=0):
    return struct.pack(">BH", BYE, code)


def ask(name, size=SIZE_UNKNOWN):
    return struct.pack(">BQ", ASK, size) + named(name)


def answer(code=OK):
    return struct.pack(">BH", ANSWER, code)


def unask():
    return bytes([UNASK])


def offer(tag, name, ident=None, parent=TOP, mode=0o644, size=SIZE_UNKNOWN,
          base=bytes(16)):
    ident = os.urandom(16) if ident is None else ident
    return (struct.pack(">BI", OFFER, tag) + ident + parent + base +
            struct.pack(">IQ", mode, size) + named(name))


def write(seq, offset, content):
    return struct.pack(">BQQ", WRITE, seq, offset) + content


def truncate(seq, size):
    return struct.pack(">BQQ", TRUNCATE, seq, size)


def reserve(seq, offset, length, how=0):
    return struct.pack(">BQQQB", RESERVE, seq, offset, length, how)


def meta(seq, mask=1, mode=0o644):
    return struct.pack(">BQIIqIqI", META, seq, mask, mode, 0, 0, 0, 0)


def check(kind, seq, size, count, digest, hold=0):
    message = struct.pack(">BQQQ", kind, seq, size, count) + digest
    return message + bytes([hold]) if kind == COMMIT else message


def xattr(seq, name, value=b"", remove=0):
    return struct.pack(">BQB", XATTR, seq, remove) + named(name) + value


def move(seq, name, parent=TOP):
    return struct.pack(">BQ", MOVE, seq) + parent + named(name)


def read(req, offset, length):
    return struct.pack(">BQQI", READ, req, offset, length)


def data(req, content=b"", code=OK):
    return struct.pack(">BQH", DATA, req, code) + content


def abort(tag, code=ECANCELED):
    return struct.pack(">BIH", ABORT, tag, code)


def mkdir(req, ident, name, parent=TOP, mode=0o755):
    return (struct.pack(">BQ", MKDIR, req) + ident + parent +
            struct.pack(">I", mode) + named(name))


def patch(req, ident, mask=1, mode=0o600):
    return (struct.pack(">BQ", PATCH, req) + ident +
            struct.pack(">IIqIqI", mask, mode, 0, 0, 0, 0))


def symlink(req, ident, parent, name, target):
    return (struct.pack(">BQ", SYMLINK, req) + ident + parent + named(name) +
            target)


def setxattr(req, ident, name, value=b"", remove=0):
    return (struct.pack(">BQ", SETXATTR, req) + ident + bytes([remove]) +
            named(name) + value)


def rename(req, ident, name, parent=TOP, hold=0):
    return (struct.pack(">BQ", RENAME, req) + ident + parent +
            bytes([hold]) + named(name))


def show(req, ident):
    return struct.pack(">BQ", SHOW, req) + ident


def withdraw(req, ident):
    return struct.pack(">BQ", WITHDRAW, req) + ident


def accept(tag, applied=0, max_write=262144):
    return struct.pack(">BIQI", ACCEPT, tag, applied, max_write)


def refuse(tag, code=EACCES):
    return struct.pack(">BIH", REFUSE, tag, code)


def ack(tag, seq, state=APPLIED, code=OK, name=b""):
    return struct.pack(">BIQBH", ACK, tag, seq, state, code) + named(name)


def result(req, code=OK):
    return struct.pack(">BQH", RESULT, req, code)


def ack_fields(message):
    """tag, seq, state, code, name of an ACK."""
    _, tag, seq, state, code, length = struct.unpack(">BIQBHH", message[:18])
    assert len(message) == 18 + length
    return tag, seq, state, code, message[18:]


def result_code(message):
    """The code of a RESULT."""
    kind, _, code = struct.unpack(">BQH", message)
    assert kind == RESULT
    return code


# XXH3-128 of what INTEGRITY hashes, by the library itself.

class OpHash:
    def __init__(self):
        import ctypes
        lib = ctypes.CDLL("libxxhash.so.0")

        class Hash128(ctypes.Structure):
            _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]
        lib.XXH3_128bits.restype = Hash128
        lib.XXH3_128bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
        self.lib, self.data, self.count = lib, b"", 0

    def add(self, message):
        """An operation as it is sent; what does not enter is left out."""
        kind = message[0]
        seq = message[1:9]
        if kind == WRITE:
            content = message[17:]
            self.data += content + message[:1] + seq + message[9:17]
            self.data += struct.pack(">Q", len(content))
        elif kind == TRUNCATE:
            self.data += message[:1] + seq + message[9:17] + bytes(8)
        elif kind == RESERVE:
            self.data += message[:1] + seq + message[9:25]
        elif kind == META:
            self.data += message[:1] + seq + message[9:17] + message[29:37]
        elif kind == XATTR:
            content = message[12:]
            self.data += content + message[:1] + seq
            self.data += struct.pack(">QQ", message[9], len(content))
        elif kind == MOVE:
            content = message[9:25] + message[27:]
            self.data += content + message[:1] + seq
            self.data += struct.pack(">QQ", 0, len(content))
        else:
            return self
        self.count += 1
        return self

    def digest(self):
        h = self.lib.XXH3_128bits(self.data, len(self.data))
        return struct.pack(">QQ", h.high, h.low)


def transfer(offered, operations, size, hold=0):
    """An OFFER, its operations, and the COMMIT that fits them."""
    hashed = OpHash()
    for operation in operations:
        hashed.add(operation)
    return [offered, *operations,
            check(COMMIT, len(operations) + 1, size, hashed.count,
                  hashed.digest(), hold)]


def file_messages(tag, name, content, ident=None, split=2, hold=0, **fields):
    """OFFER, WRITEs, META and COMMIT of a whole file: four kinds at least."""
    step = max(1, -(-len(content) // split))
    operations = [write(number + 1, at, content[at:at + step])
                  for number, at in enumerate(range(0, len(content), step))]
    operations.append(meta(len(operations) + 1))
    return transfer(offer(tag, name, ident, **fields), operations,
                    len(content), hold)


class Listener:
    """A peer that is dialled: the receiver's side, message by message."""

    def __init__(self, static=None, name="mallory"):
        self.static = static or X25519PrivateKey.generate()
        self.name = name
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(20)
        self.port = self.socket.getsockname()[1]

    def close(self):
        self.socket.close()

    def take(self):
        """The next caller, its handshake done; a Peer to talk through."""
        peer = Peer.__new__(Peer)
        peer.socket, _ = self.socket.accept()
        peer.socket.settimeout(10)
        peer.static, peer.name, peer.sent = self.static, self.name, []
        peer.ciphers, peer.listens = CHACHA, self.port
        preamble = peer.take(8)
        noise = peer.noise = Noise(self.static,
                                   b"gtfs-protocol v1" + preamble, False)
        noise.read(["e"], peer.take(int.from_bytes(peer.take(2), "big")))
        nonce = os.urandom(32)
        answer = noise.write(["e", "ee", "s", "es"], nonce +
                             struct.pack(">H", CHACHA) + peer.hello())
        transcript = noise.h
        peer.socket.sendall(PREAMBLE)
        peer.send_framed(answer)
        payload = noise.read(["s", "se"],
                             peer.take(int.from_bytes(peer.take(2), "big")))
        peer.seed = hashlib.blake2b(
            b"gtfs words v1" + transcript + payload[:32] + nonce,
            digest_size=32).digest()
        peer.theirs = int.from_bytes(payload[32:34], "big")
        into, out = noise.split()
        peer.out, peer.into = Direction(out, CHACHA), Direction(into, CHACHA)
        return peer


__all__ = [name for name in dir() if not name.startswith("_")] + ["InvalidTag"]
