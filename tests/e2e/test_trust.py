"""Who gets in: strangers, accepted ones, and keys that are not the pinned."""

import errno
import os
import re
import shutil
import unicodedata

import pytest

import hostile as h
from daemon import binary
from hostile_target import delivers, free_port
from material import MIB, random_file, sha256
from netbed import wait_for

PORT = 14717


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


@pytest.mark.quick
@pytest.mark.parametrize("verb", ["refuse", "forget"])
def test_who_is_turned_away_is_cut_off(fresh_pair, verb):
    """Also what has begun: nothing more of it is taken, nothing stays."""
    a, b = fresh_pair()
    writer, idle = [os.open(a.to("b") / name, os.O_WRONLY | os.O_CREAT)
                    for name in ("written", "idle")]
    for fd in writer, idle:
        os.write(fd, b"begun")
        os.fsync(fd)
    assert len(b.spooled()) == 2
    b.command(verb, "a")

    def cut_off():
        try:
            os.write(writer, b"more")
            os.fsync(writer)
        except OSError as error:
            assert error.errno == errno.EACCES
            return True
        return False
    wait_for(cut_off, 10, "EACCES")
    b.wait_spool_empty()
    for fd in writer, idle:
        with pytest.raises(PermissionError):
            os.close(fd)
    assert b.arrived() == []
    reasons = [line.split("\t")[-1] for line in
               (b.path / ".gtfs/transfers").read_text().splitlines()]
    assert reasons == ["Permission denied"] * 2


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


# What a person is told, and does.

def why(mount, name):
    return (mount.path / ".gtfs/why" / name).read_text()


def rejected(mount, name):
    """Does writing there say that another key answers?"""
    try:
        fd = os.open(mount.to(name) / "secret", os.O_WRONLY | os.O_CREAT)
    except OSError as error:
        return error.errno == errno.EKEYREJECTED
    with pytest.raises(OSError) as error:
        try:
            os.write(fd, b"secret")
        finally:
            os.close(fd)
    return error.value.errno == errno.EKEYREJECTED


@pytest.mark.limit(120)
def test_the_way_back_after_a_changed_key_is_said_and_works(fresh_pair, start,
                                                            scratch):
    a, b = fresh_pair(accept_a="known")
    a.command("accept", "b")
    source = random_file(scratch / "file", 1000)
    a.sh('cp "$1" "$2"', source, a.to("b"))
    old = a.peer_record("b")[2]
    b.stop()
    shutil.rmtree(b.state)
    shutil.rmtree(b.backing)
    again = start("b", paths=b.paths)
    a.wait_peer("b (2)")
    new = again.self_info()["fingerprint"]
    wait_for(lambda: rejected(a, "b"), 10, "EKEYREJECTED")
    assert os.getxattr(a.to("b"), "user.gtfs.state") == b"key-rejected"
    text = why(a, "b")
    assert "another machine answers in its place" in text
    assert "'b (2)'" in text and new in text
    assert "'gtfs forget b' and then 'gtfs accept 'b (2)''" in text

    # Accepting the other one changes nothing for the folder of the first.
    a.command("accept", "b (2)")
    a.sh('cp "$1" "$2"', source, a.to("b (2)") / "to the other")
    assert rejected(a, "b") and a.peer_record("b")[2] == old
    assert again.arrived() == ["to the other"]

    a.command("forget", "b")
    wait_for(lambda: os.listdir(a.peers) == ["b (2)"], 10,
             lambda: f"the first one is gone: {os.listdir(a.peers)}")
    a.stop()
    # Its name is that of its pin, though the other one is free.
    once_more = start("a", paths=a.paths, accept="known")
    once_more.wait_peer("b (2)")
    assert os.listdir(once_more.peers) == ["b (2)"]
    assert once_more.peer_record("b (2)")[2] == new


@pytest.mark.quick
@pytest.mark.limit(120)
def test_who_was_let_in_on_first_use_is_dialled_after_a_restart(start, scratch):
    """Without multicast, and though only the other one was told where."""
    a = start("a", "--discovery", "off", "--listen", f"0.0.0.0:{PORT}")
    b = start("b", "--discovery", "off", "--peer", f"a={a.host.address}:{PORT}",
              name="b")
    b.wait_peer("a")
    source = random_file(scratch / "first", 1000)
    b.sh('cp "$1" "$2"', source, b.to("a"))
    pin, = (a.paths.state / "pins").glob("[!.]*")
    assert f"address: {b.host.address}:" in pin.read_text()
    a.stop()
    port = b.self_info()["port"]
    b.stop()
    b = start("b", "--discovery", "off", "--listen", f"0.0.0.0:{port}", name="b",
              paths=b.paths)
    a = start("a", "--discovery", "off", "--listen", f"0.0.0.0:{PORT}", paths=a.paths)
    wait_for(lambda: a.peer_record("b")[1] == "online", 20,
             lambda: f"b: {a.table('peers')}")


