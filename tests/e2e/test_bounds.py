"""What many transfers at once may cost, on loopback and without discovery."""

import os
import socket
import subprocess
import time

import pytest

from daemon import Mount
from material import MIB, random_file, sha256
from netbed import SCALE

MEMORY_KB = 20 * 1000


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture
def couple(keep_local, monkeypatch):
    """couple(*options, wrap=...): a and b, each named to the other."""
    mounts = []

    def start(*options, wrap=""):
        wraps = f"{wrap} {os.environ.get('GTFS_WRAP', '')}".strip()
        ports = {"a": free_port(), "b": free_port()}
        with monkeypatch.context() as patched:
            patched.setenv("GTFS_WRAP", wraps)
            for me, other in ("ab", "ba"):
                mounts.append(Mount(
                    keep_local, "--discovery", "off", "--listen",
                    f"127.0.0.1:{ports[me]}", "--peer",
                    f"{other}=127.0.0.1:{ports[other]}", *options, name=me))
        a, b = mounts
        a.wait_peer("b")
        b.wait_peer("a")
        b.port = ports["b"]
        return a, b
    yield start
    try:
        for mount in mounts:
            if mount.running():
                mount.stop()
    finally:
        for mount in mounts:
            if mount.running():
                mount.kill()


@pytest.fixture
def source(keep_local):
    path = random_file(keep_local.dir / "source", 10 * MIB)
    yield path
    path.unlink()


def copies(mount, peer, source, count):
    return [mount.popen("cp", source, mount.to(peer) / f"copy {i}",
                        stderr=subprocess.PIPE) for i in range(count)]


def assert_all_arrived(mount, started, source):
    for copy in started:
        error = copy.communicate(timeout=120)[1]
        assert copy.returncode == 0, error
    digest = sha256(source)
    for i in range(len(started)):
        assert sha256(mount.backing / f"copy {i}") == digest


@pytest.mark.limit(150)
def test_64_copies_at_once_are_small(couple, source, figure):
    a, b = couple()
    assert_all_arrived(b, copies(a, "b", source, 64), source)
    figure(f"64 copies of {source.stat().st_size // MIB} MiB at once: VmHWM "
           f"sender {a.vm_hwm()} kB, receiver {b.vm_hwm()} kB")
    if not os.environ.get("GTFS_SANITIZER"):
        assert a.vm_hwm() < MEMORY_KB
        assert b.vm_hwm() < MEMORY_KB


@pytest.mark.limit(150)
def test_64_descriptors_are_enough(couple, source):
    """Copies both ways, and a crowd at the door meanwhile."""
    a, b = couple(wrap="prlimit --nofile=64:64")
    there, back = copies(a, "b", source, 32), copies(b, "a", source, 32)
    assert_all_arrived(b, there, source)
    assert_all_arrived(a, back, source)
    crowd = []
    try:
        for _ in range(200):
            crowd.append(socket.create_connection(("127.0.0.1", b.port), 5))
        a.sh('cp "$1" "$2"', source, a.to("b") / "copy 32")
    finally:
        for one in crowd:
            one.close()


@pytest.mark.limit(120)
def test_more_open_files_than_connections_end(couple, source):
    """tee holds 60 files open, and each of them waits for the others: not for
    longer than one patience, however many they are. (One after the other they
    would wait for two minutes.)"""
    a, b = couple("--patience", "3")
    names = [str(a.to("b") / f"{i}") for i in range(60)]
    began = time.monotonic()
    done = a.sh('tee "${@:2}" <"$1" >/dev/null', source, *names, check=False,
                timeout=90)
    assert time.monotonic() - began < 60 * SCALE
    assert done.returncode == 1
    assert "Too many open files" in done.stderr
    arrived = b.arrived()
    for name in names:  # there, or said not to be
        assert f"{name}: " in done.stderr or name.split("/")[-1] in arrived
    assert len(arrived) >= 8
    for name in arrived:
        assert sha256(b.backing / name) == sha256(source)
    b.wait_spool_empty()
