"""Whatever a peer does, the mount answers at once and copies can be killed."""

import os
import signal
import subprocess
import threading
import time

import pytest

from material import MIB, quantile, random_file, sha256, wait_gone
from netbed import SCALE, wait_for

P99_SECONDS = 0.005
CALLS = 1500


def timed(call, *args):
    started = time.perf_counter()
    call(*args)
    return time.perf_counter() - started


def metadata_times(mount, folder, calls=CALLS):
    """{call: [seconds]} of what ls, stat, df, touch and rm make."""
    paths = [mount.path, mount.peers, folder, mount.inbox,
             mount.path / ".gtfs" / "peers"]
    times = {"stat": [], "list": [], "statvfs": [], "access": []}
    for number in range(calls):
        path = paths[number % len(paths)]
        times["stat"].append(timed(os.stat, path))
        times["access"].append(timed(os.access, path, os.W_OK))
        times["statvfs"].append(timed(os.statvfs, path))
        times["list"].append(timed(os.listdir, paths[number % 4]))
    return times


@pytest.mark.alone
@pytest.mark.quick
@pytest.mark.sanitize
@pytest.mark.limit(120)
def test_metadata_is_fast_while_a_peer_is_stopped(pair, scratch, figure,
                                                  slow_network):
    a, b = pair.a, pair.b
    slow_network("b", 10)
    source = random_file(scratch / "stuck", 64 * MIB)
    copy = a.popen("cp", source, pair.ab, stderr=subprocess.DEVNULL)
    a.wait_bytes("stuck", MIB)
    b.pause()
    try:
        times = metadata_times(a, pair.ab)
        for script in ('ls -lR "$1"', 'ls -la "$2"', 'stat "$2/stuck"',
                       'df "$2"'):
            took = timed(a.sh, script, a.path, pair.ab)
            assert took < 0.5 * SCALE, script
        assert copy.poll() is None, "it was to be stuck meanwhile"
        copy.kill()
        took_to_die = timed(wait_gone, copy, 5)
    finally:
        b.resume()
    assert copy.returncode == -signal.SIGKILL
    assert took_to_die < 0.2 * SCALE
    for call, seconds in times.items():
        p99 = quantile(seconds, 0.99)
        figure(f"{call} with a stopped peer: p99 {p99 * 1e3:.2f} ms, "
               f"max {max(seconds) * 1e3:.2f} ms")
        if not os.environ.get("GTFS_SANITIZER"):
            assert p99 < P99_SECONDS, call
    b.wait_spool_empty()
    assert b.arrived() == []


@pytest.mark.alone
@pytest.mark.limit(120)
def test_many_stuck_copies_do_not_hang_the_mount(pair, scratch):
    """More of them than any pool of workers could have."""
    source = random_file(scratch / "many", 16 * MIB)
    pair.b.pause()
    try:
        copies = [pair.a.popen("cp", source, pair.ab / f"stuck-{number}",
                               stderr=subprocess.DEVNULL)
                  for number in range(40)]
        wait_for(lambda: len(os.listdir(pair.ab)) >= 40, 20,
                 lambda: f"40 names: {os.listdir(pair.ab)}")
        times = metadata_times(pair.a, pair.ab, 300)
        for seconds in times.values():
            assert quantile(seconds, 0.99) < 2 * P99_SECONDS * SCALE
        for copy in copies:
            copy.kill()
        for copy in copies:
            assert wait_gone(copy, 5) == -signal.SIGKILL
    finally:
        pair.b.resume()
    pair.b.wait_spool_empty(20)
    assert pair.b.arrived() == []


def test_a_stopped_receiver_goes_on_where_it_was(pair, scratch, slow_network):
    slow_network("b", 20)
    source = random_file(scratch / "paused", 32 * MIB)
    copy = pair.a.popen("cp", source, pair.ab, stderr=subprocess.PIPE)
    pair.a.wait_bytes("paused", MIB)
    pair.b.pause()
    try:
        # Long enough for the sender to have filled its window and to wait.
        def waits():
            before = pair.a.transfers("paused")[0]["bytes"]
            threading.Event().wait(0.3)
            return pair.a.transfers("paused")[0]["bytes"] == before
        wait_for(waits, 5, "the copy waits")
    finally:
        pair.b.resume()
        slow_network.end()
    assert copy.wait(30 * SCALE) == 0, copy.stderr.read()
    assert sha256(pair.b.backing / "paused") == sha256(source)


@pytest.mark.alone
def test_creating_asks_nobody(pair):
    """touch, mkdir and mv towards a stopped peer: CREATE does not wait."""
    pair.b.pause()
    try:
        took = []
        for number in range(10):
            path = pair.ab / f"created-{number}"
            started = time.perf_counter()
            fd = os.open(path, os.O_WRONLY | os.O_CREAT)
            took.append(time.perf_counter() - started)
            took.append(timed(os.mkdir, pair.ab / f"made-{number}"))
            took.append(timed(os.stat, path))
            took.append(timed(os.unlink, path))
            try:
                os.close(fd)  # cancelled: it says so, and does not wait
            except OSError:
                pass
        assert max(took) < 0.1 * SCALE, took
    finally:
        pair.b.resume()
    wait_for(lambda: all(f"made-{number}" in pair.b.arrived()
                         for number in range(10)), 10, "the directories")
    assert not any(name.startswith("created") for name in pair.b.arrived())


def test_df_shows_the_free_space_of_the_peer(pair):
    there = os.statvfs(pair.b.backing)

    def close_enough():
        shown = os.statvfs(pair.ab)
        return (abs(shown.f_bavail * shown.f_frsize
                    - there.f_bavail * there.f_frsize) < 2 << 30
                and shown.f_blocks * shown.f_frsize
                == there.f_blocks * there.f_frsize)
    wait_for(close_enough, 15,
             lambda: f"{os.statvfs(pair.ab)} shows {there}")
