"""Renames under peers/ (design section 2, "rename inside peers/laptop/").

The names that one test uses are used by no other: what was sent stays listed.
"""

import errno
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from inbox_help import EXCHANGE, NOREPLACE, fails, fill, opened, renameat2
from material import Watcher, wait_gone
from netbed import SCALE, wait_for

WRITE = os.O_WRONLY | os.O_CREAT
PATIENCE = ["--patience", "20"]

# Renames $1 to $2, having a timer that interrupts it.
RENAMER = """
import os, signal, sys
signal.signal(signal.SIGALRM, lambda *a: None)
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
print("ready", flush=True)
os.rename(sys.argv[1], sys.argv[2])
"""


def wait_arrived(mount, *names):
    wait_for(lambda: mount.arrived() == sorted(names), 5,
             lambda: f"{sorted(names)} arrive, now {mount.arrived()}")


def wait_content(path, content):
    def there():
        return path.exists() and path.read_bytes() == content
    wait_for(there, 5, f"{path.name} has {content!r}")


@pytest.mark.quick
@pytest.mark.sanitize
@pytest.mark.parametrize("sync", [False, True], ids=["", "after fsync"])
def test_rename_in_flight_is_the_name_that_arrives(pair, sync):
    old, new = pair.ab / f"flying-{sync}", pair.ab / f"landed-{sync}"
    with Watcher(pair.bed, pair.b.backing) as seen:
        with opened(old, WRITE) as fd:
            os.write(fd, b"first ")
            if sync:
                os.fsync(fd)
            os.rename(old, new)
            assert not old.exists() and new.stat().st_size == 6
            os.write(fd, b"second")
        assert (pair.b.backing / new.name).read_bytes() == b"first second"
    assert set(seen.sizes) <= {new.name}


def test_rename_in_flight_more_than_once_and_back(pair):
    paths = [pair.ab / f"stop-{n}" for n in range(4)]
    with opened(paths[0], WRITE) as fd:
        for old, new in zip(paths, paths[1:] + paths[:1]):
            os.write(fd, b"x")
            os.rename(old, new)
    assert pair.b.arrived() == ["stop-0"]
    assert (pair.b.backing / "stop-0").read_bytes() == b"xxxx"


@pytest.mark.quick
@pytest.mark.sanitize
def test_rename_after_close(pair):
    old, new = fill(pair.ab / "closed", b"whole"), pair.ab / "renamed"
    os.rename(old, new)
    assert pair.b.arrived() == ["renamed"]
    assert (pair.b.backing / "renamed").read_bytes() == b"whole"
    assert not old.exists() and new.stat().st_size == 5
    names = os.listdir(pair.ab)
    assert "renamed" in names and "closed" not in names
    os.rename(new, old)
    assert pair.b.arrived() == ["closed"]


@pytest.mark.sanitize
def test_rename_while_another_version_is_being_written(pair):
    """It takes the place of what it began with, wherever that has gone."""
    old, new = fill(pair.ab / "version", b"one "), pair.ab / "version 2"
    with opened(old, os.O_WRONLY | os.O_APPEND) as fd:
        os.write(fd, b"two ")
        os.rename(old, new)
        assert pair.b.arrived() == ["version 2"]
        os.write(fd, b"three")
    assert pair.b.arrived() == ["version 2"]
    assert (pair.b.backing / "version 2").read_bytes() == b"one two three"


def test_rename_while_it_is_being_written_from_nothing(pair):
    """O_TRUNC: the older content is at the peer until the close."""
    old, new = fill(pair.ab / "emptied", b"old"), pair.ab / "filled"
    with opened(old, os.O_WRONLY | os.O_TRUNC) as fd:
        os.write(fd, b"new ")
        os.rename(old, new)
        os.write(fd, b"content")
    assert pair.b.arrived() == ["filled"]
    assert (pair.b.backing / "filled").read_bytes() == b"new content"


def test_rename_over_a_delivered_entry_replaces_it(pair):
    target = fill(pair.ab / "target", b"old")
    os.rename(fill(pair.ab / "delivered", b"new"), target)
    assert pair.b.arrived() == ["target"]
    assert (pair.b.backing / "target").read_bytes() == b"new"
    with opened(pair.ab / "flies", WRITE) as fd:
        os.write(fd, b"newest")
        os.rename(pair.ab / "flies", target)
    assert pair.b.arrived() == ["target"]
    assert (pair.b.backing / "target").read_bytes() == b"newest"


