"""Copies that do not come to their end: nothing arrives, and all goes on."""

import errno
import os
import resource
import signal
import subprocess
import sys
import time

import pytest

from inbox_help import fill
from material import MIB, random_file, sha256, wait_gone
from netbed import SCALE, wait_for

TRUE_ERRORS = ("Connection timed out", "No route to host")


def start_slow_copy(pair, slow_network, scratch, name):
    """A cp that is past its first MiB and far from its end."""
    slow_network("b", 10)
    source = random_file(scratch / name, 64 * MIB)
    copy = pair.a.popen("cp", source, pair.ab, stderr=subprocess.PIPE)
    pair.a.wait_bytes(name, MIB)
    assert copy.poll() is None
    return copy


def assert_next_transfer_works(pair, scratch, name):
    source = random_file(scratch / name, MIB + 3)
    pair.a.sh('cp "$1" "$2"', source, pair.ab)
    assert sha256(pair.b.backing / name) == sha256(source)


@pytest.mark.sanitize
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM,
                                 signal.SIGKILL], ids=lambda how: how.name)
def test_a_killed_copy_leaves_nothing(pair, slow_network, scratch, how):
    name = f"killed by {how.name}"
    copy = start_slow_copy(pair, slow_network, scratch, name)
    copy.send_signal(how)
    assert wait_gone(copy, 5) == -how
    slow_network.end()
    pair.b.wait_spool_empty()
    assert pair.b.arrived() == []
    wait_for(lambda: name not in os.listdir(pair.ab), 5,
             "the sender's folder no longer lists it")
    assert_next_transfer_works(pair, scratch, f"after {how.name}")


def test_without_descriptors_a_killed_copy_leaves_nothing(pair):
    """What cannot be read of the writer is no reason to publish."""
    program = ("import os, signal, sys; fd = os.open(sys.argv[1], "
               "os.O_WRONLY | os.O_CREAT); os.write(fd, b'x' * 100000); "
               "print(flush=True); signal.pause()")
    writer = pair.a.popen(sys.executable, "-c", program, pair.ab / "torn",
                          stdout=subprocess.PIPE)
    assert writer.stdout.readline()
    daemon = pair.a.pid
    soft, hard = resource.prlimit(daemon, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon, resource.RLIMIT_NOFILE, (3, hard))
    try:
        writer.kill()
        assert wait_gone(writer, 5) == -signal.SIGKILL
    finally:
        resource.prlimit(daemon, resource.RLIMIT_NOFILE, (soft, hard))
    pair.b.wait_spool_empty()
    assert pair.b.arrived() == []


def test_a_copy_that_fails_by_itself_leaves_nothing(pair):
    """A writer that exits non-zero with the file still open."""
    program = ("import os, sys; fd = os.open(sys.argv[1], os.O_WRONLY | "
               "os.O_CREAT); os.write(fd, b'x' * 100000); os._exit(3)")
    done = pair.a.sh('"$1" -c "$2" "$3"', sys.executable, program,
                     pair.ab / "half done", check=False)
    assert done.returncode == 3
    pair.b.wait_spool_empty()
    assert pair.b.arrived() == []


@pytest.mark.quick
@pytest.mark.sanitize
def test_a_program_that_fails_still_has_its_output(pair):
    """Standard output and error of a program with a non-zero status."""
    for name, to in ("out", ">"), ("err", "2>"):
        done = pair.a.sh(
            f'"$1" -c "import os, sys; os.write(1, b\'a report\\n\'); '
            f'os.write(2, b\'a report\\n\'); os._exit(3)" {to} "$2"',
            sys.executable, pair.ab / name, check=False)
        assert done.returncode == 3
        wait_for(lambda: name in pair.b.arrived(), 5, f"{name} arrives")
        assert (pair.b.backing / name).read_bytes() == b"a report\n"


def test_a_group_whose_middle_fails_arrives_whole(pair):
    pair.a.sh('(echo one; false; echo two; exit 1) > "$1"',
              pair.ab / "group", check=False)
    wait_for(lambda: "group" in pair.b.arrived(), 5, "group arrives")
    assert (pair.b.backing / "group").read_bytes() == b"one\ntwo\n"


def test_a_fork_that_closes_publishes_nothing_early(pair):
    """Only the opener's last close commits; a child's is a checkpoint."""
    program = """
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
os.write(fd, b"parent ")
if os.fork() == 0:
    os.close(fd)
    os._exit(0)
os.wait()
assert "once" not in os.listdir(sys.argv[2])
os.write(fd, b"again")
twin = os.dup(fd)
os.close(fd)
assert "once" not in os.listdir(sys.argv[2])
os.close(twin)
assert "once" in os.listdir(sys.argv[2])
"""
    pair.a.sh('"$1" -c "$2" "$3" "$4"', sys.executable, program,
              pair.ab / "once", pair.b.backing)
    assert (pair.b.backing / "once").read_bytes() == b"parent again"


