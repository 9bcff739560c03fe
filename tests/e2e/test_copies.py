"""What close() returning 0 means, for every ordinary way to write a file."""

import os
import subprocess
import time

import pytest

from material import (MIB, Watcher, describe, make_tree, random_file, sha256)
from netbed import wait_for
from scp import Sshd

MEMORY_KB = 20 * 1000


def read(mount, name):
    return (mount.backing / name).read_bytes()


@pytest.mark.alone
@pytest.mark.quick
@pytest.mark.sanitize
@pytest.mark.limit(600)
def test_ack_means_on_disk(fresh_pair, scratch, figure, large, bed):
    """cp of a large file: there and whole when cp returns, memory small."""
    a, b = fresh_pair()
    sanitizer = os.environ.get("GTFS_SANITIZER")
    size = (2048 if large else 16 if sanitizer else 256) * MIB
    source = random_file(scratch / "large file.bin", size)
    started = time.monotonic()
    a.sh('cp "$1" "$2"', source, a.to("b"), timeout=500)
    took = time.monotonic() - started
    arrived = b.backing / source.name
    assert arrived.stat().st_size == size
    assert b.arrived() == [source.name]
    assert sha256(arrived) == sha256(source)
    assert not b.spooled()
    figure(f"cp of {size // MIB} MiB: {size / took / 1e6:.0f} MB/s, "
           f"VmHWM sender {a.vm_hwm()} kB, receiver {b.vm_hwm()} kB")
    if not sanitizer:
        assert a.vm_hwm() < MEMORY_KB
        assert b.vm_hwm() < MEMORY_KB
        with Sshd(bed.hosts["b"]) as sshd:
            took = sshd.copy(bed.hosts["a"], source, b.paths.top / "by-scp")
        figure(f"scp of the same file: {size / took / 1e6:.0f} MB/s "
               "(no fsync)")


@pytest.mark.quick
@pytest.mark.sanitize
def test_every_way_to_write_arrives_once_and_whole(pair, scratch):
    a, b = pair.a, pair.b
    one = random_file(scratch / "one", 3 * MIB + 17)
    two = random_file(scratch / "two", MIB + 1)
    with Watcher(pair.bed, b.backing) as seen:
        def arrives(name, script, content):
            a.sh(script, pair.ab / name, one, two)
            assert read(b, name) == content

        first, second = one.read_bytes(), two.read_bytes()
        arrives("by cat", 'cat "$2" > "$1"', first)
        arrives("by group", '(cat "$2"; cat "$3") > "$1"', first + second)
        arrives("by braces", '{ cat "$2"; cat "$3"; } > "$1"', first + second)
        arrives("by dd", 'dd if="$2" of="$1" bs=64k status=none', first)
        arrives("by dd 1M", 'dd if="$2" of="$1" bs=1M status=none', first)
        arrives("by dd fsync",
                'dd if="$2" of="$1" bs=64k conv=fsync status=none', first)
        arrives("by touch", 'touch "$1"', b"")
        arrives("by colon", ': > "$1"', b"")
        arrives("by echo", 'echo hello > "$1"', b"hello\n")
        arrives("by cp", 'cp "$2" "$1"', first)
        arrives("by cp -a", 'cp -a "$2" "$1"', first)
        arrives("by cp -p", 'cp -p "$2" "$1"', first)
        arrives("by tee", 'tee "$1" < "$2" > /dev/null', first)
        arrives("by mv", 'cp "$2" "$2.moving" && mv "$2.moving" "$1"', first)
        assert not (scratch / "one.moving").exists()
    names = {"by group": len(first + second), "by braces": len(first + second),
             "by touch": 0, "by colon": 0, "by echo": 6}
    assert sorted(seen.sizes) == b.arrived() and len(seen.sizes) == 14
    for name, sizes in seen.sizes.items():
        assert sizes == [names.get(name, len(first))], name
    assert seen.rounds > 20
    assert not b.spooled()


