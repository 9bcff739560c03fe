"""What the tests of hostile peers share: a connection to the one gtfs that
they attack (fixture target), and somebody honest beside them.
"""

import os
import shutil
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


def discarding(target, **options):
    """A connection whose transfer has failed: writes past any file."""
    peer = opened(target, **options)
    peer.send(h.write(1, 2 ** 63 - 2, b"x"))
    code = h.ack_fields(peer.expect_failure())[3]
    assert code not in (h.OK, h.ECANCELED)
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


def delivers(peer, name, content=CONTENT, state=h.PUBLISHED, **fields):
    """The id of a file that this peer has just sent; the name it got."""
    ident = os.urandom(16)
    tag = int.from_bytes(os.urandom(3), "big") + 100
    peer.send(*h.file_messages(tag, name, content, ident, **fields))
    got = h.ack_fields(receive_published(peer))
    assert (got[0], got[2], got[3]) == (tag, state, h.OK)
    return ident, got[4]


def makes(peer, name, parent=h.TOP):
    """The id of a directory that this peer has just made."""
    ident = os.urandom(16)
    assert asks(peer, h.mkdir(1, ident, name, parent)) == h.OK
    return ident


def asks(peer, request):
    """The code of the RESULT of one request."""
    peer.send(request)
    message = peer.expect(h.RESULT)
    assert message[1:9] == request[1:9]
    return h.result_code(message)


def tree(top):
    """Everything below top, with all that a request could change of it."""
    found = {}
    for folder, folders, files in os.walk(top):
        folders[:] = [name for name in folders if name != ".gtfs-spool"]
        for name in folders + files:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            found[os.path.relpath(path, top)] = (
                st.st_ino, st.st_mode, st.st_mtime_ns,
                os.readlink(path) if os.path.islink(path) else None,
                None if os.path.islink(path) else
                {name: os.getxattr(path, name) for name in
                 os.listxattr(path)},
                open(path, "rb").read() if os.path.isfile(path) and
                not os.path.islink(path) else None)
    return found


def empty(target):
    """Removes what the test has made arrive."""
    for name in target.arrived():
        path = target.backing / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