@pytest.mark.limit(120)
def test_the_users_name_is_had_however_the_host_was_found(start):
    """Discovery finds it at once, and the name of the host says the same."""
    b = start("b", name="b")
    a = start("a", "--peer", f"b={b.host.address}:{b.self_info()['port']}")
    wait_for(lambda: os.listdir(a.peers) == ["b"] and
             a.peer_record("b")[1] == "online", 20,
             lambda: f"b: {a.table('peers')}")
    a.stop()
    # It has called, and been asked about, before it was dialled.
    b.stop()
    a = start("a", "--peer", f"b={b.host.address}:{PORT}")
    b = start("b", "--listen", f"0.0.0.0:{PORT}", name="b", paths=b.paths)
    wait_for(lambda: os.listdir(a.peers) == ["b"], 20,
             lambda: f"b: {a.table('peers')}")


@pytest.mark.limit(120)
def test_names_belong_to_keys_across_restarts(start, scratch):
    a = start("a", accept="known")
    twins = [start("b", name="twin"), start("b", name="twin")]
    names = ["twin", "twin (2)"]
    wait_for(lambda: sorted(os.listdir(a.peers)) == names, 20,
             lambda: f"two twins: {os.listdir(a.peers)}")
    for name in names:
        a.command("accept", name)
    keys = {name: a.peer_record(name)[2] for name in names}
    for twin in twins:
        twin.stop()
    a.stop()
    again = start("a", paths=a.paths, accept="known")
    wait_for(lambda: sorted(os.listdir(again.peers)) == names, 10,
             lambda: f"two pins: {os.listdir(again.peers)}")
    for twin in reversed(twins):
        started = start("b", name="twin", paths=twin.paths)
        mine = started.self_info()["fingerprint"]
        name, = [name for name in names if keys[name] == mine]
        wait_for(lambda: again.peer_record(name)[1] == "online", 20,
                 lambda: f"{name}: {again.table('peers')}")
        assert again.peer_record(name)[2] == mine
    assert sorted(os.listdir(again.peers)) == names


# Files that somebody has touched.

DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "changed": lambda path: path.write_text(
        path.read_text().replace("refuse", "accept")),
    "writable": lambda path: path.chmod(0o666),
    "directory": lambda path: (path.unlink(), path.mkdir()),
    "link": lambda path: (path.rename(path.parent.parent / "elsewhere"),
                          path.symlink_to(path.parent.parent / "elsewhere")),
}


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_pin_is_set_aside_and_not_trusted(fresh_pair, start, scratch,
                                                    how):
    """Nor is its key a stranger's, whom --accept lan would let in."""
    a, b = fresh_pair()
    source = random_file(scratch / "file", 1000)
    a.sh('cp "$1" "$2"', source, a.to("b"))
    b.command("refuse", "a")
    b.stop()
    pin, = (b.state / "pins").iterdir()
    name = pin.name
    DAMAGES[how](pin)
    for first in True, False:
        again = start("b", paths=b.paths)
        if first:
            again.expect(rf"pin {name}.* set aside")
            assert re.search(rf"pin {name}.* set aside", again.log_text())
        assert f"{name}.damaged" in os.listdir(b.state / "pins")
        assert name not in os.listdir(b.state / "pins")
        assert f"\tdamaged\t{name}\t" in (
            again.path / ".gtfs/events").read_text()
        again.wait_peer("a")
        assert again.peer_record("a")[6] == "refuse"
        assert "damaged" in why(again, "a")
        wait_for(lambda: a.peer_record("b")[1] == "online", 20, "a sees b")
        done = a.sh('cp "$1" "$2"', source, a.to("b") / "again", check=False)
        assert "Permission denied" in done.stderr
        assert again.arrived() == ["file"]
        if first:
            again.stop()

    # Until somebody decides.
    again.command("accept", "a")
    assert "damaged" not in why(again, "a")
    wait_for(lambda: a.sh('cp "$1" "$2"', source, a.to("b") / "again",
                          check=False).returncode == 0, 10, "a is let in")
    again.stop()
    assert name in os.listdir(b.state / "pins")
    last = start("b", paths=b.paths)
    assert "\tdamaged\t" not in (last.path / ".gtfs/events").read_text()


