"""Asking to be let in: two machines that have never met, with the defaults.

What waits is parked: nothing of it is sent before somebody has said yes on the
other side, and it can be given up at any time.
"""

import errno
import os
import re
import signal
import subprocess

import pytest

from material import MIB, random_file, sha256
from netbed import wait_for

QUIET = 256 * 1024  # handshakes, heartbeats and discovery, not content


@pytest.fixture
def strangers(fresh_pair):
    """strangers(options of b, options of a): a and b, as they come."""
    def strangers(options_b=(), options_a=()):
        return fresh_pair(options_a, options_b, accept_a=None, accept_b=None)
    return strangers


def received(host):
    """How many bytes have reached that host."""
    for line in host.run(["cat", "/proc/self/net/dev"]).stdout.splitlines():
        device, _, numbers = line.strip().partition(":")
        if device == "eth0":
            return int(numbers.split()[0])
    raise AssertionError("no eth0")


def questions(mount):
    return sorted(os.listdir(mount.path / ".gtfs/requests"))


def question(mount, name, timeout=10):
    """The one open question there, once it is: its fields."""
    wait_for(lambda: questions(mount) == [name], timeout,
             lambda: f"a question of {name}: {questions(mount)}")
    text = (mount.path / ".gtfs/requests" / name).read_text()
    return dict(line.split(": ", 1) for line in text.splitlines())


def wait_no_question(mount, timeout=10):
    wait_for(lambda: not questions(mount), timeout,
             lambda: f"no question: {questions(mount)}")


def words_kept(mount, name):
    said = mount.command("verify", name).stdout
    return re.search(r"^words +(.*?) *$", said, re.MULTILINE).group(1)


def copying(mount, source, to):
    return mount.popen("cp", "-r", source, to)


def ends(process, status, timeout=15):
    assert process.wait(timeout) == status


@pytest.mark.quick
@pytest.mark.sanitize
def test_a_copy_waits_for_a_person_and_then_all_is_well(strangers, scratch,
                                                        bed):
    a, b = strangers()
    source = random_file(scratch / "file", 4 * MIB)
    before = received(bed.hosts["b"])
    copy = copying(a, source, a.to("b"))
    asked = question(b, "a")
    assert asked["file"] == "file"
    assert asked["fingerprint"] == a.self_info()["fingerprint"]
    assert len(asked["words"].split()) >= 4

    # Not one byte of it is sent, or kept, before consent.
    a.sh('stat "$1" && ls "$2"', a.to("b") / "file", a.to("b"))
    assert received(bed.hosts["b"]) - before < QUIET
    assert copy.poll() is None and b.arrived() == [] and b.spooled() == []

    b.command("accept", "a")
    ends(copy, 0)
    assert sha256(b.backing / "file") == sha256(source)
    assert questions(b) == []

    # The second one, and the other direction, need nothing.
    a.sh('cp "$1" "$2"', source, a.to("b") / "second", timeout=10)
    b.sh('cp "$1" "$2"', source, b.to("a") / "back", timeout=10)
    assert sha256(a.backing / "back") == sha256(source)
    assert questions(a) == questions(b) == []


@pytest.mark.quick
def test_a_word_into_the_request_decides(strangers, scratch):
    a, b = strangers()
    source = random_file(scratch / "file", 1000)
    copy = copying(a, source, a.to("b"))
    question(b, "a")
    b.sh('echo accept > "$1"', b.path / ".gtfs/requests/a")
    ends(copy, 0)
    assert b.arrived() == ["file"]


def test_both_sides_show_the_same_words(strangers, scratch):
    a, b = strangers()
    copy = copying(a, random_file(scratch / "file", 1000), a.to("b"))
    words = question(b, "a")["words"]
    wait_for(lambda: words in (a.path / ".gtfs/why/b").read_text(), 10,
             lambda: (a.path / ".gtfs/why/b").read_text())
    b.command("accept", "a")
    ends(copy, 0)
    assert words_kept(a, "b") == words_kept(b, "a") == words


