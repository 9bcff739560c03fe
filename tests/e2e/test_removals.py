"""Directories, links and unlink under peers/ (design section 2).

The names that one test uses are used by no other: what was sent stays listed.
"""

import errno
import os
import socket

import pytest

from inbox_help import fails, fill, opened
from material import Watcher
from netbed import wait_for
from test_names import WRITE, wait_arrived


def remover(mount, *paths):
    """Another process than the one that wrote them."""
    mount.sh('rm -rf -- "$@"', *paths)


# --- unlink -------------------------------------------------------------------

@pytest.mark.quick
@pytest.mark.sanitize
def test_unlink_in_flight_cancels(pair):
    path = pair.ab / "flying"
    fd = os.open(path, WRITE)
    os.write(fd, b"x" * 100000)
    os.fsync(fd)
    os.unlink(path)
    assert not path.exists()
    pair.b.wait_spool_empty()
    with fails(errno.ECANCELED):
        os.write(fd, b"more")
    with fails(errno.ECANCELED):
        os.close(fd)
    assert pair.b.arrived() == []


@pytest.mark.quick
@pytest.mark.sanitize
def test_unlink_by_the_writer_soon_after_takes_it_back(pair):
    """A cancelled copy of KIO or curl closes its file, and then unlinks it."""
    path = fill(pair.ab / "regretted", b"x")
    assert pair.b.arrived() == ["regretted"]
    os.unlink(path)
    wait_arrived(pair.b)
    assert not path.exists()


def test_unlink_takes_nothing_back_that_was_touched(pair):
    path = fill(pair.ab / "worked on", b"x")
    (pair.b.backing / "worked on").write_bytes(b"the receiver's work")
    os.unlink(path)
    fill(pair.ab / "behind it", b"x")  # requests are done in order
    os.rename(pair.ab / "behind it", pair.ab / "after it")
    assert pair.b.arrived() == ["after it", "worked on"]


def test_unlink_by_another_only_forgets(pair):
    path = fill(pair.ab / "stays", b"x")
    remover(pair.a, path)
    assert not path.exists()
    os.rename(fill(pair.ab / "after", b"x"), pair.ab / "after that")
    assert pair.b.arrived() == ["after that", "stays"]


@pytest.mark.limit(90)
def test_unlink_by_the_writer_later_only_forgets(pair):
    path, other = fill(pair.ab / "aged", b"x"), pair.ab / "aged too"
    committed = os.stat(path).st_mtime
    fill(other, b"y")

    def old():
        # The clock of the mount itself says when five seconds have passed.
        fill(pair.ab / "clock", b"t")
        return os.stat(pair.ab / "clock").st_mtime - committed > 5.5
    wait_for(old, 20, "five seconds", interval=0.25)
    os.unlink(path)
    os.unlink(other)
    os.rename(pair.ab / "clock", pair.ab / "clock 2")
    assert {"aged", "aged too"} <= set(pair.b.arrived())


def test_unlink_of_what_is_held_takes_it_back(pair):
    """By anybody: it was never shown."""
    with Watcher(pair.bed, pair.b.backing) as seen:
        path = fill(pair.ab / "never.part", b"x")
        assert pair.b.spooled()
        remover(pair.a, path)
        pair.b.wait_spool_empty()
    assert not seen.sizes


def test_unlink_and_create_again(pair):
    path = fill(pair.ab / "again", b"one")
    os.unlink(path)
    fill(path, b"two")
    wait_arrived(pair.b, "again")
    assert (pair.b.backing / "again").read_bytes() == b"two"


def test_unlink_while_a_newer_version_flies(pair):
    path = fill(pair.ab / "newer", b"one")
    with pytest.raises(OSError), opened(path, os.O_WRONLY | os.O_APPEND) as fd:
        os.write(fd, b"two")
        remover(pair.a, path)
    pair.b.wait_spool_empty()
    assert (pair.b.backing / "newer").read_bytes() == b"one"


# What was removed and made again, before the peer was done with the removal.
# Each goes its own way there: on whichever connection is free.

ROUNDS = 40


def remake_link(path):
    os.symlink("target", path)
    os.unlink(path)
    fill(path, b"new")
    return path.name


def remake_file(path):
    """The same content: no second copy, and the first is being taken back."""
    fill(path, b"new")
    os.unlink(path)
    fill(path, b"new")
    return path.name


def remake_directory(path):
    path.mkdir()
    path.rmdir()
    path.mkdir()
    fill(path / "file", b"new")
    return f"{path.name}/file"


def replace_link(path):
    """The name is taken by a rename of what is still being written."""
    os.symlink("target", path)
    with opened(path.with_name("x"), WRITE) as fd:
        os.write(fd, b"new")
        os.rename(path.with_name("x"), path)
    return path.name