@pytest.mark.parametrize("how", [how for how in DAMAGES if how != "changed"])
def test_a_damaged_identity_is_said_and_kept(keep_local, start, how):
    """Never replaced by a new one, which nobody would know."""
    first = start(keep_local, "--discovery", "off")
    first.stop()
    path = first.state / "identity"
    DAMAGES[how](path)
    before = os.lstat(path)
    done = keep_local.run(
        binary() + ["--discovery", "off", "--inbox", first.backing, "--state",
                    first.state, first.path], check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "identity" in done.stderr
    assert os.path.samestat(os.lstat(path), before)


def test_pins_that_others_can_write_are_no_matter_of_the_port(keep_local,
                                                               start):
    first = start(keep_local, "--discovery", "off")
    first.stop()
    (first.state / "pins").chmod(0o777)
    done = keep_local.run(
        binary() + ["--discovery", "off", "--inbox", first.backing, "--state",
                    first.state, first.path], check=False)
    assert done.returncode == 1
    assert "the state" in done.stderr and "chmod" in done.stderr
    assert "port" not in done.stderr


# Words of strangers, on every screen.

EVIL = "\x1b]0;x\x07\x1b[2J\u202e\u200b\x9b1m\r\n\t"


def assert_harmless(mount, *commands):
    """What these print, and every file of .gtfs has."""
    said = {"log": mount.log_text()}
    for words in commands:
        done = mount.command(*words, check=False)
        said[words] = done.stdout + done.stderr
    for path in (mount.path / ".gtfs").rglob("*"):
        if path.is_file() and path.name != "control":
            said[path] = path.name + path.read_text()
    for where, text in said.items():
        bad = [c for c in text if c not in "\n\t" and
               unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")]
        assert not bad, (where, bad, text)


@pytest.mark.quick
def test_no_screen_obeys_a_stranger(start, keep_local):
    mount = start(keep_local, "--discovery", "off", "--listen",
                  f"127.0.0.1:{free_port()}", accept="ask")
    requests = mount.path / ".gtfs/requests"
    tables = [("peers",), ("status",), ("requests",), ("why",)]
    tables += [(*words, "--json") for words in tables]
    with h.Peer(int(mount.self_info()["port"]), name="e" + EVIL) as peer:
        peer.send(h.ask(EVIL.encode() + b"\xff.txt", 5))
        wait_for(lambda: os.listdir(requests), 10, "a question")
        name, = os.listdir(requests)
        assert_harmless(mount, *tables, ("verify", name), ("accept", name))
        peer.expect(h.ANSWER)
        delivers(peer, b"\x1b[2J\xe2\x80\xae.txt")
        assert_harmless(mount, *tables, ("why", name), ("verify", name),
                        ("verify", name, "--yes"), ("refuse", name),
                        ("forget", name), ("accept", name))


@pytest.mark.quick
@pytest.mark.parametrize("called", ["-rf", "--help", " .-rf"])
def test_no_name_is_an_option(start, keep_local, called):
    """For a shell puts the names of folders where a '*' stood."""
    mount = start(keep_local, "--discovery", "off", "--listen",
                  f"127.0.0.1:{free_port()}", accept="ask")
    requests = mount.path / ".gtfs/requests"
    with h.Peer(int(mount.self_info()["port"]), name=called) as peer:
        peer.send(h.ask(b"-file", 5))
        wait_for(lambda: os.listdir(requests), 10, "a question")
        name = "_" + called.strip(" .")[1:]
        assert os.listdir(requests) == [name]
        accept = binary() + ["accept", "--mount", mount.path, "--"]
        refused = mount.host.run(accept + [called], check=False)
        assert "no peer can be called" in refused.stderr
        mount.host.run(accept + [name])
        peer.expect(h.ANSWER)
        delivers(peer, b"-file")
        assert mount.arrived() == ["-file"]


def test_what_is_to_be_typed_is_quoted(start, bed):
    """Peers choose their names; people paste."""
    name = "it's; $(touch pwned) `x`"
    a = start("a", accept="known")
    start("b", name=name)
    a.wait_peer(name)
    typed = re.search(r"'gtfs accept (.*)' lets", why(a, name)).group(1)
    words = bed.hosts["a"].run(["bash", "-c", f"printf %s {typed}"])
    assert words.stdout == name
