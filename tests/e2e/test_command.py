"""The gtfs command: its beginning, its end, its files, its words."""

import errno
import json
import os
import re
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from daemon import Paths, binary
from material import MIB, random_file, sha256
from netbed import MARK, mounts_beneath, run, unmount_beneath, wait_for

NOBODY = 65534


def gtfs(*words, check=False, env=None):
    return run(binary() + [str(word) for word in words], check=check,
               env={**os.environ, **(env or {})})


def options(paths):
    return ["--discovery", "off", "--inbox", paths.backing, "--state",
            paths.state, "--name", "lone"]


def mark(host):
    return {MARK: host.bed.id}


def assert_one_line(text, *words):
    assert text.count("\n") == 1 and text.endswith("\n"), text
    assert text.startswith("gtfs: "), text
    for word in words:
        assert word in text, (word, text)


@pytest.mark.quick
def test_version_and_help_say_what_exists():
    version = gtfs("--version")
    assert version.returncode == 0
    assert re.fullmatch(r"gtfs \d+\.\d+\.\d+\n", version.stdout)
    text = gtfs("--help")
    assert text.returncode == 0
    for option in ("--name", "--inbox", "--state", "--listen", "--discovery",
                   "--peer", "--accept", "--ask-timeout", "--ack",
                   "--patience", "peers", "status", "requests", "why",
                   "accept", "--quota", "refuse", "forget", "verify", "pair",
                   "stop", "--mount", "--json"):
        assert option in text.stdout, option


@pytest.mark.parametrize("words", [
    [], ["--accept", "perhaps", "/nowhere"], ["--listen", "x", "/nowhere"],
    ["--discovery", "psychic", "/nowhere"], ["--peer", "", "/nowhere"],
    ["--peer", "b", "/nowhere"], ["--patience", "-1", "/nowhere"],
    ["--no-such-option", "/nowhere"], ["--ack", "maybe", "/nowhere"],
    ["/nowhere", "/elsewhere"]], ids=" ".join)
def test_wrong_words_are_one_line_and_status_1(words):
    done = gtfs(*words)
    assert done.returncode == 1
    assert_one_line(done.stderr)
    assert not Path("/nowhere").exists()


@pytest.mark.quick
def test_it_daemonises_only_when_ready(keep_local):
    paths = Paths(keep_local)
    try:
        done = gtfs(*options(paths), paths.mount, env=mark(keep_local))
        assert done.returncode == 0, done.stderr
        # Ready means now, not soon.
        assert sorted(os.listdir(paths.mount)) == [".gtfs", "inbox", "peers"]
        text = (paths.mount / ".gtfs" / "self").read_text()
        pid = int(dict(line.split(": ", 1)
                       for line in text.splitlines())["pid"])
        # A daemon: its own session, no terminal, no claim on a directory.
        assert os.getsid(pid) != os.getsid(0)
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        for fd in "012":
            assert os.readlink(f"/proc/{pid}/fd/{fd}") == "/dev/null"
        stop = gtfs("stop", "--mount", paths.mount)
        assert stop.returncode == 0, stop.stderr
        assert not mounts_beneath(paths.top)
        wait_for(lambda: not Path(f"/proc/{pid}").exists(), 5, "its end")
    finally:
        unmount_beneath(paths.top)


def test_failures_before_the_mount_are_one_line(keep_local):
    paths = Paths(keep_local)
    paths.mount.write_text("a file, not a directory")
    done = gtfs(*options(paths), paths.mount, env=mark(keep_local))
    assert done.returncode == 1
    assert_one_line(done.stderr, str(paths.mount))
    assert not mounts_beneath(paths.top)


def test_a_mount_directory_is_made(keep_local, start):
    paths = Paths(keep_local)
    paths.mount = paths.top / "new" / "mnt"
    paths.mount.parent.mkdir()
    mount = start(keep_local, "--discovery", "off", paths=paths)
    assert mount.path.is_dir()


@pytest.mark.quick
@pytest.mark.parametrize("what", ["state", "inbox"])
def test_a_second_gtfs_on_the_same_is_refused(lone, keep_local, what):
    paths = Paths(keep_local)
    if what == "state":
        paths.state = lone.state
    else:
        paths.backing = lone.backing
    try:
        done = gtfs(*options(paths), paths.mount, env=mark(keep_local))
        assert done.returncode == 1
        assert_one_line(done.stderr, str(getattr(lone, {
            "state": "state", "inbox": "backing"}[what])))
        assert not mounts_beneath(paths.top)
    finally:
        unmount_beneath(paths.top)


