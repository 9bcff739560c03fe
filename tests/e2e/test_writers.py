"""What a program does with a file under peers/ decides what becomes of it."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from daemon import binary
from material import MIB, Watcher, wait_gone
from netbed import SCALE, run, wait_for

PATIENCE = ["--patience", "20"]

# Opens $1, writes, is interrupted by a timer, and waits: in close, or in write.
INTERRUPTED = """
import os, signal, sys
signal.signal(signal.SIGALRM, lambda *a: None)
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
os.write(fd, b"x" * 1000)
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
print("ready", flush=True)
while sys.argv[2] == "write":
    os.write(fd, b"x" * (1 << 20))
os.close(fd)
"""


def python(mount, program, *args, **options):
    return mount.popen(sys.executable, "-c", program, *args, **options)


def assert_none_arrives(pair):
    pair.b.wait_spool_empty()
    assert pair.b.arrived() == []


@pytest.mark.sanitize
def test_a_moment_as_standard_output_is_not_being_it(pair):
    """echo >&5 makes 5 the shell's standard output while it writes."""
    done = pair.a.sh('exec 5>"$1"; echo half >&5; exit 3', pair.ab / "five",
                     check=False)
    assert done.returncode == 3
    assert_none_arrives(pair)


def test_a_killed_writer_of_another_user_leaves_nothing(pair):
    """What it holds cannot be read, but that a signal ended it can."""
    program = ("import os, sys; fd = os.open(sys.argv[1], os.O_WRONLY | "
               "os.O_CREAT); os.write(fd, b'half'); "
               "os.setresuid(65534, 65534, 65534); "
               "os.kill(os.getpid(), 9)")
    writer = python(pair.a, program, pair.ab / "theirs")
    assert wait_gone(writer, 5) == -signal.SIGKILL
    assert_none_arrives(pair)


def test_standard_output_moved_there_is_delivered(pair):
    done = pair.a.sh('exec 5>"$1"; exec >&5 5>&-; echo all; exit 3',
                     pair.ab / "moved", check=False)
    assert done.returncode == 3
    wait_for(lambda: "moved" in pair.b.arrived(), 5, "moved arrives")
    assert (pair.b.backing / "moved").read_bytes() == b"all\n"


def test_a_child_with_it_as_standard_output_outlives_the_opener(pair):
    program = ("import subprocess, sys; f = open(sys.argv[1], 'w'); "
               "subprocess.Popen(['sh', '-c', 'read x; echo out; exit 3'],"
               " stdout=f)")
    child = python(pair.a, program, pair.ab / "heir", stdin=subprocess.PIPE)
    child.wait(timeout=10 * SCALE)
    assert pair.b.arrived() == []
    child.stdin.write(b"\n")
    child.stdin.close()
    wait_for(lambda: "heir" in pair.b.arrived(), 5, "heir arrives")
    assert (pair.b.backing / "heir").read_bytes() == b"out\n"


def test_what_a_child_commits_is_an_entry_like_any_other(pair):
    """Nobody waited for its commit; it can be sent anew afterwards."""
    pair.a.sh('bash -c \'exec 3>"$0"; (read x; echo late >&3) & exit 0\' "$1"'
              ' <<<""', pair.ab / "orphan")
    wait_for(lambda: "orphan" in pair.b.arrived(), 5, "orphan arrives")
    pair.a.sh('echo again > "$1"', pair.ab / "orphan")
    assert pair.b.arrived() == ["orphan"]
    assert (pair.b.backing / "orphan").read_bytes() == b"again\n"


# $1 is what they write to, $2 a FIFO that they wait for.
OUTLIVES = {
    "a background child": '{ echo one; (read x <"$2"; echo two) & } >"$1"',
    "a background child alone": '{ (read x <"$2"; echo one; echo two) & }'
                                ' >"$1"',
    "an orphan": '{ echo one; ( (read x <"$2"; echo two) & ) } >"$1"',
    "an orphan alone": '( (read x <"$2"; echo one; echo two) & ) >"$1"',
    "an orphan of another session": '{ echo one; setsid -f bash -c '
                                    '\'read x <"$0"; echo two\' "$2"; }'
                                    ' >"$1" 2>&1',
    "an orphan of a program": 'bash -c \'echo one; ( (read x <"$0"; '
                              'echo two) & ); exit 3\' "$2" >"$1"',
    "standard error": '{ echo one >&2; ( (read x <"$2"; echo two >&2) & ) }'
                      ' 2>"$1"',
    "a descriptor that was output": 'exec 3>"$1"; echo one >&3; '
                                    '( (read x <"$2"; echo two >&3) & ); '
                                    'exec 3>&-',
}