def refused(a, b, scratch):
    """b says no to a copy of a, of this file."""
    source = random_file(scratch / "file", 1000)
    copy = copying(a, source, a.to("b"))
    question(b, "a")
    b.command("refuse", "a")
    ends(copy, 1)
    return source


@pytest.mark.quick
@pytest.mark.sanitize
def test_a_refusal_is_an_errno(strangers, scratch):
    a, b = strangers()
    refused(a, b, scratch)

    # For a while nobody is asked again: it is known at open.
    def refused_at_open():
        try:
            fd = os.open(a.to("b") / "more", os.O_WRONLY | os.O_CREAT)
        except PermissionError:
            return True
        with pytest.raises(PermissionError):
            os.write(fd, b"content")
            os.close(fd)
        return False
    wait_for(refused_at_open, 10, "EACCES at open")
    assert questions(b) == [] and b.arrived() == [] and b.spooled() == []


def test_a_no_by_mistake_is_taken_back(strangers, scratch):
    a, b = strangers()
    source = refused(a, b, scratch)
    b.command("accept", "a")
    a.sh('cp "$1" "$2"', source, a.to("b"), timeout=5)
    assert b.arrived() == ["file"]


def test_nobody_answers(strangers, scratch):
    a, b = strangers(["--ask-timeout", "2"])
    fd = os.open(a.to("b") / "file", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(PermissionError):  # the first error stays
        os.write(fd, b"content")
    with pytest.raises(PermissionError):
        os.fsync(fd)
    with pytest.raises(PermissionError):
        os.close(fd)
    assert questions(b) == [] and b.spooled() == []


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_who_gives_up_takes_the_question_back(strangers, scratch, how):
    a, b = strangers()
    copy = copying(a, random_file(scratch / "file", 4 * MIB), a.to("b"))
    question(b, "a")
    os.kill(copy.pid, how)
    ends(copy, -how, 5)
    wait_no_question(b, 5)
    wait_for(lambda: os.listdir(a.to("b")) == [], 5, "nothing is left of it")


def test_who_gives_up_a_tree_takes_the_question_back(strangers, scratch):
    """Its directories were made for what is in them."""
    a, b = strangers()
    for name in "empty", "sub":
        (scratch / "dir" / name).mkdir(parents=True)
    (scratch / "dir/link").symlink_to("sub/file")
    random_file(scratch / "dir/sub/file", 1000)
    copy = copying(a, scratch / "dir", a.to("b"))
    question(b, "a")
    wait_for((a.to("b") / "dir/sub/file").exists, 10, "it waits for the file")
    copy.kill()
    ends(copy, -signal.SIGKILL, 5)
    wait_no_question(b, 5)

    # Once more, and all of it is there.
    copy = copying(a, scratch / "dir", a.to("b"))
    question(b, "a")
    b.command("accept", "a")
    ends(copy, 0)
    b.sh('diff -r --no-dereference "$1" "$2"', scratch / "dir",
         b.backing / "dir")


def test_two_copies_are_one_question(strangers, scratch):
    a, b = strangers()
    copies = [copying(a, random_file(scratch / name, MIB), a.to("b"))
              for name in ("one", "two")]
    question(b, "a")
    wait_for(lambda: len(os.listdir(a.to("b"))) == 2, 5, "both wait")
    os.kill(copies[0].pid, signal.SIGKILL)
    ends(copies[0], -signal.SIGKILL)
    question(b, "a")  # the other one still waits
    b.command("accept", "a")
    ends(copies[1], 0)
    assert b.arrived() == ["two"]


def words_shown(mount, name):
    """All that its screen says while both of them ask."""
    why = (mount.path / ".gtfs/why" / name).read_text()
    asked = re.search(r"show the words: (.*?)\.", why)
    listed = mount.command("requests", "--json").stdout
    return {asked and asked.group(1), words_kept(mount, name),
            question(mount, name)["words"],
            *re.findall(r'"words": *"(.*?)"', listed)}


@pytest.mark.parametrize("decides", ["a", "b"])
def test_two_who_ask_each_other_have_the_same_words(strangers, scratch,
                                                    decides):
    """And need one yes."""
    a, b = strangers()
    source = random_file(scratch / "file", MIB)
    there, back = copying(a, source, a.to("b")), copying(b, source, b.to("a"))
    question(a, "b")
    question(b, "a")

    def shown():
        return words_shown(a, "b") | words_shown(b, "a")
    wait_for(lambda: len(shown()) == 1, 5, shown)
    words, = shown()
    if decides == "a":
        a.command("accept", "b")
    else:
        b.command("accept", "a")
    ends(there, 0)
    ends(back, 0)
    assert questions(a) == questions(b) == []
    assert words_kept(a, "b") == words_kept(b, "a") == words


def test_a_tree_waits(strangers, scratch):
    a, b = strangers()
    (scratch / "dir/sub").mkdir(parents=True)
    for name in "x", "sub/y":
        random_file(scratch / "dir" / name, 1000)
    copy = copying(a, scratch / "dir", a.to("b"))
    assert question(b, "a")["file"] == "dir"
    b.command("accept", "a")
    ends(copy, 0)
    b.sh('diff -r "$1" "$2"', scratch / "dir", b.backing / "dir")


def test_a_directory_alone_is_asked_for(strangers):
    a, b = strangers()
    os.mkdir(a.to("b") / "dir")  # answered from memory
    assert question(b, "a")["file"] == "dir"
    b.command("accept", "a")
    wait_for(lambda: b.arrived() == ["dir"], 10, "the directory")


PROGRAM = """
import os, sys
fd = os.open(sys.argv[1] + "/draft", os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 5)
os.rename(sys.argv[1] + "/draft", sys.argv[1] + "/final")
print("waits", flush=True)
os.fsync(fd)
os.pwrite(fd, b"content", 0)
assert os.pread(fd, 100, 0) == b"content"
os.close(fd)
"""


def test_what_is_done_while_it_waits_is_done_then(strangers):
    """Truncated and renamed before anybody has said a word."""
    a, b = strangers()
    program = a.popen("/usr/bin/python3", "-c", PROGRAM, a.to("b"),
                      stdout=subprocess.PIPE)
    assert program.stdout.readline() == b"waits\n"
    question(b, "a")
    assert program.poll() is None
    b.command("accept", "a")
    ends(program, 0)
    assert (b.backing / "final").read_bytes() == b"content"
    assert b.arrived() == ["final"]


@pytest.mark.limit(120)
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_the_one_who_is_asked_starts_again(strangers, start, scratch, how):
    """It is asked again, and not for less: the copy has waited on."""
    a, b = strangers()
    source = random_file(scratch / "file", MIB)
    copy = copying(a, source, a.to("b"))
    question(b, "a")
    if how == "stop":
        b.stop()
    else:
        b.kill()
    again = start("b", paths=b.paths, accept=None)
    question(again, "a", 30)
    assert copy.poll() is None
    again.command("accept", "a")
    ends(copy, 0)
    assert sha256(again.backing / "file") == sha256(source)


def test_the_asking_one_stops(strangers, scratch):
    a, b = strangers()
    copy = copying(a, random_file(scratch / "file", MIB), a.to("b"))
    question(b, "a")
    a.stop(signal.SIGTERM)
    ends(copy, 1)
    wait_no_question(b, 5)


def test_waiting_costs_little_memory(strangers, figure):
    a, b = strangers()
    before = a.vm_hwm()
    writers = [a.popen("sh", "-c", f"head -c 64M /dev/zero > '{to}'")
               for to in (a.to("b") / f"{n}" for n in range(64))]
    question(b, "a")
    wait_for(lambda: len(os.listdir(a.to("b"))) == 64, 30, "all wait")
    grown = a.vm_hwm() - before
    figure(f"64 files that wait for consent: {grown} kB")
    assert grown < 20 * 1024
    b.command("refuse", "a")
    for writer in writers:
        assert writer.wait(20)
    assert b.arrived() == []
