"""What a peer may not say: names that are none, values outside their limits,
attributes that are not its own to set, targets of links that leave.
"""

import os

import pytest

import hostile as h
from hostile_target import CONTENT, opened, receive_published

ID = b"i" * 16


# Names.

BAD_NAMES = {
    "empty": b"", "dot": b".", "dot dot": b"..", "absolute": b"/etc/passwd",
    "above": b"../above", "inside": b"a/b", "slash": b"/", "trailing": b"a/",
    "up and down": b"a/../../b", "NUL": b"a\0b", "only NUL": b"\0",
    "256 bytes": b"n" * 256, "65535 bytes": b"n" * 65535,
}


NAMED = {
    "OFFER": lambda name: [h.offer(1, name)],
    "MKDIR": lambda name: [h.mkdir(1, ID, name)],
    "RENAME": lambda name: [h.rename(1, ID, name)],
    "SYMLINK": lambda name: [h.symlink(1, ID, ID, name, b"target")],
    "MOVE": lambda name: [h.offer(1, b"n"), h.move(1, name)],
}


@pytest.mark.parametrize("what", BAD_NAMES)
@pytest.mark.parametrize("kind", NAMED)
def test_a_name_that_is_none_ends_it(target, what, kind):
    with h.Peer(target.port) as peer:
        peer.send(*NAMED[kind](BAD_NAMES[what]))
        assert peer.ended()
    assert target.arrived() == []


STRANGE_NAMES = {
    "255 bytes": b"n" * 255, "newline": b"a\nb", "escape": b"\x1b]52;c;x\x07",
    "not UTF-8": b"\xff\xfe", "dots": b"...", "blank": b" ", "dash": b"-rf",
    "control": b"\x01", "backslash": b"..\\..\\x", "hidden": b".bashrc",
    "desktop": b"x.desktop", "bidi": "\u202egpj.exe".encode(),
}


@pytest.mark.parametrize("what", STRANGE_NAMES)
def test_a_strange_name_stays_in_the_inbox(target, what):
    name = STRANGE_NAMES[what]
    with h.Peer(target.port) as peer:
        peer.send(*h.file_messages(1, name, CONTENT))
        receive_published(peer)
    assert [os.fsencode(n) for n in target.arrived()] == [name]
    logged = target.log_text()
    assert "\x1b" not in logged and "\x07" not in logged


@pytest.mark.parametrize("kind", ["OFFER", "MKDIR"])
@pytest.mark.parametrize("name", [b".gtfs-spool", b".gtfs"])
def test_a_name_of_our_own_is_not_reached(target, name, kind):
    spool = target.backing / ".gtfs-spool"
    before = os.stat(spool)
    with h.Peer(target.port) as peer:
        if kind == "OFFER":
            peer.send(*h.file_messages(1, name, CONTENT))
        else:
            peer.send(h.mkdir(1, os.urandom(16), name))
        peer.receive()
    after = os.stat(spool)
    assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)
    assert os.listdir(spool) == [] or target.wait_spool_empty() is None
    assert sorted(os.listdir(target.path)) == [".gtfs", "inbox", "peers"]


# Values outside their limits.

LIMITS = {
    "mode": h.offer(1, b"n", mode=0o1777),
    "setuid": h.offer(1, b"n", mode=0o4755),
    "size": h.offer(1, b"n", size=2 ** 63),
    "id of zero": h.offer(1, b"n", ident=bytes(16)),
    "trailing byte": h.offer(1, b"n") + b"\0",
    "short": h.offer(1, b"n")[:-1],
    "name beyond the end": h.offer(1, b"n")[:-3] + b"\0\x09n",
    "cookie of zero": h.ping(0),
    "PING of 8 bytes": h.ping(1)[:-1],
    "MKDIR of id zero": h.mkdir(1, bytes(16), b"n"),
    "MKDIR sticky": h.mkdir(1, b"i" * 16, b"n", mode=0o1777),
    "PATCH mask": h.patch(1, b"i" * 16, mask=8),
    "PATCH mode": h.patch(1, b"i" * 16, mode=0o7777),
    "SYMLINK in the top": h.symlink(1, ID, h.TOP, b"n", b"t"),
    "SYMLINK of id zero": h.symlink(1, bytes(16), ID, b"n", b"t"),
    "SETXATTR of id zero": h.setxattr(1, bytes(16), b"user.a"),
    "RENAME of id zero": h.rename(1, bytes(16), b"n"),
    "RENAME hold": h.rename(1, ID, b"n", hold=2),
    "SHOW of id zero": h.show(1, bytes(16)),
    "SHOW trailing": h.show(1, ID) + b"\0",
    "WITHDRAW of id zero": h.withdraw(1, bytes(16)),
    "WITHDRAW short": h.withdraw(1, ID)[:-1],
}
OPEN_LIMITS = {
    "empty WRITE": h.write(1, 0, b""),
    "WRITE of 262145": h.write(1, 0, b"x" * 262145),
    "offset": h.write(1, 2 ** 63, b"x"),
    "end": h.write(1, 2 ** 63 - 1, b"x"),
    "offset -1": h.write(1, 2 ** 64 - 1, b"x"),
    "TRUNCATE": h.truncate(1, 2 ** 63),
    "RESERVE of nothing": h.reserve(1, 0, 0),
    "RESERVE end": h.reserve(1, 2 ** 63 - 1, 1),
    "RESERVE around": h.reserve(1, 1, 2 ** 64 - 1),
    "RESERVE how": h.reserve(1, 0, 1, 6),
    "READ of nothing": h.read(1, 0, 0),
    "READ of 262145": h.read(1, 0, 262145),
    "READ beyond": h.read(1, 2 ** 63 - 1, 1),
    "READ at -1": h.read(1, 2 ** 64 - 1, 1),
    "MOVE trailing": h.move(1, b"n") + b"\0",
    "META mask": h.meta(1, mask=8),
    "META mode": h.meta(1, mode=0o2755),
    "COMMIT size": h.check(h.COMMIT, 1, 2 ** 63, 0, bytes(16)),
    "COMMIT short": h.check(h.COMMIT, 1, 0, 0, bytes(16))[:-1],
    "COMMIT hold": h.check(h.COMMIT, 1, 0, 0, bytes(16), 2),
    "CHECKPOINT hold": h.check(h.CHECKPOINT, 1, 0, 0, bytes(16)) + b"\0",
}


