"""Metadata of what is sent: modes, times, attributes, sizes, space.

The names that one test uses are used by no other: what was sent stays listed.
"""

import errno
import os
import shutil
import stat
import subprocess

import pytest

from inbox_help import fails, fill, opened
from material import MIB
from netbed import wait_for
from test_names import PATIENCE, WRITE, Closing, wait_arrived

STAMP = 1_234_567_890_123_456_789
ACL = {  # setfacl's words: the mode without the named user
    "u::rw-,u:1:rw-,g::r--,m::rw-,o::---": 0o640,
    "u::rwx,g::r-x,o::r--": 0o754,
    "u::rw-,u:1:rwx,g::rwx,m::r--,o::r--": 0o644,
}


def attributes(path):
    """Those that the sender gave; gtfs's own provenance apart."""
    return {name: os.getxattr(path, name) for name in os.listxattr(path)
            if not name.startswith("user.gtfs.")}


def wait_late(pair, name, check):
    """For what was changed after the last close."""
    path = pair.b.backing / name
    wait_for(lambda: check(path), 5, lambda: f"{name}: {os.stat(path)}, "
             f"{attributes(path)}")


# --- the rows of the table ----------------------------------------------------

@pytest.mark.quick
@pytest.mark.sanitize
@pytest.mark.parametrize("when", ["before close", "after close",
                                  "after a rename"])
def test_mode_times_and_attributes_are_carried(pair, when):
    path = pair.ab / f"meta {when}"

    def change(target):
        os.chmod(target, 0o751)
        os.setxattr(target, "user.note", b"\0bytes\xff" * 100)
        os.setxattr(target, "user.gone", b"x")
        os.setxattr(target, "user.empty", b"")
        os.removexattr(target, "user.gone")
        os.utime(target, ns=(STAMP, STAMP + 1))

    with opened(path, WRITE, 0o600) as fd:
        os.write(fd, b"content")
        if when == "before close":
            change(fd)
    if when == "after close":
        change(path)
    if when == "after a rename":
        os.rename(path, pair.ab / "meta renamed")
        path = pair.ab / "meta renamed"
        change(path)

    def right(where):
        st = os.stat(where)
        return ((stat.S_IMODE(st.st_mode), st.st_atime_ns, st.st_mtime_ns) ==
                (0o751, STAMP, STAMP + 1) and attributes(where) == {
                    "user.note": b"\0bytes\xff" * 100, "user.empty": b""})
    if when == "before close":
        assert right(pair.b.backing / path.name)
    wait_late(pair, path.name, right)
    st = path.stat()
    assert (stat.S_IMODE(st.st_mode), st.st_atime_ns, st.st_mtime_ns,
            st.st_size) == (0o751, STAMP, STAMP + 1, 7)
    assert (pair.b.backing / path.name).read_bytes() == b"content"


@pytest.mark.sanitize
def test_metadata_set_during_a_commit_is_carried(fresh_pair):
    a, b = fresh_pair(PATIENCE)
    path = a.to("b") / "meta"
    closing = Closing(path, b"content")
    b.pause()
    closing.begin()
    os.setxattr(path, "user.k", b"v")
    os.chmod(path, 0o751)
    os.utime(path, ns=(STAMP, STAMP))
    assert path.stat().st_mtime_ns == STAMP
    b.resume()
    closing.end()

    def right():
        st = os.stat(b.backing / "meta")
        return (stat.S_IMODE(st.st_mode), st.st_mtime_ns) == (
            0o751, STAMP) and attributes(b.backing / "meta") == {
                "user.k": b"v"}
    wait_for(right, 5, "its metadata")