def test_a_name_never_shows_a_partial_file(pair, scratch, figure):
    """Sixty files of all sizes under a 1 kHz eye."""
    sizes = [0, 1, 4095, 4096, 65537, MIB, 3 * MIB + 5]
    sources = [random_file(scratch / f"file-{number:02}", sizes[number % 7])
               for number in range(60)]
    with Watcher(pair.bed, pair.b.backing) as seen:
        pair.a.sh('to=$1; shift; cp "$@" "$to"', pair.ab, *sources)
    assert pair.b.arrived() == [source.name for source in sources]
    assert {name: found for name, found in seen.sizes.items()} == {
        source.name: [source.stat().st_size] for source in sources}
    figure(f"watcher: {seen.rounds} looks at 60 arrivals")


@pytest.mark.sanitize
def test_mode_and_time_are_kept(pair, scratch):
    source = random_file(scratch / "script.sh", 1000)
    source.chmod(0o751)
    os.utime(source, ns=(1_234_567_890_123_456_789,) * 2)
    pair.a.sh('cp -p "$1" "$2"', source, pair.ab)
    arrived = (pair.b.backing / source.name).stat()
    assert arrived.st_mode & 0o7777 == 0o751
    assert arrived.st_mtime_ns == 1_234_567_890_123_456_789


def test_dangerous_modes_never_cross(pair, scratch):
    source = random_file(scratch / "setuid", 10)
    source.chmod(0o6755)
    pair.a.sh('cp -p "$1" "$2"', source, pair.ab)
    assert (pair.b.backing / "setuid").stat().st_mode & 0o7777 == 0o755


@pytest.mark.alone
@pytest.mark.limit(180)
def test_trees_keep_names_modes_and_times(pair, scratch, figure):
    """1,000 files with spaces, unicode, empty files and directories."""
    tree = make_tree(scratch / "tree of files", 1000)
    started = time.monotonic()
    pair.a.sh('cp -a "$1" "$2"', tree, pair.ab)
    took = time.monotonic() - started
    arrived = pair.b.backing / tree.name
    difference = pair.a.sh('diff -r "$1" "$2"', tree, arrived, check=False)
    assert difference.returncode == 0, difference.stdout[:2000]
    # What is set after a directory's last file may be patched late.
    wait_for(lambda: describe(arrived) == describe(tree), 10,
             lambda: [(path, mine, describe(arrived).get(path))
                      for path, mine in describe(tree).items()
                      if describe(arrived).get(path) != mine][:5])
    assert pair.b.arrived() == [tree.name]
    figure(f"cp -a of 1,000 files: {took:.2f} s")


@pytest.mark.quick
@pytest.mark.sanitize
def test_small_trees_arrive(pair, scratch):
    tree = make_tree(scratch / "small tree", 60, seed=2)
    pair.a.sh('cp -r "$1" "$2"', tree, pair.ab)
    arrived = pair.b.backing / tree.name
    # An empty directory, which no file waits for, may come a little later.
    wait_for(lambda: describe(arrived).keys() == describe(tree).keys(), 5,
             "all names are there")
    assert pair.a.sh('diff -r "$1" "$2"', tree, arrived,
                     check=False).stdout == ""
    assert {path: kind for path, (kind, *_) in describe(arrived).items()} == {
        path: kind for path, (kind, *_) in describe(tree).items()}


@pytest.mark.quick
def test_what_is_there_is_never_clobbered(pair, scratch):
    (pair.b.backing / "report.txt").write_bytes(b"mine")
    source = scratch / "report.txt"
    source.write_bytes(b"theirs")
    pair.a.sh('cp "$1" "$2"', source, pair.ab)
    assert read(pair.b, "report.txt") == b"mine"
    assert read(pair.b, "report (2).txt") == b"theirs"
    assert len(pair.b.arrived()) == 2