def test_rename_over_what_the_receiver_has_touched_replaces_nothing(pair):
    target = fill(pair.ab / "mine", b"old")
    (pair.b.backing / "mine").write_bytes(b"the receiver's own work")
    os.rename(fill(pair.ab / "next", b"new"), target)
    assert pair.b.arrived() == ["mine", "mine (2)"]
    assert (pair.b.backing / "mine (2)").read_bytes() == b"new"


def test_rename_over_an_entry_in_flight_cancels_that(pair):
    loser = os.open(pair.ab / "same", WRITE)
    os.write(loser, b"loses")
    os.rename(fill(pair.ab / "winner", b"wins"), pair.ab / "same")
    with fails(errno.ECANCELED):
        os.close(loser)
    assert pair.b.arrived() == ["same"]
    assert (pair.b.backing / "same").read_bytes() == b"wins"
    pair.b.wait_spool_empty()


def test_rename_of_what_the_receiver_has_touched_is_refused(pair):
    old = fill(pair.ab / "touched", b"sent")
    (pair.b.backing / "touched").write_bytes(b"edited there")
    with fails(errno.ESTALE):
        os.rename(old, pair.ab / "not this")
    assert pair.b.arrived() == ["touched"]
    assert old.exists() and not (pair.ab / "not this").exists()


@pytest.mark.quick
def test_rename_into_out_of_and_between_directories(pair):
    here, there = pair.ab / "here", pair.ab / "there"
    here.mkdir()
    (there / "deep").mkdir(parents=True)
    backing = pair.b.backing
    path = fill(pair.ab / "wanders", b"content")
    for where in here, there / "deep", pair.ab, there:
        new = where / path.name
        os.rename(path, new)
        path = new
        arrived = backing / path.relative_to(pair.ab)
        assert arrived.read_bytes() == b"content"
        assert len(list(backing.rglob("wanders"))) == 1
    with opened(there / "deep" / "late", WRITE) as fd:
        os.write(fd, b"in flight")
        os.rename(there / "deep" / "late", here / "late")
    assert (backing / "here" / "late").read_bytes() == b"in flight"
    assert os.listdir(backing / "there" / "deep") == []


@pytest.mark.sanitize
def test_rename_of_a_directory_takes_all_below_with_it(pair):
    old, new = pair.ab / "tree", pair.ab / "moved tree"
    (old / "sub").mkdir(parents=True)
    fill(old / "sub" / "there", b"there")
    with opened(old / "sub" / "flies", WRITE) as fd:
        os.write(fd, b"one ")
        os.rename(old, new)
        os.write(fd, b"two")
        fill(new / "sub" / "later", b"later")
    top = pair.b.backing / "moved tree"
    assert pair.b.arrived() == ["moved tree"]
    assert {path.name: path.read_bytes() for path in (top / "sub").iterdir()
            } == {"there": b"there", "flies": b"one two", "later": b"later"}
    (pair.ab / "outer").mkdir()
    os.rename(new, pair.ab / "outer" / "inner")
    fill(pair.ab / "outer" / "inner" / "last", b"last")
    assert (pair.b.backing / "outer/inner/sub/later").read_bytes() == b"later"
    assert (pair.b.backing / "outer/inner/last").read_bytes() == b"last"


def test_rename_of_a_directory_over_another(pair):
    full, empty, third = (pair.ab / n for n in ("full", "empty", "third"))
    for path in full, empty, third:
        path.mkdir()
    fill(full / "file", b"x")
    fill(third / "file", b"y")
    with fails(errno.ENOTEMPTY):
        os.rename(third, full)
    os.rename(full, empty)
    assert pair.b.arrived() == ["empty", "third"]
    assert (pair.b.backing / "empty" / "file").read_bytes() == b"x"


def test_rename_between_a_file_and_a_directory_is_refused(pair):
    path, directory = fill(pair.ab / "a file"), pair.ab / "a directory"
    directory.mkdir()
    with fails(errno.EISDIR):
        os.rename(path, directory)
    with fails(errno.ENOTDIR):
        os.rename(directory, path)
    with fails(errno.EINVAL):
        os.rename(directory, directory / "itself")
    wait_arrived(pair.b, "a directory", "a file")


