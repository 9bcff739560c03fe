"""Requests of peers, in every state of a connection and for what is not
theirs: nothing changes but what the page allows.
"""

import os
import struct

import pytest

import hostile as h
from hostile_target import (CONTENT, asks, delivers, discarding, empty, makes,
                            opened, receive_published, tree)

pytestmark = pytest.mark.usefixtures("emptied")


@pytest.fixture
def emptied(target):
    yield
    empty(target)


@pytest.fixture
def key():
    """The key of one sender, for several connections."""
    return h.X25519PrivateKey.generate()


# Every request in every state.

def idle(target, **options):
    return h.Peer(target.port, **options)


def committed(target, **options):
    peer = h.Peer(target.port, **options)
    delivers(peer, b"before")
    return peer


STATES = {"idle": idle, "open": opened, "discarding": discarding,
          "after a commit": committed}


def one_of_each(directory, ident):
    """Requests that are all right, each with its own number."""
    return [h.mkdir(1, b"m" * 16, b"made", directory),
            h.symlink(2, b"l" * 16, directory, b"link", b"made/x"),
            h.patch(3, ident, mode=0o640),
            h.setxattr(4, ident, b"user.note", b"value"),
            h.rename(5, ident, b"renamed", directory),
            h.show(6, ident),
            h.patch(7, ident, mode=0o604)]


@pytest.mark.parametrize("state", STATES)
def test_requests_are_done_in_every_state(target, key, state):
    with h.Peer(target.port, key) as peer:
        directory = makes(peer, b"directory")
        ident, _ = delivers(peer, b"file")
    with STATES[state](target, static=key) as peer:
        requests = one_of_each(directory, ident)
        peer.send(*requests)
        for request in requests:
            message = peer.expect(h.RESULT)
            assert message[1:9] == request[1:9], "in their order"
            assert h.result_code(message) == h.OK
        below = target.backing / "directory"
        assert sorted(os.listdir(below)) == ["link", "made", "renamed"]
        assert (below / "renamed").read_bytes() == CONTENT
        assert (below / "renamed").stat().st_mode & 0o7777 == 0o604
        assert os.getxattr(below / "renamed", "user.note") == b"value"
        assert os.readlink(below / "link") == "made/x"
        assert asks(peer, h.withdraw(8, ident)) == h.OK
        assert asks(peer, h.withdraw(9, b"l" * 16)) == h.OK
        assert asks(peer, h.withdraw(10, b"m" * 16)) == h.OK
        assert os.listdir(below) == []
        still_in(state, peer)
    assert "victim" not in target.arrived() or state == "open"


def still_in(state, peer):
    """The requests have not moved the connection from its state."""
    if state == "open":
        messages = h.file_messages(1, b"victim", CONTENT)
        peer.send(*messages[1:])
        assert h.ack_fields(receive_published(peer))[2] == h.PUBLISHED
    elif state == "discarding":
        peer.send(h.write(2, 0, b"x"), h.read(1, 0, 1))
        assert peer.alive()
    else:
        peer.send(h.write(1, 0, b"x"))
        assert peer.ended()


@pytest.mark.parametrize("state", STATES)
def test_requests_again_are_done_once(target, key, state):
    with h.Peer(target.port, key) as peer:
        directory = makes(peer, b"directory")
        ident, _ = delivers(peer, b"file")
    requests = one_of_each(directory, ident)
    with STATES[state](target, static=key) as peer:
        for request in requests:
            assert asks(peer, request) == h.OK
        before = tree(target.backing / "directory")
        for request in requests:
            assert asks(peer, request) == h.OK
        assert tree(target.backing / "directory") == before
        for last in ident, b"l" * 16, b"m" * 16:
            assert asks(peer, h.withdraw(1, last)) == h.OK
            assert asks(peer, h.withdraw(2, last)) == h.ENOENT
        assert os.listdir(target.backing / "directory") == []


