"""Who gets in: strangers, accepted ones, and keys that are not the pinned."""

import errno
import os
import shutil

import pytest

from material import MIB, random_file, sha256
from netbed import wait_for

def received(bed, name):
    """How many bytes have reached that host."""
    lines = bed.hosts[name].run(["cat", "/proc/self/net/dev"]).stdout
    for line in lines.splitlines():
        device, _, numbers = line.strip().partition(":")
        if device == "eth0":
            return int(numbers.split()[0])
    raise AssertionError(lines)


@pytest.mark.quick
@pytest.mark.sanitize
def test_a_stranger_is_refused_before_any_content(fresh_pair, scratch, bed):
    a, b = fresh_pair(accept_b="known")
    source = random_file(scratch / "unwanted", 16 * MIB)
    before = received(bed, "b")
    for _ in range(2):  # known from the handshake on, and so at open
        done = a.sh('cp "$1" "$2"', source, a.to("b"), check=False)
        assert done.returncode == 1
        assert "Permission denied" in done.stderr
    assert received(bed, "b") - before < 256 * 1024
    assert b.arrived() == [] and b.spooled() == []


def test_a_known_refusal_is_the_errno_of_open(fresh_pair):
    a, b = fresh_pair(accept_b="known")

    def refused_at_open():
        try:
            fd = os.open(a.to("b") / "file", os.O_WRONLY | os.O_CREAT)
        except OSError as error:
            assert error.errno == errno.EACCES
            return True
        try:
            os.write(fd, b"content")
            os.close(fd)
        except OSError as error:
            assert error.errno == errno.EACCES
        return False
    wait_for(refused_at_open, 15, "CREATE says EACCES")
    assert b.arrived() == []


@pytest.mark.quick
@pytest.mark.sanitize
def test_accept_lets_a_stranger_in_and_forget_out(fresh_pair, scratch):
    a, b = fresh_pair(accept_b="known")
    source = random_file(scratch / "welcome", MIB)

    def copies():
        return a.sh('cp "$1" "$2"', source, a.to("b"),
                    check=False).returncode == 0
    assert not copies()
    b.command("accept", "a")
    wait_for(copies, 10, "a copy after accept")
    assert sha256(b.backing / "welcome") == sha256(source)
    b.command("forget", "a")
    (b.backing / "welcome").unlink()
    wait_for(lambda: not copies(), 10, "no copy after forget")


@pytest.mark.limit(120)
def test_a_pin_outlives_a_restart(fresh_pair, start, scratch):
    """Let in once under lan, known for good."""
    a, b = fresh_pair()
    source = random_file(scratch / "pinned", 1000)
    a.sh('cp "$1" "$2"', source, a.to("b"))
    b.stop()
    again = start("b", paths=b.paths, accept="known")

    def copies():
        return a.sh('cp "$1" "$2"', source, a.to("b") / "second",
                    check=False).returncode == 0
    wait_for(copies, 20, "a copy to the pinned peer")
    assert sha256(again.backing / "second") == sha256(source)


@pytest.mark.limit(120)
def test_a_changed_key_is_rejected(fresh_pair, start, scratch, bed):
    """The folder belongs to the key, not to a name or an address."""
    a, b = fresh_pair()
    source = random_file(scratch / "for the real b", MIB)
    a.sh('cp "$1" "$2"', source, a.to("b"))
    b.stop()
    shutil.rmtree(b.state)
    (b.backing / source.name).unlink()
    impostor = start("b", paths=b.paths)
    a.wait_peer("b (2)")

    def rejected():
        try:
            fd = os.open(a.to("b") / "secret", os.O_WRONLY | os.O_CREAT)
        except OSError as error:
            return error.errno == errno.EKEYREJECTED
        try:
            os.write(fd, b"secret")
        except OSError as error:
            return error.errno == errno.EKEYREJECTED
        finally:
            try:
                os.close(fd)
            except OSError:
                pass
        raise AssertionError("a write to another key's machine succeeded")
    wait_for(rejected, 10, "EKEYREJECTED")
    assert impostor.arrived() == []


def test_own_service_is_no_peer(pair):
    assert os.listdir(pair.a.peers) == ["b"]
    assert os.listdir(pair.b.peers) == ["a"]


@pytest.mark.limit(120)
def test_names_that_clash_are_told_apart(start, bed):
    """Two machines called the same are two folders."""
    a = start("a")
    b = start("b", name="twin")
    second = start("b", name="twin")
    wait_for(lambda: sorted(os.listdir(a.peers)) == ["twin", "twin (2)"], 20,
             lambda: f"two twins: {os.listdir(a.peers)}")
    fingerprints = {a.peer_record(name)[2] for name in ("twin", "twin (2)")}
    assert fingerprints == {b.self_info()["fingerprint"],
                            second.self_info()["fingerprint"]}
