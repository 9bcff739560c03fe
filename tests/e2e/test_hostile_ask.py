"""Strangers at a gtfs that asks its owner: nothing gets in before the answer,
and a crowd of them cannot make themselves heard.
"""

import os
import re
from pathlib import Path

import pytest

import hostile as h
from hostile_target import (CONTENT, asks, delivers, free_port,
                            receive_published, tree)
from netbed import wait_for

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def asking(start, keep_local):
    """asking(*options): a gtfs --accept ask of the test's own."""
    def asking(*options):
        mount = start(keep_local, "--discovery", "off", "--listen",
                      f"127.0.0.1:{free_port()}", *options, accept="ask")
        mount.port = int(mount.self_info()["port"])
        return mount
    return asking


@pytest.fixture
def target(asking):
    return asking()


def requests(mount):
    """What is asked: name of the file to its lines."""
    found = {}
    for path in (mount.path / ".gtfs" / "requests").iterdir():
        try:
            lines = path.read_text().splitlines()
        except FileNotFoundError:
            continue  # answered, or taken back
        found[path.name] = dict(line.split(": ", 1) for line in lines)
    return found


def the_request(mount):
    """The one question that is open, or will be."""
    wait_for(lambda: requests(mount), 10, "a request")
    (name, lines), = requests(mount).items()
    return name, lines


def no_request(mount):
    wait_for(lambda: not requests(mount), 10, "no request")


def asker(mount, file=b"holiday.jpg", **options):
    """Somebody whose question is open."""
    before = len(requests(mount))
    peer = h.Peer(mount.port, **options)
    peer.send(h.ask(file, 12345))
    wait_for(lambda: len(requests(mount)) > before, 10, "its request")
    return peer


def policy(peer):
    peer.send(h.ping(4712))
    return peer.expect(h.PONG)[-1]


def answer(peer):
    kind, high, low = peer.receive()
    assert kind == h.ANSWER
    return high << 8 | low


def on_disk(mount):
    """All that somebody may have left there, wherever it is."""
    return tree(mount.backing), mount.spooled(), sorted(
        os.listdir(mount.state / "pins"))


def words(seed):
    """WORDS of the page, by the list as BIP-39 has it."""
    rows = re.findall(r'^\t"([a-z ]+)"',
                      (ROOT / "crypto/wordlist.c").read_text(), re.M)
    listed = [row[at:at + 8].strip() for row in rows for at in range(0, 64, 8)]
    assert len(listed) == 2048
    bits = int.from_bytes(seed[:6], "big") >> 4
    return " ".join(listed[bits >> shift & 2047] for shift in (33, 22, 11, 0))


def test_the_words_of_the_page():
    assert words(bytes.fromhex("230b24e67be4")) == "cart float define water"


@pytest.mark.quick
@pytest.mark.sanitize
def test_who_is_accepted_may_send(target):
    before = on_disk(target)
    with asker(target, name="laptop") as peer:
        name, lines = the_request(target)
        assert name == lines["name"] == "laptop"
        assert lines["file"] == "holiday.jpg"
        assert lines["size"] == "12345"
        assert lines["words"] == words(peer.seed)
        assert policy(peer) == h.POLICY_ASK
        assert on_disk(target) == before
        target.command("accept", "laptop")
        assert answer(peer) == h.OK
        no_request(target)
        assert policy(peer) == h.POLICY_ACCEPT
        delivers(peer, b"holiday.jpg")
        peer.send(h.ask(b"again"))
        assert answer(peer) == h.OK
        target.command("accept", "laptop")
    with h.Peer(target.port, peer.static) as again:
        assert policy(again) == h.POLICY_ACCEPT
        delivers(again, b"second.jpg")
    assert target.arrived() == ["holiday.jpg", "second.jpg"]
    pin, = (target.state / "pins").iterdir()
    assert f"words: {peer.seed.hex()}" in pin.read_text()