@pytest.mark.sanitize
@pytest.mark.limit(240)
def test_sixteen_copies_at_once_both_ways(pair, scratch, figure):
    size = (1 if os.environ.get("GTFS_SANITIZER") else 8) * MIB
    sources = {side: [random_file(scratch / f"{side}-{number}", size + number)
                      for number in range(16)] for side in "ab"}
    expected = {source.name: sha256(source)
                for side in sources.values() for source in side}
    started = time.monotonic()
    copies = [mount.popen("cp", source, folder, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True)
              for pairs in zip(sources["b"], sources["a"])
              for mount, folder, source in zip(
                  pair.mounts(), (pair.ab, pair.ba), pairs)]
    for copy in copies:
        _, error = copy.communicate(timeout=200)
        assert copy.returncode == 0, error
    took = time.monotonic() - started
    found = {name: sha256(mount.backing / name)
             for mount in pair.mounts() for name in mount.arrived()}
    assert found == expected
    figure(f"16 copies each way: {32 * size / took / 1e6:.0f} MB/s together, "
           f"VmHWM {pair.a.vm_hwm()} and {pair.b.vm_hwm()} kB")
    if not os.environ.get("GTFS_SANITIZER"):
        assert max(pair.a.vm_hwm(), pair.b.vm_hwm()) < MEMORY_KB
    for mount in pair.mounts():
        assert not mount.spooled()


@pytest.mark.sanitize
def test_a_capture_shows_neither_name_nor_bytes(pair, scratch):
    source = scratch / "a-telling-name.txt"
    line = b"The quick brown fox reveals what nobody else should read.\n"
    source.write_bytes(line * 20000)
    random = random_file(scratch / "another-telling-name", MIB)
    capture = pair.bed.capture()
    pair.a.sh('mkdir "$1/a-telling-folder" && cp "$2" "$1" && '
              'cp "$3" "$1/a-telling-folder"', pair.ab, source, random)
    packets = capture.stop()
    captured = len(packets)
    assert captured > source.stat().st_size + MIB
    content = random.read_bytes()
    words = [b"telling", line[:16], line[20:40]]
    words += [content[at:at + 16] for at in range(0, MIB, 64 * 1024)]
    assert [word for word in words if word in packets] == []


def test_sent_files_are_listed_for_the_sender(pair, scratch):
    source = random_file(scratch / "listed", 5000)
    pair.a.sh('cp "$1" "$2"', source, pair.ab)
    assert "listed" in os.listdir(pair.ab)
    assert (pair.ab / "listed").stat().st_size == 5000
    with pytest.raises(PermissionError):
        (pair.ab / "listed").read_bytes()
    moved = [t for t in pair.a.transfers("listed")]
    assert [(t["peer"], t["bytes"]) for t in moved] == [("b", "5000")]
    got = [t for t in pair.b.transfers("listed")]
    assert [(t["peer"], t["bytes"]) for t in got] == [("a", "5000")]
    assert moved[0]["direction"] != got[0]["direction"]


def test_block_size_asks_for_large_writes(pair):
    path = pair.ab / "block size"
    path.touch()
    assert path.stat().st_blksize == MIB


@pytest.mark.sanitize
def test_many_ended_copies_leave_no_descriptors(pair, scratch):
    """Descriptors do not grow with what was sent."""
    source = random_file(scratch / "again", 100)
    count = 50 if os.environ.get("GTFS_SANITIZER") else 200

    def send(prefix, number):
        pair.a.sh('for i in $(seq "$4"); do cp "$1" "$2/$3-$i" || exit 1; '
                  'done', source, pair.ab, prefix, str(number))
    send("warm", 5)
    before = [mount.descriptors() for mount in pair.mounts()]
    send("file", count)
    assert len(pair.b.arrived()) == count + 5
    for mount, had in zip(pair.mounts(), before):
        wait_for(lambda: mount.descriptors() <= had + 2, 20,
                 lambda: f"{mount.name}: {mount.descriptors()} descriptors, "
                 f"before {had}")