def test_a_file_and_a_link_replace_each_other(pair):
    top = pair.ab / "kinds"
    top.mkdir()
    there = pair.b.backing / "kinds"
    os.symlink("target", top / "name")
    os.rename(fill(top / "file", b"content"), top / "name")
    assert os.listdir(there) == os.listdir(top) == ["name"]
    assert (there / "name").read_bytes() == b"content"
    os.symlink("target", top / "link")
    os.rename(top / "link", top / "name")
    assert os.listdir(there) == os.listdir(top) == ["name"]
    assert os.readlink(there / "name") == "target"
    pair.b.wait_spool_empty()


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_rename_that_fails_costs_the_other_kind_nothing(pair, kind):
    top = pair.ab / f"no {kind}"
    top.mkdir()
    there = pair.b.backing / top.name
    fill(top / "file", b"content")
    os.symlink("target", top / "link")
    wait_for(lambda: os.path.lexists(there / "link"), 5, "the link")
    # The receiver's user makes it his own.
    if kind == "file":
        (there / kind).write_bytes(b"edited there")
    else:
        os.unlink(there / kind)
        os.symlink("elsewhere", there / kind)
    with fails(errno.ESTALE):
        os.rename(top / kind, top / {"file": "link", "link": "file"}[kind])
    assert sorted(os.listdir(there)) == sorted(os.listdir(top)) == [
        "file", "link"]


def test_rename_without_replacing_and_exchange(pair):
    one, two = fill(pair.ab / "x-one", b"1"), fill(pair.ab / "x-two", b"2")
    with fails(errno.EEXIST):
        renameat2(one, two, NOREPLACE)
    with fails(errno.EINVAL):
        renameat2(one, two, EXCHANGE)
    assert pair.b.arrived() == ["x-one", "x-two"]
    renameat2(one, pair.ab / "x-three", NOREPLACE)
    assert pair.b.arrived() == ["x-three", "x-two"]


def test_rename_to_another_peer_or_place_is_refused(start):
    a, b = start("a"), start("b")
    c = start(b.host, name="c")
    for name in "b", "c":
        a.wait_peer(name)
    for mount in b, c:
        mount.wait_peer("a")
    path = fill(a.to("b") / "for b", b"for b")
    for place in a.to("c"), a.inbox:
        with fails(errno.EXDEV):
            os.rename(path, place / "for b")
    with fails(errno.EPERM):
        os.rename(a.to("b"), a.peers / "other")
    assert b.arrived() == ["for b"] and c.arrived() == []
    # What has arrived is an ordinary file, to be sent on.
    b.sh('mv "$1" "$2"', b.inbox / "for b", b.wait_peer("c"))
    assert b.arrived() == [] and c.arrived() == ["for b"]


def test_rename_to_a_name_that_is_too_long(pair):
    path = fill(pair.ab / "short", b"x")
    with fails(errno.ENAMETOOLONG):
        os.rename(path, pair.ab / ("l" * 256))
    os.rename(path, pair.ab / ("l" * 255))
    assert pair.b.arrived() == ["l" * 255]


def test_rename_of_a_failed_transfer_says_why(pair):
    path = pair.ab / "cancelled"
    fd = os.open(path, WRITE)
    os.write(fd, b"x")
    fill(pair.ab / "over it", b"y").rename(path)
    with fails(errno.ECANCELED):
        os.close(fd)


# --- a peer that does not answer ---------------------------------------------

@pytest.mark.sanitize
def test_rename_waits_two_seconds_for_the_peer(fresh_pair):
    """Then it says so; what was asked for happens when the peer is back."""
    a, b = fresh_pair(PATIENCE)
    old, new = fill(a.to("b") / "old", b"content"), a.to("b") / "new"
    b.pause()
    started = time.monotonic()
    with fails(errno.ETIMEDOUT):
        os.rename(old, new)
    took = time.monotonic() - started
    assert 1.9 < took < 2.6 * SCALE
    assert old.exists() and not new.exists()
    b.resume()
    wait_arrived(b, "new")
    wait_for(new.exists, 5, "the new name is listed")
    assert not old.exists()
    os.rename(new, old)
    assert b.arrived() == ["old"]


def test_a_rename_that_was_never_asked_for_does_not_happen(fresh_pair):
    """So many requests stand before it that it has not been sent."""
    a, b = fresh_pair(PATIENCE)
    old, new = fill(a.to("b") / "old", b"content"), a.to("b") / "new"
    b.pause()
    for n in range(200):
        os.utime(old, ns=(n, n))
    with fails(errno.ETIMEDOUT):
        os.rename(old, new)
    b.resume()
    os.utime(old, ns=(500, 500))
    wait_for(lambda: (b.backing / "old").stat().st_mtime_ns == 500, 5,
             "all is done that was asked for")
    assert b.arrived() == ["old"] and os.listdir(a.to("b")) == ["old"]