@pytest.mark.parametrize("what", ["state", "backing"])
def test_directories_inside_a_mount_are_refused(lone, keep_local, what):
    paths = Paths(keep_local)
    setattr(paths, what, lone.inbox / "inside")
    try:
        done = gtfs(*options(paths), paths.mount, env=mark(keep_local))
        assert done.returncode == 1
        assert_one_line(done.stderr)
    finally:
        unmount_beneath(paths.top)


@pytest.mark.quick
@pytest.mark.sanitize
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, "stop"],
                         ids=lambda how: getattr(how, "name", how))
def test_every_end_is_clean(fresh_pair, scratch, how):
    """Exit 0, no mount, and the other side hears the goodbye."""
    a, b = fresh_pair()
    source = random_file(scratch / "before the end", MIB)
    a.sh('cp "$1" "$2"', source, a.to("b"))
    before = a.peer_record("b")[1]
    b.stop(how)

    def noticed():
        record = a.peer_record("b")
        return record is None or record[1] != before
    wait_for(noticed, 5, lambda: f"goodbye heard: {a.peer_record('b')}")
    assert not b.is_mounted()
    assert b.arrived() == ["before the end"]


@pytest.mark.limit(120)
def test_stop_in_the_middle_of_a_copy_ends_both_sides(fresh_pair, slow_network,
                                                      scratch):
    a, b = fresh_pair(["--patience", "2"])
    slow_network("b", 10)
    source = random_file(scratch / "interrupted", 64 * MIB)
    copy = a.popen("cp", source, a.to("b"), stderr=subprocess.PIPE, text=True)
    a.wait_bytes("interrupted", MIB)
    a.stop(signal.SIGTERM)
    _, error = copy.communicate(timeout=30)
    assert copy.returncode != 0, "an unfinished copy that says it was done"
    assert error
    b.wait_spool_empty(20)
    assert b.arrived() == []


def test_a_crash_heals_at_the_next_start(keep_local, start):
    paths = Paths(keep_local)
    dead = start(keep_local, "--discovery", "off", paths=paths)
    dead.kill()
    with pytest.raises(OSError):
        os.listdir(dead.path)
    again = start(keep_local, "--discovery", "off", paths=paths)
    assert "inbox" in os.listdir(again.path)


def test_state_is_for_its_owner_only(lone):
    assert stat.S_IMODE(lone.state.stat().st_mode) == 0o700
    spool = lone.backing / ".gtfs-spool"
    assert stat.S_IMODE(spool.stat().st_mode) == 0o700
    keys = [path for path in lone.state.rglob("*") if path.is_file()]
    assert keys
    for path in keys:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_the_identity_stays(keep_local, start):
    paths = Paths(keep_local)
    first = start(keep_local, "--discovery", "off", paths=paths)
    fingerprint = first.self_info()["fingerprint"]
    first.stop()
    again = start(keep_local, "--discovery", "off", paths=paths)
    assert again.self_info()["fingerprint"] == fingerprint


# The files of .gtfs.

@pytest.mark.quick
def test_self_says_who_this_is(pair):
    info = pair.a.self_info()
    assert info["name"] == "a"
    assert info["pid"] == str(pair.a.pid)
    assert 1024 <= int(info["port"]) <= 65535
    assert re.fullmatch(r"\d+\.\d+\.\d+", info["version"])
    assert info["fingerprint"]
    assert info["fingerprint"] != pair.b.self_info()["fingerprint"]


@pytest.mark.quick
def test_peers_has_one_line_a_peer(pair):
    assert len(pair.a.table("peers")) == 1
    record = pair.a.peer_record("b")
    assert len(record) == 9
    assert record[2] == pair.b.self_info()["fingerprint"]
    assert "10.77.0.2" in record[3] or "fe80:" in record[3]
    assert int(record[5]) > 0


def test_transfers_has_one_line_a_transfer(pair, scratch):
    source = random_file(scratch / "one\ttransfer", 12345)
    pair.a.sh('cp "$1" "$2"', source, pair.ab)
    record, = [t for t in pair.a.transfers() if "transfer" in t["name"]]
    assert record["name"] != source.name  # a tab within it is escaped
    assert record["peer"] == "b" and record["bytes"] == "12345"
    assert {len(fields) for fields in pair.a.table("transfers")} == {9}
    assert len({t["id"] for t in pair.a.transfers()}) == len(
        pair.a.transfers())