@pytest.mark.parametrize("what", LIMITS)
def test_a_value_out_of_its_limits_ends_it(target, what):
    with h.Peer(target.port) as peer:
        peer.send(LIMITS[what])
        assert peer.ended()
    assert target.arrived() == []


@pytest.mark.parametrize("what", OPEN_LIMITS)
def test_an_operation_out_of_its_limits_ends_it(target, what):
    with opened(target) as peer:
        peer.send(OPEN_LIMITS[what])
        assert peer.ended()
    assert target.arrived() == []


# Attributes.

BAD_ATTRIBUTES = {
    "ours": b"user.gtfs.from", "ours too": b"user.gtfs.", "bare": b"user.",
    "empty": b"", "security": b"security.capability",
    "selinux": b"security.selinux", "trusted": b"trusted.overlay.opaque",
    "ACL": b"system.posix_acl_access", "no namespace": b"comment",
    "case": b"USER.a", "NUL": b"user.a\0b", "256 bytes": b"user." + b"n" * 251,
    "65535 bytes": b"user." + b"n" * 65530,
}
BAD_VALUES = {
    "65537 bytes": (b"user.a", b"v" * 65537, 0),
    "a removal with a value": (b"user.a", b"v", 1),
    "neither set nor removed": (b"user.a", b"", 2),
}
ATTRIBUTES = {**{what: (name, b"v", 0)
                 for what, name in BAD_ATTRIBUTES.items()}, **BAD_VALUES}


@pytest.mark.parametrize("what", ATTRIBUTES)
@pytest.mark.parametrize("kind", ["XATTR", "SETXATTR"])
def test_an_attribute_that_may_not_cross_ends_it(target, what, kind):
    with opened(target) as peer:
        if kind == "XATTR":
            peer.send(h.xattr(1, *ATTRIBUTES[what]))
        else:
            peer.send(h.setxattr(1, ID, *ATTRIBUTES[what]))
        assert peer.ended()
    assert target.arrived() == []


def test_attributes_arrive_and_the_largest_fails_nothing(target):
    """Whether the disk keeps it or not; the small one it keeps."""
    operations = [h.write(1, 0, CONTENT), h.xattr(2, b"user.note", b"kept"),
                  h.xattr(3, b"user.gone", b"x"),
                  h.xattr(4, b"user.gone", remove=1),
                  h.xattr(5, b"user." + b"n" * 250, b"v" * 65536),
                  h.xattr(6, b"user.never", remove=1)]
    with h.Peer(target.port) as peer:
        peer.send(*h.transfer(h.offer(1, b"noted"), operations, len(CONTENT)))
        receive_published(peer)
    kept = os.listxattr(target.backing / "noted")
    assert "user.note" in kept and "user.gone" not in kept
    assert os.getxattr(target.backing / "noted", "user.note") == b"kept"
    sender = os.getxattr(target.backing / "noted", "user.gtfs.from")
    assert sender != b"v"


# Targets of links.

BAD_TARGETS = {
    "empty": b"", "absolute": b"/etc/passwd", "slash": b"/",
    "down and up": b"a/..", "and beyond": b"a/../../b", "up, down, up":
    b"../a/../..", "NUL": b"a\0b", "only NUL": b"\0",
    "4096 bytes": b"t" * 4096, "200000 bytes": b"t" * 200000,
}


@pytest.mark.parametrize("what", BAD_TARGETS)
def test_a_target_that_is_none_ends_it(target, what):
    with h.Peer(target.port) as peer:
        peer.send(h.mkdir(1, ID, b"directory"))
        assert h.result_code(peer.expect(h.RESULT)) == h.OK
        peer.send(h.symlink(2, b"l" * 16, ID, b"link", BAD_TARGETS[what]))
        assert peer.ended()
    assert os.listdir(target.backing / "directory") == []