def test_what_waits_for_a_commit_is_bounded_and_in_order(fresh_pair):
    a, b = fresh_pair(PATIENCE)
    path = a.to("b") / "meta"
    closing = Closing(path, b"content")
    b.pause()
    closing.begin()
    for number in range(200):  # 64 KiB are kept: the last one is
        os.chmod(path, 0o600 | number % 8)
        os.setxattr(path, "user.k", b"%0500d" % number)
    os.setxattr(path, "user.most", b"m" * 50000)
    with fails(errno.ENOSPC):
        os.setxattr(path, "user.more", b"m" * 50000)
    os.chmod(path, 0o751)
    b.resume()
    closing.end()

    def right():
        st = os.stat(b.backing / "meta")
        return (stat.S_IMODE(st.st_mode) == 0o751 and
                attributes(b.backing / "meta")["user.k"] == b"%0500d" % 199)
    wait_for(right, 5, "its metadata")


def test_metadata_of_what_is_held_is_carried(pair):
    path = fill(pair.ab / "held.part", b"x")
    os.chmod(path, 0o640)
    os.utime(path, ns=(STAMP, STAMP))
    os.setxattr(path, "user.k", b"v")
    os.rename(path, pair.ab / "held no more")
    there = pair.b.backing / "held no more"
    assert there.stat().st_mtime_ns == STAMP
    assert stat.S_IMODE(there.stat().st_mode) == 0o640
    assert attributes(there) == {"user.k": b"v"}


@pytest.mark.quick
def test_times_of_directories_are_set_after_their_contents(pair):
    top = pair.ab / "timed"
    (top / "sub").mkdir(parents=True)
    fill(top / "sub" / "f", b"x")
    for path in top / "sub", top:
        os.chmod(path, 0o750)
        os.setxattr(path, "user.k", b"v")
        os.utime(path, ns=(STAMP, STAMP))
        assert path.stat().st_mtime_ns == STAMP
    for name in "timed/sub", "timed":
        wait_late(pair, name, lambda p: p.stat().st_mtime_ns == STAMP and
                  attributes(p) == {"user.k": b"v"} and
                  stat.S_IMODE(p.stat().st_mode) == 0o750)


def test_times_of_links_are_carried(pair):
    (pair.ab / "of links").mkdir()
    link = pair.ab / "of links" / "link"
    os.symlink("target", link)
    os.utime(link, ns=(STAMP, STAMP), follow_symlinks=False)
    os.chown(link, 0, 0, follow_symlinks=False)
    there = pair.b.backing / "of links" / "link"
    wait_for(lambda: os.path.lexists(there) and
             os.lstat(there).st_mtime_ns == STAMP, 5, "its time")


@pytest.mark.sanitize
def test_special_bits_never_cross_and_the_owner_keeps_rw(pair):
    path = pair.ab / "special"
    with opened(path, WRITE, 0o400) as fd:
        os.fchmod(fd, 0o6755)
    assert stat.S_IMODE((pair.b.backing / "special").stat().st_mode) == 0o755
    os.chmod(path, 0o7044)
    wait_late(pair, "special",
              lambda p: stat.S_IMODE(p.stat().st_mode) == 0o644)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_chown_succeeds_without_effect(pair):
    path = fill(pair.ab / "owned", b"x")
    (pair.ab / "owned too").mkdir()
    for target in path, pair.ab / "owned too", pair.ab:
        os.chown(target, 1, 1)
        assert target.stat().st_uid == os.getuid()
    assert (pair.b.backing / "owned").stat().st_uid == os.getuid()


@pytest.mark.parametrize("acl", ACL, ids=map(oct, ACL.values()))
def test_an_acl_gives_its_mode(pair, scratch, acl):
    source = fill(scratch / f"acl {ACL[acl]:o}", b"x")
    subprocess.run(["setfacl", "--set", acl, source], check=True)
    done = pair.a.sh('cp -a "$1" "$2"', source, pair.ab)
    assert done.stderr == ""
    there = pair.b.backing / source.name
    wait_late(pair, source.name,
              lambda p: stat.S_IMODE(p.stat().st_mode) == ACL[acl])
    assert "system.posix_acl_access" not in os.listxattr(there)