@pytest.mark.parametrize("remake", [remake_link, remake_file, remake_directory,
                                    replace_link], ids=lambda f: f.__name__)
def test_a_name_is_used_again_at_once(pair, remake):
    top = pair.ab / f"again-{remake.__name__}"
    there = pair.b.backing / top.name
    top.mkdir()
    arrived = [remake(top / str(i)) for i in range(ROUNDS)]
    # Requests are done in order: all removals come before this one.
    (top / "last").mkdir()
    wait_for((there / "last").is_dir, 5, "the last request is done")
    assert [name for name in arrived if not (there / name).is_file()
            or (there / name).read_bytes() != b"new"] == []
    assert len(os.listdir(there)) == ROUNDS + 1


# --- directories --------------------------------------------------------------

@pytest.mark.quick
def test_empty_directories_arrive(pair):
    (pair.ab / "empty" / "nested" / "deep").mkdir(parents=True)
    wait_for((pair.b.backing / "empty" / "nested" / "deep").is_dir, 5,
             "directories arrive")
    with fails(errno.EEXIST):
        os.mkdir(pair.ab / "empty")
    with fails(errno.ENAMETOOLONG):
        os.mkdir(pair.ab / ("l" * 256))


def test_rmdir_by_its_maker_soon_after_takes_it_back(pair):
    path = pair.ab / "made in vain"
    path.mkdir()
    wait_arrived(pair.b, path.name)
    fill(path / "file", b"x")
    with fails(errno.ENOTEMPTY):
        os.rmdir(path)
    with fails(errno.EISDIR):
        os.unlink(path)
    os.unlink(path / "file")
    os.rmdir(path)
    wait_arrived(pair.b)


def test_rmdir_by_another_only_forgets(pair):
    path = pair.ab / "kept"
    path.mkdir()
    fill(path / "file", b"x")
    remover(pair.a, path)
    assert not path.exists()
    os.rename(fill(pair.ab / "wake", b"x"), pair.ab / "waker")
    assert pair.b.arrived() == ["kept", "waker"]
    assert (pair.b.backing / "kept" / "file").read_bytes() == b"x"


def test_rmdir_of_a_file_and_of_the_fixed_ones(pair):
    with fails(errno.ENOTDIR):
        os.rmdir(fill(pair.ab / "no directory"))
    for path in pair.ab, pair.a.peers, pair.a.path / ".gtfs":
        with fails(errno.EPERM):
            os.rmdir(path)
    with fails(errno.EPERM):
        os.mkdir(pair.a.path / "new")
    with fails(errno.EPERM):
        os.mkdir(pair.a.peers / "new")
    with fails(errno.EPERM):
        os.mkdir(pair.a.path / ".gtfs" / "new")


def test_trash_is_refused(pair):
    (pair.ab / "sub").mkdir()
    for top in pair.ab, pair.a.path:
        for name in ".Trash", ".Trash-0", ".Trash-1000":
            with fails(errno.EPERM):
                os.mkdir(top / name)
            with fails(errno.EPERM):
                os.open(top / name, WRITE)
    with fails(errno.EPERM):
        os.rename(pair.ab / "sub", pair.ab / ".Trash-0")
    # Below it is a name like any other, and so is other litter at the top.
    (pair.ab / "sub" / ".Trash-0").mkdir()
    for name in ".directory", "desktop.ini", ".DS_Store":
        fill(pair.ab / name, b"data")
    wait_arrived(pair.b, ".DS_Store", ".directory", "desktop.ini", "sub")


# --- links --------------------------------------------------------------------

@pytest.mark.quick
@pytest.mark.sanitize
def test_symlinks_that_stay_inside_are_carried(pair):
    top = pair.ab / "linked"
    (top / "sub").mkdir(parents=True)
    links = {"plain": "file", "down": "sub/file", "dangling": "no/such/thing",
             "sub/up": "../file", "sub/beside": "up", "sub/here": "."}
    for name, target in links.items():
        os.symlink(target, top / name)
        assert os.readlink(top / name) == target
        assert os.lstat(top / name).st_size == len(target)
        assert os.path.islink(top / name)
    fill(top / "file", b"content")
    there = pair.b.backing / "linked"
    for name, target in links.items():
        wait_for(lambda: os.path.lexists(there / name), 5, f"{name} arrives")
        assert os.readlink(there / name) == target
    assert (there / "sub" / "beside").read_bytes() == b"content"
    with os.scandir(top) as entries:
        kinds = {e.name: (e.is_symlink(), e.is_dir(follow_symlinks=False))
                 for e in entries}
    assert kinds["plain"] == (True, False) and kinds["sub"] == (False, True)