@pytest.mark.sanitize
@pytest.mark.parametrize("script", OUTLIVES.values(), ids=OUTLIVES.keys())
def test_who_outlives_the_opener_writes_to_the_end(pair, scratch, script):
    os.mkfifo(scratch / "go")
    with Watcher(pair.bed, pair.b.backing) as watcher:
        # Not sh(): that waits for all who have its output.
        pair.a.popen("bash", "-c", script, "bash", pair.ab / "out",
                     scratch / "go", stdout=subprocess.DEVNULL,
                     stderr=subprocess.DEVNULL).wait(10 * SCALE)
        assert pair.b.arrived() == []
        (scratch / "go").write_text("\n")
        wait_for(lambda: pair.b.arrived() == ["out"], 5, "out arrives")
    assert (pair.b.backing / "out").read_bytes() == b"one\ntwo\n"
    assert watcher.sizes == {"out": [8]}


def test_the_last_holder_killed_leaves_nothing(pair, scratch):
    """The shell that opened the file lives on, but has no part in it."""
    os.mkfifo(scratch / "go")
    shell = pair.a.popen(
        "bash", "-c", '{ (echo half; echo $BASHPID >&2; read x <"$1") & } '
        '>"$0"; read x', pair.ab / "half", scratch / "go",
        stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    os.kill(int(shell.stderr.readline()), signal.SIGKILL)
    wait_for(lambda: "half" not in os.listdir(pair.ab), 5, "it is gone")
    shell.communicate(b"\n", timeout=10 * SCALE)
    assert_none_arrives(pair)


def test_who_only_reads_along_delays_nothing(pair):
    program = ("import os, sys; f = os.open(sys.argv[1], os.O_RDONLY); "
               "print('reads', flush=True); sys.stdin.read()")
    with open(pair.ab / "followed", "wb", buffering=0) as file:
        file.write(b"whole\n")
        reader = python(pair.a, program, pair.ab / "followed",
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert reader.stdout.readline() == b"reads\n"
    assert pair.b.arrived() == ["followed"]
    reader.communicate(timeout=10 * SCALE)


def test_open_with_truncation_beside_a_waiting_close(fresh_pair):
    a, b = fresh_pair(PATIENCE)
    path = a.to("b") / "same"
    b.pause()
    first = a.popen("sh", "-c", 'echo one > "$0"', path)
    wait_for(lambda: a.transfers("same") and path.stat().st_size == 4, 5,
             "the first is written")
    second = a.popen("sh", "-c", 'echo second > "$0"', path)
    b.resume()
    assert first.wait(10 * SCALE) == 0
    assert second.wait(10 * SCALE) == 0
    contents = sorted((b.backing / n).read_bytes() for n in b.arrived())
    assert contents in ([b"one\n", b"second\n"], [b"second\n"])


@pytest.mark.sanitize
@pytest.mark.parametrize("call", ["close", "write"])
def test_kill_after_other_signals_ends_a_waiting_writer(fresh_pair, call):
    """The kernel tells of the first signal only."""
    a, b = fresh_pair(PATIENCE)
    b.pause()
    writer = python(a, INTERRUPTED, a.to("b") / "stuck", call,
                    stdout=subprocess.PIPE)
    assert writer.stdout.readline() == b"ready\n"

    def waits():
        with open(f"/proc/{writer.pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "D"
    wait_for(waits, 10, "the writer waits, deaf to its timer")
    started = time.monotonic()
    writer.kill()
    assert wait_gone(writer, 5) == -signal.SIGKILL
    assert time.monotonic() - started < 0.5 * SCALE
    b.resume()


def test_interrupted_writers_take_no_memory_without_end(fresh_pair):
    a, b = fresh_pair(PATIENCE)
    b.pause()
    writer = python(a, INTERRUPTED, a.to("b") / "greedy", "write",
                    stdout=subprocess.PIPE)
    assert writer.stdout.readline() == b"ready\n"
    path = a.to("b") / "greedy"
    sizes = []

    def still():
        sizes.append(path.stat().st_size)
        return len(sizes) > 40 and sizes[-40] == sizes[-1] > 2 * MIB
    # Five alarms from one look to the next, and no bytes more.
    wait_for(still, 10, "the writer is made to wait", interval=0.01)
    assert sizes[-1] < 6 * MIB
    writer.kill()
    wait_gone(writer, 5)
    b.resume()


def test_killed_at_open_leaves_nothing(pair, scratch):
    """The kernel then sends a RELEASE that no FLUSH came before."""
    source = scratch / "source"
    source.write_bytes(b"x" * 1000)
    for turn in range(12):
        copies = [pair.a.popen("cp", source, pair.ab / f"{turn}-{number}")
                  for number in range(20)]
        copies[turn].wait()
        for copy in copies:
            copy.kill()
        for copy in copies:
            copy.wait()
    pair.b.wait_spool_empty()
    sizes = {name: (pair.b.backing / name).stat().st_size
             for name in pair.b.arrived()}
    assert set(sizes.values()) == {1000}, sizes


@pytest.mark.parametrize("name", [b"new\nline", b"\xff\xfe", b"n" * 255],
                         ids=["newline", "not UTF-8", "255 bytes"])
def test_any_name_arrives(pair, name):
    with open(os.fsencode(pair.ab) + b"/" + name, "wb") as f:
        f.write(b"named")
    with open(os.fsencode(pair.b.backing) + b"/" + name, "rb") as f:
        assert f.read() == b"named"


def test_a_rename_into_the_inbox_loses_nothing(pair):
    pair.a.sh('echo one > "$1"', pair.ab / "old")
    with pytest.raises(OSError) as error:
        os.rename(pair.ab / "old", pair.a.path / "inbox" / "new")
    assert error.value.errno == errno.EXDEV
    assert pair.b.arrived() == ["old"]
    assert (pair.ab / "old").stat().st_size == 4


def test_closed_standard_files_are_no_trap(keep_local):
    """Else the state's descriptor is 0, and then /dev/null."""
    top = keep_local.dir / "closed"
    top.mkdir()
    gtfs = " ".join(binary())
    words = (f'{gtfs} --name x --discovery off --state "$0/s" --inbox "$0/i" '
             '"$0/m" <&- >&- 2>&-')
    run(["bash", "-c", words, top], env=keep_local.environ(), timeout=30)
    assert sorted(os.listdir(top / "m")) == [".gtfs", "inbox", "peers"]
    run(binary() + ["stop", "--mount", top / "m"], timeout=30)
    wait_for(lambda: not os.path.ismount(top / "m"), 10, "stopped")


def test_a_place_can_be_mounted_once(lone):
    top = lone.paths.top
    for where in lone.path, lone.backing / "in", top / "s2" / "in":
        done = run(binary() + ["--name", "x", "--discovery", "off", "--state",
                               top / "s2", "--inbox",
                               lone.backing if where.name == "in" else
                               top / "i2", where],
                   check=False, timeout=30)
        assert done.returncode == 1
        assert done.stderr.startswith("gtfs: ")
        assert done.stderr.count("\n") == 1
    lone.assert_running()


def test_a_signal_while_draining_ends_in_good_order(fresh_pair):
    a, _ = fresh_pair()
    held = os.open(a.to("b") / "held", os.O_WRONLY | os.O_CREAT)
    (a.path / ".gtfs/control").write_text("stop\n")
    assert a.running()
    a.stop(signal.SIGINT)
    with pytest.raises(OSError):
        os.close(held)


def test_a_second_opener_that_only_cuts_the_file_commits(pair):
    log = pair.ab / "log"
    log.write_text("twelve bytes")
    with open(log, "ab"):
        subprocess.run(["truncate", "-s", "3", log], check=True)
        assert (pair.b.backing / "log").read_text() == "twe"