def test_a_peer_that_is_away_is_asked_for_nothing(fresh_pair):
    a, b = fresh_pair(PATIENCE)
    path = fill(a.to("b") / "d", b"")
    os.unlink(path)
    path.mkdir()
    old = fill(path / "old", b"content")
    b.kill()
    a.command("accept", "b")  # pinned: its folder stays
    wait_for(lambda: os.getxattr(a.to("b"), "user.gtfs.state") == b"offline",
             10, "b is away")
    with fails(errno.EHOSTUNREACH):
        os.rename(old, path / "new")
    with fails(errno.EHOSTUNREACH):
        os.utime(old, ns=(1, 1))
    with fails(errno.EHOSTUNREACH):
        os.setxattr(old, "user.k", b"v")
    with fails(errno.EHOSTUNREACH):
        os.symlink("target", path / "link")
    assert os.listdir(path) == ["old"]


class Closing:
    """A close that waits for a peer that is stopped."""

    def __init__(self, path, content):
        self.fd, self.path = os.open(path, WRITE), path
        os.write(self.fd, content)
        os.fsync(self.fd)

    def begin(self):
        self.thread = threading.Thread(target=os.close, args=[self.fd])
        self.thread.start()
        wait_for(lambda: os.getxattr(self.path, "user.gtfs.state") ==
                 b"committing", 5, "a commit is under way")

    def end(self):
        self.thread.join()


@pytest.mark.sanitize
@pytest.mark.parametrize("name", ["plain", "plain.part"])
def test_rename_waits_for_a_commit_under_way(fresh_pair, name):
    a, b = fresh_pair(PATIENCE)
    closing = Closing(a.to("b") / name, b"content")
    b.pause()
    closing.begin()
    with fails(errno.ETIMEDOUT):
        os.rename(closing.path, a.to("b") / "too late")
    timer = threading.Timer(0.5, b.resume)
    timer.start()
    os.rename(closing.path, a.to("b") / "final")
    closing.end()
    timer.join()
    assert b.arrived() == ["final"]
    assert (b.backing / "final").read_bytes() == b"content"
    assert sorted(os.listdir(a.to("b"))) == ["final"]


def test_the_end_of_gtfs_ends_a_waiting_rename(fresh_pair):
    a, b = fresh_pair(PATIENCE)
    old, new = fill(a.to("b") / "old", b"x"), a.to("b") / "new"
    b.pause()
    renamer = a.popen(sys.executable, "-c", RENAMER, old, new,
                      stdout=subprocess.PIPE)
    assert renamer.stdout.readline() == b"ready\n"
    a.stop(signal.SIGTERM)
    wait_gone(renamer, 5)
    b.resume()


def test_a_late_rename_leaves_what_came_meanwhile(fresh_pair):
    a, b = fresh_pair(PATIENCE)
    old, new = fill(a.to("b") / "old", b"one"), a.to("b") / "new"
    b.pause()
    with fails(errno.ETIMEDOUT):
        os.rename(old, new)
    fd = os.open(new, WRITE)
    os.write(fd, b"another")
    b.resume()
    os.close(fd)
    wait_for(lambda: sorted(p.read_bytes() for p in b.backing.iterdir()
                            if p.is_file()) == [b"another"], 5, "replaced")
    assert new.stat().st_size == 7


@pytest.mark.sanitize
def test_names_are_answered_at_once_with_the_peer_stopped(fresh_pair):
    """Section 1: but for the publishing rename they come from memory."""
    a, b = fresh_pair(PATIENCE)
    top = a.to("b")
    late = fill(top / "late", b"x")
    b.pause()
    started = time.monotonic()
    (top / "dir").mkdir()
    os.symlink("target", top / "dir" / "link")
    fd = os.open(top / "dir" / "one", WRITE)
    os.rename(top / "dir" / "one", top / "dir" / "two")
    os.chmod(top / "dir" / "two", 0o600)
    os.utime(late, ns=(1, 1))
    os.setxattr(late, "user.k", b"v")
    assert sorted(os.listdir(top / "dir")) == ["link", "two"]
    os.unlink(top / "dir" / "two")
    os.unlink(top / "dir" / "link")
    os.rmdir(top / "dir")
    os.statvfs(top)
    assert time.monotonic() - started < 0.5 * SCALE
    b.resume()
    with fails(errno.ECANCELED):
        os.close(fd)
    wait_for(lambda: (b.backing / "late").stat().st_mtime_ns == 1, 5, "late")
    wait_arrived(b, "late")