def test_requests_have_their_place_among_the_operations(target, key):
    """ABORT and WITHDRAW behind a COMMIT leave nothing, nor without it."""
    for cut in range(1, 6):
        ident = os.urandom(16)
        messages = h.file_messages(1, b"killed", CONTENT, ident)
        with h.Peer(target.port, key) as peer:
            peer.send(*messages[:cut], h.abort(1), h.withdraw(1, ident))
            code = h.result_code(settled(peer))
            assert code == (h.OK if cut == len(messages) else h.ENOENT)
            assert peer.alive()
        assert target.arrived() == []
        target.wait_spool_empty()


def settled(peer):
    """The RESULT, behind whatever the transfer was answered with."""
    while True:
        message = peer.receive()
        if message[0] == h.RESULT:
            return message
        assert message[0] in (h.ACCEPT, h.ACK)


# What is somebody else's, or nobody's.

def for_id(ident, mine):
    """Everything that can name an id; mine: a directory of the asker."""
    return {
        "PATCH": h.patch(1, ident, mode=0o600),
        "SETXATTR": h.setxattr(1, ident, b"user.evil", b"x"),
        "remove": h.setxattr(1, ident, b"user.note", remove=1),
        "RENAME": h.rename(1, ident, b"stolen"),
        "RENAME into mine": h.rename(1, ident, b"stolen", mine),
        "RENAME and hold": h.rename(1, ident, b"stolen~", hold=1),
        "SHOW": h.show(1, ident),
        "WITHDRAW": h.withdraw(1, ident),
        "MKDIR below": h.mkdir(1, os.urandom(16), b"below", ident),
        "SYMLINK below": h.symlink(1, os.urandom(16), ident, b"l", b"t"),
        "OFFER below": h.offer(2, b"below", parent=ident),
        "OFFER base": h.offer(2, b"below", base=ident),
    }


WAYS = list(for_id(bytes(16), bytes(16)))


def refused(peer, message):
    """An OFFER or a request of what is not the peer's."""
    if message[0] == h.OFFER:
        peer.send(message)
        code = int.from_bytes(peer.expect(h.REFUSE)[5:], "big")
    else:
        code = asks(peer, message)
    assert code in (h.ENOENT, h.ESTALE)
    return code


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("what", ["file", "directory", "link", "held"])
def test_what_another_sender_made_is_not_reached(target, way, what):
    with h.Peer(target.port) as owner, h.Peer(target.port) as thief:
        ids = {"directory": makes(owner, b"theirs")}
        ids["file"], _ = delivers(owner, b"note.txt", parent=ids["directory"])
        assert asks(owner, h.setxattr(1, ids["file"], b"user.note",
                                      b"kept")) == h.OK
        ids["link"] = os.urandom(16)
        assert asks(owner, h.symlink(1, ids["link"], ids["directory"],
                                     b"link", b"note.txt")) == h.OK
        ids["held"], _ = delivers(owner, b"held~", state=h.HELD, hold=1)
        mine = makes(thief, b"mine")
        before = tree(target.backing)
        refused(thief, for_id(ids[what], mine)[way])
        assert thief.alive()
        assert tree(target.backing) == before
        # And what was held is still there for its owner.
        assert asks(owner, h.show(1, ids["held"])) == h.OK
    assert (target.backing / "held~").read_bytes() == CONTENT


@pytest.mark.parametrize("way", WAYS)
def test_what_nobody_made_is_nothing(target, way):
    with h.Peer(target.port) as peer:
        mine = makes(peer, b"mine")
        before = tree(target.backing)
        refused(peer, for_id(os.urandom(16), mine)[way])
        assert peer.alive()
        assert tree(target.backing) == before


@pytest.mark.parametrize("how", ["of another sender", "of nobody",
                                 "of a file"])