def test_events_grow_and_end_at_their_end(pair, scratch):
    with open(pair.b.path / ".gtfs" / "events", "rb", buffering=0) as events:
        while events.read(65536):
            pass
        assert events.read(65536) == b""
        source = random_file(scratch / "eventful", 10)
        pair.a.sh('cp "$1" "$2"', source, pair.ab)
        heard = []

        def told():
            heard.append(events.read(65536))
            return b"eventful" in b"".join(heard)
        wait_for(told, 5, lambda: f"an event: {heard}")
    for line in b"".join(heard).splitlines():
        assert b"\t" in line


def test_the_tree_is_as_documented(pair):
    assert sorted(os.listdir(pair.a.path)) == [".gtfs", "inbox", "peers"]
    assert sorted(os.listdir(pair.a.path / ".gtfs")) == [
        "control", "events", "peers", "requests", "self", "transfers", "why"]
    assert os.listdir(pair.a.path / ".gtfs/why") == ["b"]
    assert os.listdir(pair.a.path / ".gtfs/requests") == []
    assert os.listdir(pair.a.peers) == ["b"]
    for directory in (pair.a.path, pair.a.peers, pair.a.path / ".gtfs/why",
                      pair.a.path / ".gtfs/requests"):
        with pytest.raises(OSError):
            (directory / "new").mkdir()
        with pytest.raises(OSError):
            (directory / "new").touch()
    with pytest.raises(OSError):
        (pair.a.peers / "nobody" / "file").touch()


def test_control_answers_on_the_same_descriptor(pair):
    fd = os.open(pair.a.path / ".gtfs" / "control", os.O_RDWR)
    try:
        with pytest.raises(OSError):
            os.write(fd, b"no-such-command\n")
        assert os.read(fd, 4096).startswith(b"the commands are: ")
        assert os.read(fd, 4096) == b""
    finally:
        os.close(fd)
    done = pair.a.sh('exec 3<>"$1" 2>/dev/null; '
                     'for line in "accept b" "refuse nobody"; do '
                     'echo "$line" >&3; cat <&3; done',
                     pair.a.path / ".gtfs" / "control")
    fingerprint = pair.a.peer_record("b")[2]
    assert done.stdout.splitlines() == [
        f"b may send to this machine: fingerprint {fingerprint}",
        "no peer is called 'nobody'; 'gtfs peers' lists them"]


def ask_and_park(a, b, scratch, name="waiting"):
    """A copy to b that waits for b's owner: (process, the question's path)."""
    source = random_file(scratch / name, 1234)
    copy = a.popen("cp", source, a.to("b"), stderr=subprocess.PIPE, text=True)
    path = b.path / ".gtfs/requests/a"
    wait_for(path.exists, 10, "a question")
    return copy, path


def errno_of(path, text):
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text)
    except OSError as error:
        return error.errno
    finally:
        os.close(fd)
    return 0


@pytest.mark.quick
def test_a_question_is_a_file(fresh_pair, scratch):
    a, b = fresh_pair(accept_a="ask", accept_b="ask")
    copy, path = ask_and_park(a, b, scratch)
    lines = dict(line.split(": ") for line in path.read_text().splitlines())
    assert list(lines) == ["name", "fingerprint", "words", "file", "size",
                           "address", "asked", "expires"]
    assert lines["file"] == "waiting" and 0 < int(lines["expires"]) <= 30
    record, = b.json("requests")
    assert record["name"] == "a" and record["words"] == lines["words"]
    assert "waiting" in b.command("requests").stdout
    waits, = a.transfers("waiting")
    assert waits["state"] == "waiting"
    assert waits["reason"] == "waits for b's owner to accept"
    assert os.getxattr(a.to("b"), "user.gtfs.state") == b"asking"

    for text in b"\n", b"yes", b"accept it", b"accept\n\n", b"accept\0":
        assert errno_of(path, text) == errno.EINVAL, text
    with pytest.raises(PermissionError):
        path.unlink()
    with pytest.raises(PermissionError):
        path.rename(path.parent / "b")
    stale = os.open(path, os.O_WRONLY)
    assert errno_of(path, b"accept") == 0
    assert copy.wait(10) == 0 and not path.exists()
    with pytest.raises(FileNotFoundError):
        os.write(stale, b"refuse")
    os.close(stale)
    assert b.peer_record("a")[6] == "accept"
    events = [line.split("\t")[1:] for line in
              (b.path / ".gtfs/events").read_text().splitlines()]
    assert ["ask", "a", lines["fingerprint"], lines["words"], "waiting",
            "-"] in events
    assert ["accepted", "a"] in events
    assert ["asking", "b", lines["words"]] in [
        line.split("\t")[1:] for line in
        (a.path / ".gtfs/events").read_text().splitlines()]