@pytest.mark.parametrize("how", ["command", "file"])
def test_who_is_declined_is_quiet(target, how):
    before = on_disk(target)
    with asker(target, name="pest") as peer:
        if how == "command":
            target.command("refuse", "pest")
        else:
            (target.path / ".gtfs/requests/pest").write_text("refuse\n")
        assert answer(peer) == h.EACCES
        assert policy(peer) == h.POLICY_REFUSE
        peer.send(h.ask(b"please"))
        assert answer(peer) == h.EACCES
    with h.Peer(target.port, peer.static) as peer:
        assert policy(peer) == h.POLICY_REFUSE
        peer.send(h.ask(b"please"))
        assert answer(peer) == h.EACCES
        peer.send(h.offer(1, b"all the same"))
        assert peer.expect(h.REFUSE) == h.refuse(1, h.EACCES)
    assert requests(target) == {}
    assert on_disk(target) == before


def test_a_no_by_mistake_is_taken_back(target):
    """At once, and of somebody who has no folder."""
    with asker(target, name="laptop") as peer:
        target.command("refuse", "laptop")
        assert answer(peer) == h.EACCES
        assert policy(peer) == h.POLICY_REFUSE
        assert "laptop" not in os.listdir(target.peers)
        target.command("accept", "laptop")
        assert policy(peer) == h.POLICY_ACCEPT
        delivers(peer, b"in")
    assert target.arrived() == ["in"]


def hushes(target, source):
    """Two no to somebody there make everybody there quiet for a while."""
    for name in "one", "two":
        with asker(target, name=name, source=source) as peer:
            target.command("refuse", name)
            assert answer(peer) == h.EACCES


def test_an_address_that_is_quiet_is_told(target):
    """Before it asks, and until its owner has changed his mind."""
    source = h.own_address()
    hushes(target, source)
    with h.Peer(target.port, source=source) as peer:
        assert policy(peer) == h.POLICY_REFUSE
        peer.send(h.ask(b"please"))
        assert answer(peer) == h.EACCES
        target.command("accept", "two")
        assert policy(peer) == h.POLICY_ASK


def test_whose_address_is_quiet_sees_why(target, start, keep_local, scratch):
    sender = start(keep_local, "--discovery", "off", "--listen",
                   f"127.0.0.1:{free_port()}", "--peer",
                   f"target=127.0.0.1:{target.port}", accept="ask")
    sender.wait_peer("target")
    (scratch / "file").write_bytes(b"content")
    hushes(target, "127.0.0.1")
    done = sender.sh('cp "$1" "$2"', scratch / "file", sender.to("target"),
                     check=False)
    assert "Permission denied" in done.stderr
    why = sender.path / ".gtfs/why/target"
    wait_for(lambda: "another machine at its address" in why.read_text(), 2,
             why.read_text)


def test_accepted_by_the_file_of_the_request(target):
    with asker(target, name="laptop") as peer:
        (target.path / ".gtfs/requests/laptop").write_text("accept\n")
        assert answer(peer) == h.OK
        delivers(peer, b"in")
    assert target.arrived() == ["in"]


def test_nobody_answers(asking):
    target = asking("--ask-timeout", "1")
    before = on_disk(target)
    with asker(target) as peer:
        assert answer(peer) == h.EACCES
        no_request(target)
        assert policy(peer) == h.POLICY_ASK
        peer.send(h.ask(b"once more"))
        assert answer(peer) == h.EACCES
        assert policy(peer) == h.POLICY_REFUSE  # for a moment
    assert on_disk(target) == before


# What it sends instead of waiting.

WHOLE = h.file_messages(1, b"early", CONTENT)
REQUESTS = {
    "MKDIR": h.mkdir(1, b"d" * 16, b"early"),
    "SYMLINK": h.symlink(2, b"l" * 16, b"d" * 16, b"early", b"x"),
    "SETXATTR": h.setxattr(3, b"f" * 16, b"user.a", b"v"),
    "PATCH": h.patch(4, b"f" * 16),
    "RENAME": h.rename(5, b"f" * 16, b"early"),
    "SHOW": h.show(6, b"f" * 16),
    "WITHDRAW": h.withdraw(7, b"f" * 16),
}
INSTEAD = {
    "ASK": [h.ask(b"twice")],
    "OFFER": WHOLE[:1],
    "a file": WHOLE,
    "WRITE": WHOLE[1:2],
    "COMMIT": WHOLE[-1:],
    "ABORT": [h.abort(1)],
    "READ": [h.read(1, 0, 100)],
    "ANSWER": [h.answer()],
    "ANSWER no": [h.answer(h.EACCES)],
    "PONG": [h.pong()],
    "ACCEPT": [h.accept(1)],
    **{name: [message] for name, message in REQUESTS.items()},
}