@pytest.mark.parametrize("kind", ["MOVE", "RENAME"])
def test_a_parent_that_is_not_ours_takes_nothing(target, kind, how):
    with h.Peer(target.port) as owner, h.Peer(target.port) as peer:
        parent = {"of another sender": lambda: makes(owner, b"theirs"),
                  "of nobody": lambda: os.urandom(16),
                  "of a file": lambda: delivers(peer, b"a file")[0]}[how]()
        if kind == "RENAME":
            ident, _ = delivers(peer, b"mine")
            before = tree(target.backing)
            code = asks(peer, h.rename(1, ident, b"gone", parent))
        else:
            before = tree(target.backing)
            operations = [h.write(1, 0, CONTENT), h.move(2, b"gone", parent)]
            peer.send(*h.transfer(h.offer(1, b"mine"), operations,
                                  len(CONTENT)))
            code = h.ack_fields(peer.expect_failure())[3]
        assert code in (h.ESTALE, h.ENOENT)
        assert tree(target.backing) == before


# What its user has touched.

def edit(path):
    with open(path, "ab") as file:
        file.write(b" and more")


def replace(path):
    path.with_name("new").write_bytes(b"another one")
    os.rename(path.with_name("new"), path)


def move_away(path):
    os.rename(path, path.with_name("elsewhere"))


TOUCHES = {"edited": edit, "replaced": replace, "moved": move_away,
           "removed": os.unlink}
CHANGES = [way for way in WAYS if "below" not in way and way != "SHOW"]


@pytest.mark.parametrize("touch", TOUCHES)
@pytest.mark.parametrize("way", CHANGES)
def test_what_was_touched_stays_as_it_is(target, touch, way):
    with h.Peer(target.port) as peer:
        mine = makes(peer, b"mine")
        ident, _ = delivers(peer, b"file")
        TOUCHES[touch](target.backing / "file")
        before = tree(target.backing)
        assert refused(peer, for_id(ident, mine)[way]) == h.ESTALE
        assert tree(target.backing) == before


@pytest.mark.parametrize("touch", TOUCHES)
def test_a_version_of_what_is_touched_meanwhile_is_stale(target, touch):
    """Between the OFFER and the COMMIT: nothing of it appears."""
    with h.Peer(target.port) as peer:
        ident, _ = delivers(peer, b"file")
        messages = h.transfer(h.offer(5, b"file", base=ident),
                              [h.write(1, len(CONTENT), b"more")],
                              len(CONTENT) + 4)
        peer.send(*messages[:-1])
        peer.expect(h.ACCEPT)
        TOUCHES[touch](target.backing / "file")
        before = tree(target.backing)
        peer.send(messages[-1])
        assert h.ack_fields(peer.expect_failure())[3] == h.ESTALE
        assert tree(target.backing) == before


# Files in a transfer of the same sender.

def test_an_id_that_is_still_on_its_way_is_none(target, key):
    ident = os.urandom(16)
    with h.Peer(target.port, key) as one, h.Peer(target.port, key) as two:
        messages = h.file_messages(1, b"on its way", CONTENT, ident)
        one.send(*messages[:-1])
        one.expect(h.ACCEPT)
        for way, message in for_id(ident, h.TOP).items():
            if way != "WITHDRAW":
                refused(two, message)
        one.send(messages[-1])
        receive_published(one)
    assert (target.backing / "on its way").read_bytes() == CONTENT


def test_a_withdrawal_ends_what_is_still_on_its_way(target, key):
    ident = os.urandom(16)
    with h.Peer(target.port, key) as one, h.Peer(target.port, key) as two:
        messages = h.file_messages(1, b"on its way", CONTENT, ident)
        one.send(*messages[:-1])
        one.expect(h.ACCEPT)
        refused(two, h.withdraw(1, ident))
        one.send(messages[-1])
        assert h.ack_fields(one.expect_failure())[3] == h.ECANCELED
    assert target.arrived() == []


def test_a_name_of_our_own_is_not_reached_by_a_rename(target):
    spool = target.backing / ".gtfs-spool"
    before = os.stat(spool)
    with h.Peer(target.port) as peer:
        ident, _ = delivers(peer, b"file")
        directory = makes(peer, b"directory")
        for moved in ident, directory:
            asks(peer, h.rename(1, moved, b".gtfs-spool"))
        peer.send(*h.transfer(h.offer(1, b"n"), [h.move(1, b".gtfs-spool")],
                              0))
        assert struct.unpack(">H", settled_ack(peer)[14:16])[0] in (
            h.OK, h.EACCES, h.EEXIST, h.EILSEQ, h.EPERM)
    after = os.stat(spool)
    assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)
    assert spool.is_dir()