def test_a_later_question_is_not_answered_by_an_older_file(fresh_pair,
                                                           scratch):
    a, b = fresh_pair(accept_a="ask", accept_b="ask")
    copy, path = ask_and_park(a, b, scratch)
    with open(path, "wb", buffering=0) as first:
        copy.kill()
        copy.communicate()
        wait_for(lambda: not path.exists(), 10, "no question")
        copy, path = ask_and_park(a, b, scratch, "later")
        with pytest.raises(FileNotFoundError):
            first.write(b"accept")
    assert copy.poll() is None
    assert b.command("refuse", "a").stdout.startswith("a is declined")
    _, error = copy.communicate(timeout=10)
    assert copy.returncode == 1 and "Permission denied" in error
    assert b.command("refuse", "a").stdout == "a is refused from now on\n"
    assert b.peer_record("a")[6] == "refuse"
    events = [line.split("\t")[1:3] for line in
              (b.path / ".gtfs/events").read_text().splitlines()]
    assert ["withdrawn", "a"] in events and ["declined", "a"] in events


def test_words_are_verified_by_a_person(fresh_pair, scratch):
    a, b = fresh_pair(accept_a="ask", accept_b="ask")
    done = a.command("verify", "b", check=False)
    assert done.returncode == 1
    assert_one_line(done.stderr, b.self_info()["fingerprint"])
    copy, path = ask_and_park(a, b, scratch)
    assert "verified" in b.command("verify", "a").stdout
    done = b.command("verify", "a", "--yes", check=False)
    assert done.returncode == 1
    assert_one_line(done.stderr, "accept it first")
    b.command("accept", "a")
    assert copy.wait(10) == 0
    assert b.peer_record("a")[8] == "no"
    assert "a is verified" in b.command("verify", "a", "--yes").stdout
    assert b.peer_record("a")[8] == "yes"
    assert "Its key is verified." in b.command("why", "a").stdout
    b.command("forget", "a")
    assert b.peer_record("a")[8] == "-"


def typing_a_code(mount, name):
    """`gtfs pair NAME`, its answer on the way."""
    process = mount.popen(*binary(), "pair", name, "--mount", mount.path,
                          stdin=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True)
    process.stdin.write("7-abandon-zoo\n")
    process.stdin.close()

    def waits():
        calls = Path(f"/proc/{process.pid}/wchan").read_text()
        return "fuse" in calls or "request_wait" in calls
    wait_for(waits, 5, "the write to be parked")
    return process


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL],
                         ids=lambda how: how.name)
def test_a_pairing_can_be_interrupted(fresh_pair, how):
    a, b = fresh_pair()
    b.pause()
    try:
        process = typing_a_code(a, "b")
        assert "b" in a.command("peers").stdout  # nothing else waits
        process.send_signal(how)
        assert process.wait(3) == -how
        done = a.command("accept", "b", timeout=3)
        assert done.returncode == 0
    finally:
        b.resume()


def test_a_pairing_ends_with_the_mount(fresh_pair):
    a, b = fresh_pair()
    b.pause()
    try:
        process = typing_a_code(a, "b")
        a.stop(signal.SIGTERM)
        assert process.wait(3) == 1
    finally:
        b.resume()


def on_a_terminal(mount, typed, *words):
    """(status, what the terminal showed) of a command; typed when it asks."""
    terminal, end = os.openpty()
    process = mount.popen(*binary(), *words, "--mount", mount.path, stdin=end,
                          stdout=end, stderr=end)
    os.close(end)
    shown = b""
    try:
        while True:
            shown += os.read(terminal, 4096)
            if typed and shown.endswith((b"[y/N] ", b": ")):
                os.write(terminal, typed)
                typed = None
    except OSError:  # EIO: nobody has it open any more
        pass
    os.close(terminal)
    return process.wait(10), shown.decode()


def test_a_person_is_asked_on_a_terminal(fresh_pair, scratch):
    a, b = fresh_pair(accept_a="ask", accept_b="ask")
    copy, _ = ask_and_park(a, b, scratch)
    # The words of a question: there is nothing yet to be marked.
    status, shown = on_a_terminal(b, None, "verify", "a")
    assert status == 0 and "words" in shown and "Do both" not in shown
    b.command("accept", "a")
    assert copy.wait(10) == 0
    status, shown = on_a_terminal(b, b"n\n", "verify", "a")
    assert status == 1 and "Do both screens show the same words?" in shown
    assert "stays unverified" in shown
    assert b.peer_record("a")[8] == "no"
    status, shown = on_a_terminal(b, b"y\n", "verify", "a")
    assert status == 0 and "a is verified" in shown
    assert b.peer_record("a")[8] == "yes"
    status, shown = on_a_terminal(b, None, "verify", "a")
    assert status == 0 and "Do both" not in shown
    status, shown = on_a_terminal(b, b"7-abandon-zooo\n", "pair", "a")
    assert status == 1 and "The code that 'gtfs pair' shows on a: " in shown
    assert "word 2" in shown and "no guess" in shown