@pytest.fixture(scope="module")
def waiting_mount(keep_local):
    """One gtfs that asks, for all that say something else while they wait."""
    from daemon import Mount
    mount = Mount(keep_local, "--discovery", "off", "--listen",
                  f"127.0.0.1:{free_port()}", accept="ask")
    mount.port = int(mount.self_info()["port"])
    yield mount
    mount.stop()


@pytest.mark.parametrize("what", INSTEAD)
def test_instead_of_waiting(waiting_mount, what):
    target = waiting_mount
    before = on_disk(target)
    with asker(target) as peer:
        peer.send(*INSTEAD[what])
        assert peer.ended()
    no_request(target)
    assert on_disk(target) == before


def test_without_asking(target):
    before = on_disk(target)
    with h.Peer(target.port) as peer:
        peer.send(*WHOLE)
        assert peer.expect(h.REFUSE) == h.refuse(1, h.EACCES)
        for request in REQUESTS.values():
            assert asks(peer, request) == h.EACCES
        assert peer.alive()
    assert on_disk(target) == before
    assert requests(target) == {}


@pytest.mark.parametrize("message", [h.unask(), h.answer(), WHOLE[1]],
                         ids=["UNASK", "ANSWER", "WRITE"])
def test_out_of_nothing_ends(target, message):
    with h.Peer(target.port) as peer:
        peer.send(message)
        assert peer.ended()


def test_a_record_too_large_for_a_stranger_ends(target):
    with h.Peer(target.port) as peer:
        peer.send(h.offer(1, b"large"))
        assert peer.expect(h.REFUSE)
        try:
            peer.send(h.write(1, 0, bytes(262144)))
        except h.Ended:
            pass
        assert peer.ended()


# Questions that end.

def test_taken_back(target):
    with asker(target) as peer:
        peer.send(h.unask())
        no_request(target)
        assert peer.alive()
        peer.send(h.ask(b"another"))
        assert the_request(target)[1]["file"] == "another"
        target.command("accept", the_request(target)[0])
        assert answer(peer) == h.OK
        peer.send(h.unask())  # has crossed it
        delivers(peer, b"in")
    assert target.arrived() == ["in"]


def test_who_asks_and_goes(target):
    """The question goes too, and coming back again and again wears off."""
    static, source = h.X25519PrivateKey.generate(), h.own_address()
    heard = 0
    for _ in range(20):
        with h.Peer(target.port, static, source=source) as peer:
            peer.send(h.ask(b"again"))
            peer.send(h.ping(1))
            heard += peer.receive()[0] == h.PONG
        no_request(target)
    assert 1 <= heard <= 3


def test_one_connection_of_a_key_asks(target):
    """So there are no other words to choose from."""
    with asker(target) as peer:
        with h.Peer(target.port, peer.static) as second:
            second.send(h.ask(b"with other words"))
            assert second.ended()
        name, lines = the_request(target)
        assert lines["words"] == words(peer.seed)
        target.command("accept", name)
        assert answer(peer) == h.OK
        with h.Peer(target.port, peer.static) as second:
            delivers(second, b"second")


# Crowds.

def test_one_address_has_one_question(target):
    with asker(target, source="127.9.0.1") as first:
        for _ in range(20):
            with h.Peer(target.port, source="127.9.0.1") as peer:
                peer.send(h.ask(b"me too"))
                assert answer(peer) == h.EACCES
        assert len(requests(target)) == 1
        target.command("accept", the_request(target)[0])
        assert answer(first) == h.OK