def settled_ack(peer):
    while True:
        message = peer.receive()
        if message[0] == h.ACK and message[13] != h.APPLIED or \
                message[0] == h.ACK and message[14:16] != bytes(2):
            return message


# What they answer.

def test_directories_go_where_they_can(target):
    with h.Peer(target.port) as peer:
        top = makes(peer, b"top")
        inner = makes(peer, b"inner", top)
        full, empty_one = makes(peer, b"full"), makes(peer, b"empty")
        delivers(peer, b"file", parent=full)
        before = tree(target.backing)
        for parent in top, inner:
            assert asks(peer, h.rename(1, top, b"t", parent)) == h.EINVAL
        assert asks(peer, h.withdraw(2, full)) == h.ENOTEMPTY
        assert asks(peer, h.withdraw(3, top)) == h.ENOTEMPTY
        assert tree(target.backing) == before
        # An empty one of its own makes room, one with something in it not.
        assert asks(peer, h.rename(4, inner, b"empty")) == h.OK
        assert asks(peer, h.patch(5, empty_one)) in (h.ENOENT, h.ESTALE)
        assert asks(peer, h.rename(6, top, b"full")) == h.OK
    assert target.arrived() == ["empty", "full", "full (2)"]
    assert os.listdir(target.backing / "full") == ["file"]


def test_a_directory_made_again_is_the_same_one(target):
    with h.Peer(target.port) as one, h.Peer(target.port) as other:
        first = makes(one, b"directory")
        delivers(one, b"file", parent=first)
        second = makes(one, b"directory")
        delivers(one, b"more", parent=second)
        theirs = makes(other, b"directory")
        delivers(other, b"file", b"other", parent=theirs)
        assert asks(one, h.rename(1, second, b"renamed")) == h.OK
        delivers(one, b"third", parent=first)
    assert target.arrived() == ["directory (2)", "renamed"]
    assert sorted(os.listdir(target.backing / "renamed")) == [
        "file", "more", "third"]
    assert (target.backing / "directory (2)/file").read_bytes() == b"other"


def test_a_rename_replaces_only_what_is_the_sender_s_own(target):
    (target.backing / "person").write_bytes(b"a person's")
    with h.Peer(target.port) as other, h.Peer(target.port) as peer:
        delivers(other, b"other", b"another sender's")
        old, _ = delivers(peer, b"own", b"the old one")
        touched, _ = delivers(peer, b"touched", b"before")
        (target.backing / "touched").write_bytes(b"touched")
        for name in b"own", b"other", b"person", b"touched":
            ident, _ = delivers(peer, b"temporary", name + b" new")
            assert asks(peer, h.rename(1, ident, name)) == h.OK
        assert asks(peer, h.patch(2, old)) == h.ENOENT
        assert asks(peer, h.patch(3, touched)) in (h.ENOENT, h.ESTALE)
    content = {name: (target.backing / name).read_bytes().decode()
               for name in target.arrived()}
    assert content == {"own": "own new", "other": "another sender's",
                       "other (2)": "other new", "person": "a person's",
                       "person (2)": "person new", "touched": "touched",
                       "touched (2)": "touched new"}


def test_an_id_used_twice_harms_neither_file(target):
    with h.Peer(target.port) as peer:
        ident, _ = delivers(peer, b"held~", state=h.HELD, hold=1)
        peer.send(*h.file_messages(5, b"again", b"another", ident))
        assert peer.expect(h.REFUSE) == h.refuse(5, h.EEXIST)
        assert target.arrived() == []
        assert asks(peer, h.show(1, ident)) == h.OK
        assert target.arrived() == ["held~"]
        peer.send(*h.file_messages(6, b"again", b"another", ident))
        receive_published(peer)
        assert asks(peer, h.withdraw(2, ident)) == h.OK
        assert asks(peer, h.withdraw(3, ident)) == h.ENOENT
    assert target.arrived() == ["held~"]
    assert (target.backing / "held~").read_bytes() == CONTENT