def test_a_quota_is_set_or_refused_with_a_line(pair):
    done = pair.b.command("accept", "a", "--quota", "5X", check=False)
    assert done.returncode == 1
    assert_one_line(done.stderr, "5X", "20G")
    pair.b.command("accept", "a", "--quota", "5G,100")
    pin, = (pair.b.state / "pins").iterdir()
    assert "quota: 5000000000 100\n" in pin.read_text()
    pair.b.command("accept", "a", "--quota", "0")


# The commands.

@pytest.mark.quick
def test_commands_print_the_same_records_as_json(pair, scratch):
    source = random_file(scratch / "in json", 4321)
    pair.a.sh('cp "$1" "$2"', source, pair.ab)
    peer, = pair.a.json("peers")
    assert peer["name"] == "b"
    assert peer["fingerprint"] == pair.b.self_info()["fingerprint"]
    assert peer["state"] == pair.a.peer_record("b")[1]
    status = pair.a.json("status")
    assert status["self"]["name"] == "a" and status["peers"]
    found, = [t for t in status["transfers"] if t["name"] == "in json"]
    assert found["peer"] == "b"
    assert int(found["bytes"]) == 4321
    assert "b" in pair.a.command("peers").stdout
    assert "in json" in pair.a.command("status").stdout


def test_commands_without_a_mount_say_what_to_do(tmp_path):
    done = gtfs("peers", "--mount", tmp_path)
    assert done.returncode == 1
    assert_one_line(done.stderr)


def test_unknown_names_are_one_line(pair):
    for words in (("accept", "nobody-here"), ("forget", "nobody-here"),
                  ("why", "nobody-here"), ("verify", "nobody-here"),
                  ("refuse", "nobody-here")):
        done = pair.a.command(*words, check=False)
        assert done.returncode == 1
        assert_one_line(done.stderr)


def test_a_peer_can_be_named_where_multicast_does_not_reach(start, bed,
                                                            scratch):
    port = 47077
    b = start("b", "--discovery", "off", "--listen", str(port))
    a = start("a", "--discovery", "off", "--peer",
              f"b={bed.hosts['b'].address}:{port}")
    assert b.self_info()["port"] == str(port)
    a.wait_peer("b")
    source = random_file(scratch / "by name", MIB)
    a.sh('cp "$1" "$2"', source, a.to("b"))
    assert sha256(b.backing / "by name") == sha256(source)


@pytest.mark.quick
def test_it_works_without_root(start, bed, scratch):
    """Mount, copy both ways and stop as an ordinary user (fusermount3)."""
    mode = stat.S_IMODE(os.stat("/dev/fuse").st_mode)
    os.chmod("/dev/fuse", 0o666)
    try:
        a = start("a", user=NOBODY)
        b = start("b")
        source = random_file(scratch / "by nobody", MIB + 1)
        source.chmod(0o644)
        scratch.chmod(0o755)
        wait_for(lambda: a.sh('[ -d "$1" ]', a.to("b"),
                              check=False).returncode == 0, 15, "a sees b")
        a.sh('cp "$1" "$2"', source, a.to("b"))
        assert sha256(b.backing / source.name) == sha256(source)
        b.wait_peer("a")
        b.sh('cp "$1" "$2"', source, b.to("a"))
        assert sha256(a.backing / source.name) == sha256(source)
        assert (a.backing / source.name).stat().st_uid == NOBODY
        a.stop()
    finally:
        os.chmod("/dev/fuse", mode)


def test_it_leaves_no_descriptors_to_others(lone):
    """Nothing that the daemon holds goes to the programs it may start."""
    for entry in os.scandir(f"/proc/{lone.pid}/fdinfo"):
        if int(entry.name) > 2:
            flags = re.search(r"^flags:\s+(\d+)", Path(entry).read_text(),
                              re.M).group(1)
            assert int(flags, 8) & os.O_CLOEXEC, (
                entry.name, os.readlink(f"/proc/{lone.pid}/fd/{entry.name}"))


def test_json_is_one_document(lone):
    assert json.loads(lone.command("peers", "--json").stdout) == []