@pytest.mark.quick
def test_programs_that_preserve_everything_are_quiet(pair, scratch):
    """Files with ACLs, capabilities and attributes, and folders with them."""
    tree = scratch / "all of it"
    tree.mkdir()
    fill(tree / "acl", b"1")
    subprocess.run(["setfacl", "-m", "u:1:rw", tree / "acl"], check=True)
    shutil.copy("/bin/true", tree / "capable")
    subprocess.run(["setcap", "cap_net_raw+ep", tree / "capable"], check=True)
    os.setxattr(fill(tree / "noted", b"3"), "user.note", b"n")
    # What has arrived carries its provenance; that is not sent on.
    os.setxattr(fill(tree / "arrived", b"4"), "user.gtfs.from", b"x")
    (tree / "sub").mkdir()
    subprocess.run(["setfacl", "-d", "-m", "u:1:rwx", tree / "sub"],
                   check=True)
    fill(tree / "sub" / "f", b"5")
    commands = ['cp -a "$1" "$2/by cp"', 'cp -a "$1/." "$2"',
                'cp -r --preserve=mode,timestamps,xattr "$1" "$2/by cp x"',
                'install -m 640 "$1/noted" "$2/by install"',
                'rsync -a "$1/" "$2"', 'rsync -aAX "$1" "$2/by rsync"',
                'rsync -aAX --checksum "$1" "$2/by rsync"',
                'cp -a "$1" "$1.2" && mv "$1.2" "$2/by mv"']
    for command in commands:
        done = pair.a.sh(command, tree, pair.ab, check=False)
        assert (done.returncode, done.stderr) == (0, ""), command
    for name in "by cp", "by cp x", "by rsync/all of it", "by mv":
        there = pair.b.backing / name
        assert (there / "sub" / "f").read_bytes() == b"5", name
        assert attributes(there / "noted") == {"user.note": b"n"}, name
        assert attributes(there / "arrived") == {}, name
        assert attributes(there / "capable") == {}, name


def test_attributes_of_other_kinds(pair):
    path = fill(pair.ab / "kinds", b"x")
    (pair.ab / "kinds of dir").mkdir()
    for target in path, pair.ab / "kinds of dir":
        with fails(errno.EPERM):
            os.setxattr(target, "user.gtfs.state", b"done")
        with fails(errno.EOPNOTSUPP):
            os.setxattr(target, "trusted.x", b"y")
        os.setxattr(target, "security.test", b"label")
        os.setxattr(target, "user.small", b"s" * 1000)
        # The most there is; what the peer's disk cannot keep is none there.
        os.setxattr(target, "user.big", b"b" * 65536)
        with fails(errno.E2BIG):
            os.setxattr(target, "user.bigger", b"b" * 65537)
        with fails(errno.ENODATA):
            os.getxattr(target, "user.small")
    with fails(errno.EOPNOTSUPP):
        os.setxattr(pair.ab, "user.x", b"y")
    for target in pair.a.peers, pair.a.path, pair.a.path / ".gtfs" / "self":
        with fails(errno.EPERM):
            os.setxattr(target, "user.x", b"y")
    wait_late(pair, "kinds",
              lambda p: attributes(p).get("user.small") == b"s" * 1000)


# --- what is shown ------------------------------------------------------------

@pytest.mark.quick
@pytest.mark.sanitize
def test_state_and_progress_can_be_read(fresh_pair):
    a, b = fresh_pair(PATIENCE)
    path = a.to("b") / "big"

    def get(name, of=path):
        return os.getxattr(of, f"user.gtfs.{name}").decode()
    with opened(path, WRITE) as fd:
        os.write(fd, b"x" * MIB)
        os.fsync(fd)
        assert get("state") == "active"
        assert get("progress") == f"{MIB}/{MIB}"
        b.pause()
        os.write(fd, b"y" * MIB)
        applied, size = map(int, get("progress").split("/"))
        assert MIB <= applied <= size == 2 * MIB
        b.resume()
    assert get("state") == "delivered"
    assert get("progress") == f"{2 * MIB}/{2 * MIB}"
    assert sorted(os.listxattr(path)) == ["user.gtfs.progress",
                                          "user.gtfs.state"]
    held = fill(a.to("b") / "x.part", b"x")
    assert get("state", held) == "held"
    assert get("state", a.to("b")) == "online"
    assert os.listxattr(a.to("b")) == ["user.gtfs.state"]
    with fails(errno.ENODATA):
        os.getxattr(path, "user.other")
    done = a.sh('getfattr --absolute-names -d "$1"', path)
    assert 'user.gtfs.state="delivered"' in done.stdout.splitlines()