def test_symlinks_that_leave_are_refused(pair):
    top = pair.ab / "closed"
    (top / "sub").mkdir(parents=True)
    for target in "/etc/passwd", "..", "../x", "sub/../../x", "sub/..":
        with fails(errno.EPERM):
            os.symlink(target, top / "bad")
    for target in "../..", "../../x", "/":
        with fails(errno.EPERM):
            os.symlink(target, top / "sub" / "bad")
    for target in "closed", "closed/sub", "../a", "/":
        with fails(errno.EPERM):
            os.symlink(target, pair.ab / "bad")
    with fails(errno.ENAMETOOLONG):
        os.symlink("x/" * 2048, top / "bad")
    assert sorted(os.listdir(top)) == ["sub"]


def test_no_rename_makes_a_symlink_leave(pair):
    top, other = pair.ab / "home", pair.ab / "other home"
    (top / "a" / "b").mkdir(parents=True)
    other.mkdir()
    os.symlink("../../x", top / "a" / "b" / "up")
    with fails(errno.EXDEV):
        os.rename(top / "a" / "b" / "up", top / "a" / "up")
    with fails(errno.EXDEV):
        os.rename(top / "a" / "b", top / "b")
    with fails(errno.EXDEV):
        os.rename(top / "a", pair.ab / "a")
    os.symlink("plain", top / "link")
    with fails(errno.EXDEV):
        os.rename(top / "link", pair.ab / "link")
    # At the same depth it may go, from one to another as well.
    os.rename(top / "a", other / "a")
    os.rename(top / "link", other / "link")
    there = pair.b.backing / "other home"
    assert os.readlink(there / "a" / "b" / "up") == "../../x"
    assert os.readlink(there / "link") == "plain"
    assert os.listdir(pair.b.backing / "home") == []


def test_a_link_is_replaced_like_a_file(pair):
    """ln -sf makes another one and renames it."""
    top = pair.ab / "set"
    top.mkdir()
    fill(top / "f", b"x")
    pair.a.sh('cd "$1" && ln -s one link && ln -sfn two link', top)
    there = pair.b.backing / "set"
    assert os.readlink(there / "link") == os.readlink(top / "link") == "two"
    assert sorted(os.listdir(there)) == ["f", "link"]
    os.rename(top / "f", top / "link")
    assert sorted(os.listdir(there)) == ["link"]
    assert (there / "link").read_bytes() == b"x"


def test_unlink_of_a_symlink_by_its_maker_takes_it_back(pair):
    top = pair.ab / "links"
    top.mkdir()
    for name in "mine", "theirs":
        os.symlink("target", top / name)
    with fails(errno.ENOTDIR):
        os.rmdir(top / "mine")
    remover(pair.a, top / "theirs")
    os.unlink(top / "mine")
    wait_for(lambda: os.path.isdir(pair.b.backing / "links") and
             os.listdir(pair.b.backing / "links") == ["theirs"], 5, "gone")


def test_what_is_no_file_is_refused(pair):
    path = fill(pair.ab / "ordinary", b"x")
    with fails(errno.EPERM):
        os.link(path, pair.ab / "hard")
    with fails(errno.EPERM):
        os.mkfifo(pair.ab / "fifo")
    with fails(errno.EPERM):
        os.mknod(pair.ab / "device", 0o020600, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as server, \
            pytest.raises(OSError) as error:
        # sun_path is short: by a descriptor of the directory.
        top = os.open(pair.ab, os.O_RDONLY)
        try:
            server.bind(f"/proc/self/fd/{top}/socket")
        finally:
            os.close(top)
    assert error.value.errno == errno.EPERM
    assert pair.b.arrived() == ["ordinary"]


def test_cp_of_a_tree_with_links(pair, scratch):
    tree = scratch / "tree with links"
    (tree / "a").mkdir(parents=True)
    fill(tree / "a" / "f", b"x")
    os.symlink("a/f", tree / "good")
    os.link(tree / "a" / "f", tree / "hard")
    done = pair.a.sh('cp -rP --preserve=mode,timestamps "$1" "$2"', tree,
                     pair.ab)
    assert done.stderr == ""
    there = pair.b.backing / tree.name
    wait_for(lambda: os.path.lexists(there / "good"), 5, "the link is there")
    assert os.readlink(there / "good") == "a/f"
    assert (there / "hard").read_bytes() == b"x"
    # What cannot be carried is an error of the program, in its words.
    done = pair.a.sh('cp -a "$1" "$2/second"', tree, pair.ab, check=False)
    assert done.returncode == 1 and "hard link" in done.stderr
    os.unlink(tree / "hard")
    os.symlink("/etc", tree / "bad")
    done = pair.a.sh('cp -a "$1" "$2/third"', tree, pair.ab, check=False)
    assert done.returncode == 1 and "not permitted" in done.stderr
    third = pair.b.backing / "third"
    wait_for(lambda: sorted(os.listdir(third)) == ["a", "good"], 5,
             "all but the link that leads out")