def test_a_crowd_has_few_questions(target, figure):
    """And who is let in beside it is not kept from sending."""
    with asker(target, name="friend") as friend:
        target.command("accept", "friend")
        assert answer(friend) == h.OK
        crowd, most = [], 0
        for i in range(50):
            peer = h.Peer(target.port, name="friend")
            peer.send(h.ask(b"%d" % i))
            crowd.append(peer)
            most = max(most, len(requests(target)))
            assert policy(friend) == h.POLICY_ACCEPT
        named = requests(target)
        figure(f"50 strangers who ask: {len(named)} questions, VmHWM "
               f"{target.vm_hwm()} kB")
        assert 0 < len(named) <= most <= 16
        assert "friend" not in named
        delivers(friend, b"in between")
        for peer in crowd:
            peer.close()
        no_request(target)
    assert target.arrived() == ["in between"]


# What strangers would like the screen to show.

NAMES = {
    "escape": b"\x1b]0;owned\x07\x1b[2J",
    "line": b"a\nfingerprint: aaaa-aaaa",
    "bidi": "cod.\u202egpj.exe".encode(),
    "zero width": "lap\u200btop".encode(),
    "C1": "\u009b31m".encode(),
    "not UTF-8": b"\xff\xfe\x80",
    "long": b"n" * 255,
    "long and hostile": b"\x1b" * 255,
    "wide": "\u00fc".encode() * 127,
}


@pytest.mark.parametrize("how", NAMES)
def test_a_name_for_the_screen(target, how):
    with asker(target, NAMES[how]):
        name, lines = the_request(target)
        text = (target.path / ".gtfs/requests" / name).read_text()
        shown = text + target.command("requests").stdout + (
            target.path / ".gtfs/events").read_text()
    assert set(lines) == {"name", "fingerprint", "words", "file", "size",
                          "address", "asked", "expires"}
    assert re.fullmatch(r"([a-z2-7]{4}-){7}[a-z2-7]{4}", lines["fingerprint"])
    assert harmless(shown)
    if how == "long":
        assert lines["file"] == "n" * 255


def harmless(text):
    return not re.search("[\0-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f"
                         "\u2028-\u202e\u2066-\u2069\ufffd]", text)


@pytest.mark.parametrize("name", ["../../etc", "..", ".", "a/b", "\x1b[2J",
                                  "two\nlines", "\u202eevil", "n" * 63, " ",
                                  ".gtfs", "\u00fc" * 31])
def test_a_machine_for_the_screen(target, name):
    with asker(target, name=name) as peer:
        folder, lines = the_request(target)
        shown = (target.command("requests").stdout + folder +
                 (target.path / ".gtfs/events").read_text())
        assert harmless(shown)
        assert folder not in (".", "..") and "/" not in folder
        target.command("accept", folder)
        assert answer(peer) == h.OK
        assert folder in os.listdir(target.peers)
        peer.send(*h.file_messages(1, b"in", CONTENT))
        receive_published(peer)
    assert target.arrived() == ["in"]


def test_the_users_name_of_a_host_is_not_theirs(asking):
    """Whatever answers, or does not, where --peer says."""
    target = asking("--peer", f"nas=127.0.0.1:{free_port()}")
    with asker(target, name="nas") as peer:
        name, _ = the_request(target)
        assert name == "nas (2)"
        target.command("accept", name)
        assert answer(peer) == h.OK
        assert "nas" not in os.listdir(target.peers)


def test_a_name_that_is_taken_is_not_theirs(target):
    """Accepting one laptop never means the other."""
    with asker(target, name="laptop") as first:
        target.command("accept", "laptop")
        assert answer(first) == h.OK
        with asker(target, name="laptop") as second:
            name, _ = the_request(target)
            assert name == "laptop (2)"
            target.command("accept", "laptop")
            assert policy(second) == h.POLICY_ASK
            target.command("refuse", "laptop (2)")
            assert answer(second) == h.EACCES
        delivers(first, b"still in")