def test_state_of_a_peer_that_refuses_or_is_away(fresh_pair):
    a, b = fresh_pair()

    def state():
        return os.getxattr(a.to("b"), "user.gtfs.state").decode()
    a.command("accept", "b")  # a pin keeps the folder
    b.command("refuse", "a")
    wait_for(lambda: state() == "refused", 10, "refused")
    b.command("accept", "a")
    wait_for(lambda: state() == "online", 10, "online again")
    b.stop()
    wait_for(lambda: state() == "offline", 10, "offline")


@pytest.mark.quick
def test_listings_show_sizes_times_and_modes(pair, scratch):
    source = fill(scratch / "listed", b"x" * 12345)
    os.chmod(source, 0o640)
    os.utime(source, ns=(STAMP, STAMP))
    pair.a.sh('cp -p "$1" "$2"', source, pair.ab)
    (pair.ab / "listed dir").mkdir()
    line = pair.a.sh('ls -l --time-style=+%s "$1"', pair.ab / "listed").stdout
    words = line.split()
    assert (words[0], words[4], words[5]) == ("-rw-r-----", "12345",
                                              str(STAMP // 10**9))
    with opened(pair.ab / "growing", WRITE) as fd:
        for size in 1000, 2000:
            os.write(fd, b"x" * 1000)
            assert (pair.ab / "growing").stat().st_size == size
        os.ftruncate(fd, 500)
        assert (pair.ab / "growing").stat().st_size == 500
    before = pair.ab.stat().st_mtime_ns
    fill(pair.ab / "listed too", b"")
    assert pair.ab.stat().st_mtime_ns > before
    kinds = {entry.name: entry.is_dir() for entry in os.scandir(pair.ab)}
    assert kinds["listed"] is False and kinds["listed dir"] is True


def test_truncate_of_what_was_delivered_is_a_new_version(pair):
    path = fill(pair.ab / "cut", b"0123456789")
    os.truncate(path, 4)
    assert path.stat().st_size == 4
    wait_late(pair, "cut", lambda p: p.read_bytes() == b"0123")
    os.truncate(path, 6)
    wait_late(pair, "cut", lambda p: p.read_bytes() == b"0123\0\0")
    wait_arrived(pair.b, "cut")


def test_space_is_the_peers(fresh_pair, scratch):
    """df shows what the peer's file system has, to the block."""
    image, disk = scratch / "image", scratch / "disk"
    disk.mkdir()
    with open(image, "wb") as f:
        f.truncate(64 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-b4096", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, disk], check=True)
    try:
        a, b = fresh_pair(options_b=["--inbox", disk / "inbox"])
        real = os.statvfs(disk)

        def shown():
            return os.statvfs(a.to("b"))
        wait_for(lambda: shown().f_blocks, 10, "space is known")
        assert shown().f_blocks * shown().f_frsize == (
            real.f_blocks * real.f_frsize)
        assert (shown().f_files, shown().f_namemax) == (real.f_files, 255)
        # Programs that know only statfs(2) multiply by that.
        assert shown().f_bsize == shown().f_frsize
        fill(a.to("b") / "takes some", b"x" * 5 * MIB)

        def same():
            now = os.statvfs(disk)
            return (shown().f_bavail * shown().f_frsize ==
                    now.f_bavail * now.f_frsize and
                    shown().f_ffree == now.f_ffree)
        wait_for(same, 15, lambda: f"{shown()}, {os.statvfs(disk)}")
        line = a.sh('df -B1 --output=avail "$1"', a.to("b")).stdout.split()
        assert int(line[1]) == shown().f_bavail * shown().f_frsize
        a.stop()
        b.stop()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
