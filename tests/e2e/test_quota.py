"""No sender has more than its quota of the peer's disk, and none the last of it:
a floor of 2 % stays free (fs/usage.h)."""

import errno
import os
import shutil

import pytest

from daemon import Paths
from inbox_help import fails
from material import MIB, random_file
from netbed import run, wait_for

DISK = 64 * MIB
PART = DISK // 2
FLOOR = DISK // 50
AGAIN_S = 14  # fs/usage.h USAGE_WALK_MS and USAGE_WAIT_MS


@pytest.fixture
def crowd(start, bed):
    """a and c, who send, and b, whose disk is small."""
    paths = Paths(bed.hosts["b"])
    paths.backing.mkdir()
    run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs",
         paths.backing])
    a, b = start("a"), start("b", paths=paths)
    c = start(a.host, name="c")
    for sender in a, c:
        sender.wait_peer("b")
        b.wait_peer(sender.name)
    for sender in a, c:
        copy(sender, "/dev/null", "first", check=True)  # it is pinned
        b.command("accept", sender.name, "--quota", str(PART))
    for first in b.backing.glob("first*"):
        first.unlink()
    yield a, b, c


def copy(sender, source, name, check=False):
    """What cp says."""
    done = sender.sh('cp "$1" "$2"', source, sender.to("b") / name,
                     check=check)
    return done.stderr


def left(b):
    space = os.statvfs(b.backing)
    return space.f_bavail * space.f_frsize


def goes_again(sender, source, name):
    wait_for(lambda: not copy(sender, source, name), AGAIN_S,
             f"{name} is allowed")


def wait_reason(mount, name, part):
    wait_for(lambda: part in mount.transfers(name)[-1]["reason"], 10,
             lambda: f"{part}: {mount.transfers(name)}")


def test_what_goes_over_the_quota_is_refused_whole(crowd, scratch):
    a, b, c = crowd
    source = random_file(scratch / "source", 20 * MIB)
    copy(a, source, "one", check=True)
    assert "Disk quota exceeded" in copy(a, source, "two")
    # Both people are told what that means.
    wait_reason(a, "two", "quota there is used up")
    wait_reason(b, "two", "--quota SIZE")
    assert "It has 20 MB of 33 MB and 1 of 1000000 files in the inbox; " \
        "'gtfs accept a --quota SIZE'" in b.command("why", "a").stdout
    # Also where nobody knows how long it gets.
    done = a.sh('set -o pipefail; cat "$1" | cat > "$2"', source,
                a.to("b") / "two", check=False)
    assert done.returncode and "Disk quota exceeded" in done.stderr
    b.wait_spool_empty()
    assert b.arrived() == ["one"]
    # Nobody pays for another one.
    copy(c, source, "three", check=True)
    # What its user takes out counts no more.
    shutil.move(b.backing / "one", scratch / "one")
    wait_for(lambda: "in the inbox" not in b.command("why", "a").stdout,
             AGAIN_S, "it is known to have nothing")
    goes_again(a, source, "two")
    assert b.arrived() == ["three", "two"]
    for name in b.arrived():
        assert (b.backing / name).read_bytes() == source.read_bytes()


def test_what_is_replaced_or_withdrawn_counts_no_more(crowd, scratch):
    a, b, _ = crowd
    source = random_file(scratch / "source", 14 * MIB)
    for _ in range(5):
        copy(a, source, "one", check=True)
    for _ in range(5):
        a.sh('echo more >> "$1/one"', a.to("b"))
    assert (b.backing / "one").stat().st_size == 14 * MIB + 25
    for _ in range(5):
        (a.to("b") / "one").unlink()
        goes_again(a, source, "one")
    assert b.arrived() == ["one"]


def test_a_version_is_a_second_file_until_its_close(crowd, scratch):
    a, b, _ = crowd
    source = random_file(scratch / "source", 20 * MIB)
    copy(a, source, "one", check=True)
    done = a.sh('echo more >> "$1/one"', a.to("b"), check=False)
    assert done.returncode and "Disk quota exceeded" in done.stderr
    b.wait_spool_empty()
    assert (b.backing / "one").read_bytes() == source.read_bytes()


def test_the_quota_is_the_same_in_another_life(crowd, start, scratch):
    a, b, _ = crowd
    source = random_file(scratch / "source", 20 * MIB)
    copy(a, source, "one", check=True)
    if not os.listxattr(b.backing / "one"):
        pytest.skip("this tmpfs keeps no attributes: they come with Linux 6.6")
    b.stop()
    b = start("b", paths=b.paths)
    a.wait_peer("b")
    wait_for(lambda: "Disk quota exceeded" in copy(a, source, "two"),
             AGAIN_S, "b has counted")
    (b.backing / "one").unlink()
    goes_again(a, source, "two")


def test_the_last_of_the_disk_is_nobodys(crowd, scratch):
    a, b, _ = crowd
    random_file(b.backing / "mine", DISK - FLOOR - 6 * MIB)
    source = random_file(scratch / "source", 10 * MIB)
    for script in 'cp "$1" "$2"', 'cat "$1" | cat > "$2"':
        done = a.sh(f"set -o pipefail; {script}", source, a.to("b") / "big",
                    check=False)
        assert done.returncode
        assert "No space left on device" in done.stderr
        b.wait_spool_empty()
    wait_reason(a, "big", "its disk is full")
    assert b.arrived() == ["mine"]
    copy(a, random_file(scratch / "small", 4 * MIB), "small", check=True)
    assert left(b) >= FLOOR
    (b.backing / "mine2").write_bytes(bytes(left(b) - FLOOR // 2))
    (a.to("b") / "dir").mkdir()  # returns at once; what is in it says so
    for name in "new", "dir/new":
        with fails(errno.ENOSPC):
            (a.to("b") / name).write_bytes(b"new")
    assert b.arrived() == ["mine", "mine2", "small"]


def test_two_at_once_do_not_share_what_is_there_once(crowd, scratch):
    a, b, c = crowd
    random_file(b.backing / "mine", 10 * MIB)
    source = random_file(scratch / "source", 30 * MIB)
    with open(a.to("b") / "one", "wb") as one:
        one.write(source.read_bytes())
        one.flush()
        wait_for(lambda: left(b) < DISK - 39 * MIB, 20, "all of it is there")
        assert "No space left on device" in copy(c, source, "two")
    wait_for(lambda: b.arrived() == ["mine", "one"], 10, "one is there")
    assert (b.backing / "one").read_bytes() == source.read_bytes()
    b.wait_spool_empty()


def test_the_owner_sets_it(fresh_pair, scratch):
    a, b = fresh_pair()
    source = random_file(scratch / "source", 8 * MIB)
    small = random_file(scratch / "small", 1)
    copy(a, small, "first", check=True)
    b.command("accept", "a", "--quota", "10M,4")
    copy(a, source, "one", check=True)
    assert "Disk quota exceeded" in copy(a, source, "two")
    (a.to("b") / "dir").mkdir()
    copy(a, small, "dir/three", check=True)
    assert "Disk quota exceeded" in copy(a, small, "dir/four")
    b.wait_spool_empty()
    assert b.arrived() == ["dir", "first", "one"]
    (b.backing / "first").unlink()
    goes_again(a, small, "dir/four")
    b.command("accept", "a", "--quota", "1G")
    for name in "two", "five":
        copy(a, source, name, check=True)
    assert b.arrived() == ["dir", "five", "one", "two"]
