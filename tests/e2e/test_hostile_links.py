"""Links that a peer makes: none leads out of the topmost directory that was
sent, however it and what is above it are renamed, and nothing is written
through one.
"""

import os

import pytest

import hostile as h
from hostile_target import (CONTENT, asks, delivers, empty, makes,
                            receive_published, tree)

pytestmark = pytest.mark.usefixtures("emptied")


@pytest.fixture
def emptied(target):
    yield
    empty(target)


def links(peer, parent, name, to):
    ident = os.urandom(16)
    return ident, asks(peer, h.symlink(1, ident, parent, name, to))


def nested(peer, depth):
    """The ids of directories d0, d0/d1 ..."""
    ids = [h.TOP]
    for n in range(depth + 1):
        ids.append(makes(peer, b"d%d" % n, ids[-1]))
    return ids[1:]


@pytest.mark.parametrize("depth", range(3))
@pytest.mark.parametrize("climb", range(5))
@pytest.mark.parametrize("form", [b"../", b".././", b"..//", b"./../"],
                         ids=["plain", "dot", "slashes", "dot first"])
def test_a_link_climbs_to_the_topmost_directory_at_most(target, depth, climb,
                                                        form):
    with h.Peer(target.port) as peer:
        ids = nested(peer, depth)
        to = form * climb + b"x"
        _, code = links(peer, ids[depth], b"link", to)
        path = target.backing.joinpath(*[f"d{n}" for n in range(depth + 1)])
        if climb <= depth:
            assert code == h.OK
            assert os.readlink(path / "link") == to.decode()
        else:
            assert code == h.EPERM
            assert os.listdir(path) == []


def renames_that_leave():
    """What is renamed where: d0/d1/d2 with links that climb once and twice."""
    return {
        "a link, up": ("twice", b"link", "d1"),
        "a link, to the top": ("twice", b"link", "top"),
        "a link that climbs once, up": ("once", b"link", "d0"),
        "a link that stays, to the top": ("never", b"link", "top"),
        "its directory, up": ("d2", b"d", "d0"),
        "its directory, to the top": ("d2", b"d", "top"),
        "the one above, to the top": ("d1", b"d", "top"),
    }


@pytest.mark.parametrize("what", renames_that_leave())
def test_no_rename_lets_a_link_leave(target, what):
    moved, name, where = renames_that_leave()[what]
    with h.Peer(target.port) as peer:
        ids = dict(zip(("d0", "d1", "d2"), nested(peer, 2)))
        ids["top"] = h.TOP
        for link, parent, to in (("twice", "d2", b"../../x"),
                                 ("once", "d1", b"../x"),
                                 ("never", "d0", b"x")):
            ids[link], code = links(peer, ids[parent], link.encode(), to)
            assert code == h.OK
        before = tree(target.backing)
        assert asks(peer, h.rename(1, ids[moved], name,
                                   ids[where])) == h.EXDEV
        assert tree(target.backing) == before
        # Where they stay inside they may go.
        assert asks(peer, h.rename(2, ids["once"], b"o", ids["d2"])) == h.OK
        assert asks(peer, h.rename(3, ids["never"], b"n", ids["d2"])) == h.OK
        other = makes(peer, b"other")
        assert asks(peer, h.rename(4, ids["d1"], b"deep", other)) == h.OK
    assert sorted(os.listdir(target.backing / "other/deep/d2")) == [
        "n", "o", "twice"]


def test_a_file_is_not_written_through_a_link(target):
    with h.Peer(target.port) as peer:
        top = makes(peer, b"top")
        inner = makes(peer, b"inner", top)
        for name, to in ((b"file", b"missing"), (b"way", b"inner"),
                         (b"up", b".")):
            assert links(peer, top, name, to)[1] == h.OK
        delivers(peer, b"file", parent=top)
        assert not (target.backing / "top/missing").exists()
        # A directory by the name of a link is another one.
        again = makes(peer, b"way", top)
        delivers(peer, b"below", parent=again)
        assert os.listdir(target.backing / "top/inner") == []
        delivers(peer, b"honest", parent=inner)
    assert os.listdir(target.backing / "top/inner") == ["honest"]
    for name in "way", "up":
        assert (target.backing / "top" / name).is_symlink()


def test_a_link_is_no_directory(target):
    """Neither its id nor what it leads to is a parent."""
    with h.Peer(target.port) as peer:
        top = makes(peer, b"top")
        makes(peer, b"inner", top)
        link, code = links(peer, top, b"way", b"inner")
        assert code == h.OK
        peer.send(h.offer(3, b"below", parent=link))
        assert peer.expect(h.REFUSE)[5:] == h.ESTALE.to_bytes(2, "big")
        assert asks(peer, h.mkdir(2, os.urandom(16), b"below", link)) == \
            h.ESTALE
        assert asks(peer, h.patch(3, link, mode=0o777)) in (h.OK, h.EINVAL)
    assert (target.backing / "top/inner").stat().st_mode & 0o7777 == 0o755
    assert os.listdir(target.backing / "top/inner") == []


def test_a_link_that_its_user_replaced_is_not_taken(target):
    with h.Peer(target.port) as peer:
        top = makes(peer, b"top")
        link, code = links(peer, top, b"link", b"a")
        assert code == h.OK
        path = target.backing / "top/link"
        path.unlink()
        path.symlink_to("/etc/passwd")
        before = tree(target.backing)
        for request in (h.rename(1, link, b"mine", top), h.withdraw(2, link)):
            assert asks(peer, request) == h.ESTALE
        assert tree(target.backing) == before


def test_a_directory_swapped_for_a_link_is_not_entered(target, tmp_path):
    """What is below a directory that its user put a link in place of."""
    outside = tmp_path / "outside"
    outside.mkdir()
    with h.Peer(target.port) as peer:
        top = makes(peer, b"top")
        inner = makes(peer, b"inner", top)
        ident, _ = delivers(peer, b"file", parent=inner)
        (target.backing / "top/inner").rename(target.backing / "top/away")
        (target.backing / "top/inner").symlink_to(outside)
        peer.send(h.offer(3, b"below", parent=inner))
        assert peer.expect(h.REFUSE)[5:] == h.ESTALE.to_bytes(2, "big")
        for request in (h.mkdir(1, os.urandom(16), b"d", inner),
                        h.symlink(2, os.urandom(16), inner, b"l", b"t"),
                        h.rename(3, ident, b"moved", inner),
                        h.withdraw(4, inner)):
            assert asks(peer, request) == h.ESTALE
        peer.send(*h.file_messages(4, b"still", CONTENT))
        receive_published(peer)
    assert os.listdir(outside) == []
    assert os.listdir(target.backing / "top/away") == ["file"]
