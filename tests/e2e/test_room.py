"""What does not fit at the peer fails early, and truthfully."""

import errno
import os
import subprocess

import pytest

from daemon import Paths
from inbox_help import fails
from material import MIB, random_file
from netbed import run, wait_for

DISK = 64 * MIB


@pytest.fixture
def small_pair(start, bed):
    """a, and b with a small disk: (a, b, a's folder of b)."""
    paths = Paths(bed.hosts["b"])
    paths.backing.mkdir()
    run(["mount", "-t", "tmpfs", "-o", f"size={DISK},nr_inodes=200", "tmpfs",
         paths.backing])
    a, b = start("a"), start("b", paths=paths)
    there = a.wait_peer("b")
    b.wait_peer("a")
    wait_for(lambda: os.statvfs(there).f_bavail > 0, 10, "b tells its space")
    yield a, b, there


def left(there):
    space = os.statvfs(there)
    return space.f_bavail * space.f_frsize


@pytest.mark.parametrize("script", [
    'cp "$1" "$2/big"', 'cat "$1" > "$2/big"', 'mv "$1" "$2/big"',
    'cp --sparse=always "$1" "$2/big"'],
    ids=["cp", "cat", "mv", "cp --sparse"])
def test_a_copy_that_cannot_fit_fails_before_its_bytes(
        small_pair, slow_network, scratch, script):
    a, b, there = small_pair
    source = random_file(scratch / "big", DISK + MIB)
    slow_network("b", 20)  # all of it would take seconds
    done = a.sh(script, source, there, check=False)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert int(a.transfers("big")[0]["bytes"]) < 8 * MIB
    b.wait_spool_empty()
    assert b.arrived() == [] and source.stat().st_size == DISK + MIB


def test_the_beginning_of_a_large_file_fits(small_pair, scratch):
    a, b, there = small_pair
    source = random_file(scratch / "big", DISK + MIB)
    a.sh('dd if="$1" of="$2/part" bs=1M count=1', source, there)
    assert (b.backing / "part").stat().st_size == MIB


def test_a_copy_of_unknown_size_fails_when_the_disk_is_full(
        small_pair, scratch):
    a, b, there = small_pair
    random_file(b.backing / "mine", DISK - 20 * MIB)
    source = random_file(scratch / "big", DISK + MIB)
    done = a.sh('set -o pipefail; cat "$1" | cat > "$2/big"', source, there,
                check=False)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    b.wait_spool_empty()
    assert b.arrived() == ["mine"]


def test_what_fits_is_sent(small_pair, scratch):
    """Also where its source is larger than the room: it has holes."""
    a, b, there = small_pair
    sparse = scratch / "sparse"
    sparse.write_bytes(b"x" * 2 * MIB)
    os.truncate(sparse, 4 * DISK)
    a.sh('cp --sparse=always "$1" "$2"', sparse, there)
    assert (b.backing / "sparse").stat().st_size == 4 * DISK
    fits = random_file(scratch / "fits", DISK // 4)
    a.sh('cp "$1" "$2"', fits, there)
    assert (b.backing / "fits").read_bytes() == fits.read_bytes()


def test_a_full_disk_is_the_errno_of_create(small_pair):
    a, b, there = small_pair
    (there / "before").write_bytes(b"before")
    with open(b.backing / "filler", "wb") as filler:
        with fails(errno.ENOSPC):
            while True:
                os.write(filler.fileno(), bytes(MIB))
    wait_for(lambda: left(there) == 0, 20, "b tells that it is full")
    with fails(errno.ENOSPC):
        os.open(there / "new", os.O_WRONLY | os.O_CREAT)
    with fails(errno.ENOSPC):
        os.open(there / "before", os.O_WRONLY | os.O_TRUNC)
    assert os.listdir(there) == ["before"]
    (b.backing / "filler").unlink()
    wait_for(lambda: left(there) > MIB, 20, "b tells that it has room")
    (there / "new").write_bytes(b"new")
    assert b.arrived() == ["before", "new"]


def test_no_more_files_is_the_errno_of_create(small_pair):
    a, b, there = small_pair
    made = []
    with fails(errno.ENOSPC):
        while True:
            path = b.backing / f"filler {len(made)}"
            path.touch()
            made.append(path)
    wait_for(lambda: os.statvfs(there).f_favail == 0, 20, "b tells of it")
    with fails(errno.ENOSPC):
        os.open(there / "new", os.O_WRONLY | os.O_CREAT)
    for path in made:
        path.unlink()
    wait_for(lambda: os.statvfs(there).f_favail, 20, "b has room")
    subprocess.run(["touch", there / "new"], check=True)
    assert b.arrived() == ["new"]