@pytest.mark.limit(120)
def test_a_killed_receiver_is_a_true_error(fresh_pair, slow_network, scratch):
    patience = 3
    a, b = fresh_pair(["--patience", str(patience)])
    slow_network("b", 10)
    source = random_file(scratch / "lost", 64 * MIB)
    copy = a.popen("cp", source, a.to("b"), stderr=subprocess.PIPE, text=True)
    a.wait_bytes("lost", MIB)
    b.kill()
    started = time.monotonic()
    _, error = copy.communicate(timeout=60)
    took = time.monotonic() - started
    assert copy.returncode == 1
    assert any(text in error for text in TRUE_ERRORS), error
    # A dead peer is seen within 5 s, then the patience begins.
    assert took < (5 + patience + 2) * SCALE
    assert b.arrived() == []


@pytest.mark.limit(120)
def test_a_receiver_that_comes_back_starts_clean(fresh_pair, start,
                                                 slow_network, scratch):
    """kill -9 there: the spool of its former life goes, the mount heals."""
    a, b = fresh_pair(["--patience", "2"])
    slow_network("b", 10)
    source = random_file(scratch / "cut short", 64 * MIB)
    copy = a.popen("cp", source, a.to("b"), stderr=subprocess.DEVNULL)
    a.wait_bytes("cut short", MIB)
    b.kill()
    assert wait_gone(copy, 30) == 1
    slow_network.end()
    again = start("b", paths=b.paths)
    assert again.arrived() == []
    again.wait_spool_empty()
    a.wait_peer("b")

    def sent():
        return a.sh('cp "$1" "$2"', source, a.to("b") / "second try",
                    check=False).returncode == 0
    wait_for(sent, 20, "a copy to the peer that came back")
    assert sha256(again.backing / "second try") == sha256(source)


@pytest.mark.limit(120)
def test_the_first_error_stays(fresh_pair, slow_network):
    """Every later write, fsync and close says what the first one said."""
    a, b = fresh_pair(["--patience", "1"])
    slow_network("b", 10)
    fd = os.open(a.to("b") / "sticky", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"x" * MIB)
    b.kill()
    errors = []

    def failed():
        try:
            os.write(fd, b"y" * MIB)
        except OSError as error:
            errors.append(error.errno)
        return errors
    wait_for(failed, 30, "a write fails")
    for call in (lambda: os.write(fd, b"z"), lambda: os.fsync(fd),
                 lambda: os.close(fd)):
        with pytest.raises(OSError) as caught:
            call()
        errors.append(caught.value.errno)
    assert set(errors) <= {errno.ETIMEDOUT, errno.EHOSTUNREACH}, errors
    assert len(set(errors)) == 1


@pytest.mark.limit(120)
def test_a_cut_cable_is_a_true_error(fresh_pair, bed, scratch, slow_network):
    """No packet says that the peer is gone: its silence does."""
    a, b = fresh_pair(["--patience", "2"])
    slow_network("b", 10)
    source = random_file(scratch / "cut", 64 * MIB)
    copy = a.popen("cp", source, a.to("b"), stderr=subprocess.PIPE, text=True)
    a.wait_bytes("cut", MIB)
    bed.hosts["b"].cut()
    try:
        started = time.monotonic()
        _, error = copy.communicate(timeout=60)
        took = time.monotonic() - started
    finally:
        bed.hosts["b"].heal()
    assert copy.returncode == 1
    assert any(text in error for text in TRUE_ERRORS), error
    assert took < (5 + 2 + 2) * SCALE
    b.wait_spool_empty(30)
    assert b.arrived() == []


@pytest.mark.limit(120)
def test_what_has_failed_comes_no_more(fresh_pair, bed, scratch):
    """The kernel would go on sending the first copy when the network is back:
    it would replace the second one, whose cp has said that it is there."""
    a, b = fresh_pair(["--patience", "3"])
    target = a.to("b") / "twice"
    sources = [scratch / "old", scratch / "new, and there"]
    for source in sources:
        source.write_text(source.name)
    fill(target)
    os.unlink(b.backing / "twice")
    bed.hosts["b"].cut()
    try:
        done = a.sh('cp "$1" "$2"', sources[0], target, check=False)
    finally:
        bed.hosts["b"].heal()
    assert any(text in done.stderr for text in TRUE_ERRORS)
    wait_for(lambda: not a.sh('cp "$1" "$2"', sources[1], target,
                              check=False).returncode, 20, "a copy")
    # Until the kernel has nothing more to send for what was closed.
    wait_for(lambda: not bed.hosts["a"].run(
        ["ss", "-tnH", "state", "fin-wait-1"]).stdout, 60, "the last packets")
    assert b.arrived() == ["twice"]
    assert (b.backing / "twice").read_text() == sources[1].name