@pytest.mark.sanitize
def test_a_killed_rename_ends_at_once(fresh_pair):
    """Also one that its timer has interrupted before: the kernel tells of the
    first signal only."""
    a, b = fresh_pair(PATIENCE)
    old, new = fill(a.to("b") / "old", b"x"), a.to("b") / "new"
    b.pause()
    renamer = a.popen(sys.executable, "-c", RENAMER, old, new,
                      stdout=subprocess.PIPE)
    assert renamer.stdout.readline() == b"ready\n"

    def waits():
        with open(f"/proc/{renamer.pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "D"
    wait_for(waits, 5, "it waits")
    started = time.monotonic()
    renamer.kill()
    assert wait_gone(renamer, 5) == -signal.SIGKILL
    assert time.monotonic() - started < 0.5 * SCALE
    b.resume()
    wait_arrived(b, "new")


def test_a_listing_is_answered_while_a_rename_waits(fresh_pair):
    """But for its own two directories, whose locks the kernel holds."""
    a, b = fresh_pair(PATIENCE)
    (a.to("b") / "other").mkdir()
    old, new = fill(a.to("b") / "old", b"x"), a.to("b") / "new"
    wait_arrived(b, "old", "other")
    b.pause()
    errors = []

    def rename():
        try:
            os.rename(old, new)
        except OSError as error:
            errors.append(error.errno)
    thread = threading.Thread(target=rename)
    thread.start()
    while thread.is_alive():
        started = time.monotonic()
        os.listdir(a.to("b") / "other")
        os.listdir(a.peers)
        assert time.monotonic() - started < 0.5 * SCALE
    thread.join()
    assert errors == [errno.ETIMEDOUT]
    b.resume()


# --- names in use -------------------------------------------------------------

@pytest.mark.quick
@pytest.mark.sanitize
@pytest.mark.parametrize("name", [".final.AbC123", "final.part", "final.tmp"])
def test_a_name_in_use_is_shown_when_it_is_renamed(pair, name):
    final = f"{name} at last"
    with Watcher(pair.bed, pair.b.backing) as seen:
        path = fill(pair.ab / name, b"whole")
        assert os.getxattr(path, "user.gtfs.state") == b"held"
        os.rename(path, pair.ab / final)
        assert (pair.b.backing / final).read_bytes() == b"whole"
    assert list(seen.sizes) == [final]
    assert os.getxattr(pair.ab / final, "user.gtfs.state") == b"delivered"
    pair.b.wait_spool_empty()


def test_rename_over_what_is_held_drops_that(pair):
    held = fill(pair.ab / "both.part", b"held")
    os.rename(fill(pair.ab / "shown", b"shown"), held)
    wait_arrived(pair.b)
    os.rename(held, pair.ab / "both")
    wait_arrived(pair.b, "both")
    assert (pair.b.backing / "both").read_bytes() == b"shown"
    pair.b.wait_spool_empty()


def test_an_editors_backup_goes_when_it_is_removed(pair):
    """vim: f becomes f~, f is written anew, f~ is removed."""
    path, backup = fill(pair.ab / "text", b"old"), pair.ab / "text~"
    with Watcher(pair.bed, pair.b.backing) as seen:
        os.rename(path, backup)
        assert pair.b.arrived() == []
        fill(path, b"new text")
        os.unlink(backup)
        wait_arrived(pair.b, "text")
        assert (pair.b.backing / "text").read_bytes() == b"new text"
    assert "text~" not in seen.sizes
    pair.b.wait_spool_empty()


def test_a_backup_that_its_maker_leaves_is_shown(pair):
    fill(pair.ab / "page", b"old")
    pair.a.sh('mv "$1/page" "$1/page~"', pair.ab)
    wait_arrived(pair.b, "page~")
    assert (pair.b.backing / "page~").read_bytes() == b"old"
    state = lambda: os.getxattr(pair.ab / "page~", "user.gtfs.state")
    wait_for(lambda: state() == b"delivered", 5, "it is said to be shown")
