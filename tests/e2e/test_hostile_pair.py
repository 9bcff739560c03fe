"""PAIR from callers who know the protocol and not the secret."""

import os
import re

import pytest

import hostile as h
import hostile_pair as p
from hostile_target import CONTENT, delivers, discarding, free_port, opened
from netbed import wait_for

GROUP = b"a passphrase of the group"


def code_of(mount):
    """A new code, as `gtfs pair` shows it."""
    shown = mount.command("pair").stdout
    return re.search(r"\b[1-9]-[a-z]+-[a-z]+\b", shown).group(0)


def pins(mount):
    """name: fields of every pin."""
    found = {}
    for path in (mount.state / "pins").iterdir():
        try:
            fields = dict(line.split(": ", 1)
                          for line in path.read_text().splitlines())
        except FileNotFoundError:
            continue  # it is being written
        if "check" in fields:
            found[fields["name"]] = fields
    return found


def guesses(mount):
    """How many wrong ones it remembers, by address."""
    path = mount.state / "guesses"
    if not path.exists():
        return {}
    lines = path.read_text().splitlines()
    assert lines[0] == "gtfs-guesses: 1"
    return {line.split()[0].rsplit(":", 1)[0]: int(line.split()[1])
            for line in lines[1:]}


def wrong_guesses(mount):
    return {name: n for name, n in guesses(mount).items()
            if n and name != "all"}


@pytest.fixture
def group_file(tmp_path):
    path = tmp_path / "group"
    path.write_bytes(GROUP + b"\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def guarded(start, keep_local, group_file):
    """guarded(): a gtfs in a group that lets nobody else in."""
    def guarded(paths=None, accept="known"):
        mount = start(keep_local, "--discovery", "off", "--listen",
                      f"127.0.0.1:{free_port()}", "--group", group_file,
                      name="target", accept=accept, paths=paths)
        mount.port = int(mount.self_info()["port"])
        return mount
    return guarded


@pytest.mark.quick
@pytest.mark.sanitize
def test_the_right_code_lets_in_once(guarded):
    target = guarded()
    code = code_of(target)
    with h.Peer(target.port, name="friend") as peer:
        assert p.Exchange(peer, code).run() == h.OK
        pin, = pins(target).values()
        assert (pin["name"], pin["policy"]) == ("friend", "accept")
        assert pin["verified"] == "yes"
        assert pin["words"] == peer.seed.hex()
        delivers(peer, b"from a friend")
        assert p.Exchange(peer, code).run() == h.EACCES
    with h.Peer(target.port) as peer:
        assert p.Exchange(peer, code).run() == h.EACCES


@pytest.mark.quick
@pytest.mark.sanitize
def test_a_code_has_three_guesses_over_all_connections(guarded):
    target = guarded()
    code = code_of(target)
    wrong = p.other_code(code)
    peers = [h.Peer(target.port, name=f"m{i}") for i in range(8)]
    answers = []
    for _ in range(3):
        begun = []
        for peer in peers:
            exchange = p.Exchange(peer, wrong)
            if exchange.begin() is None:
                begun.append(exchange)
        answers += [exchange.finish() for exchange in begun]
    assert answers.count(p.EKEYREJECTED) == 3
    assert set(answers) <= {p.EKEYREJECTED, h.EACCES}
    assert p.Exchange(peers[0], code).run() == h.EACCES
    for peer in peers:
        peer.close()
    assert pins(target) == {}
    # A new one works.
    with h.Peer(target.port) as peer:
        assert p.Exchange(peer, code_of(target)).run() == h.OK


def test_a_group_s_guesses_wait_across_restarts(guarded):
    """... for that address; whoever is pinned is served as ever."""
    target = guarded()
    with h.Peer(target.port, name="friend") as friend:
        assert p.Exchange(friend, code_of(target)).run() == h.OK
        key = friend.static
    address = h.own_address()
    looked = 0
    for _ in range(30):
        with p.GroupPeer(target.port, source=address) as peer:
            code = p.Exchange(peer, b"not this one", p.GROUP).run()
            looked += code == p.EKEYREJECTED
            assert code in (p.EKEYREJECTED, h.EACCES)
            if looked == 2:
                break
    assert wrong_guesses(target)[address] == looked
    target.stop()
    target = guarded(target.paths)
    assert wrong_guesses(target)[address] == looked
    with h.Peer(target.port, static=key) as friend:
        delivers(friend, b"as ever")
    # Others are of the group all the same.
    with p.GroupPeer(target.port, name="member") as peer:
        assert p.Exchange(peer, GROUP, p.GROUP).run() == h.OK
        assert pins(target)["member"]["verified"] == "yes"
    assert set(wrong_guesses(target)) == {address}


def test_twenty_connections_have_one_guess_of_a_group(guarded):
    """Who comes beside the first one is told before it has guessed."""
    target = guarded()
    address = h.own_address()
    exchanges = [p.Exchange(p.GroupPeer(target.port, name=f"m{i}",
                                        source=address),
                            b"not this one", p.GROUP) for i in range(20)]
    assert [x.begin() for x in exchanges] == [None] + 19 * [p.EBUSY]
    assert exchanges[0].finish() == p.EKEYREJECTED
    assert wrong_guesses(target)[address] == 1
    answers = [x.run() for x in exchanges]
    # The others have to wait; a second may pass between.
    assert h.EACCES in answers and set(answers) <= {p.EKEYREJECTED, h.EACCES}
    assert answers.count(p.EKEYREJECTED) + 1 == wrong_guesses(target)[address]
    for exchange in exchanges:
        exchange.peer.close()


def test_who_guesses_keeps_no_member_out(guarded):
    """... nor who begins and does not go on, from wherever."""
    target = guarded()
    known = [h.own_address() for _ in range(17)]

    def guess(address):
        with p.GroupPeer(target.port, source=address) as peer:
            return p.Exchange(peer, b"not this one", p.GROUP).run()

    assert {guess(address) for address in known} == {p.EKEYREJECTED}
    assert wrong_guesses(target) == dict.fromkeys(known, 1)
    assert guess(known[0]) == h.EACCES  # the other places are for others
    held = [p.GroupPeer(target.port, source=h.own_address())
            for _ in range(20)]
    assert {p.Exchange(peer, b"x", p.GROUP).begin() for peer in held} == {None}
    with p.GroupPeer(target.port, name="member") as peer:
        assert p.Exchange(peer, GROUP, p.GROUP).run() == h.OK
        assert pins(target)["member"]["verified"] == "yes"
    for peer in held:
        peer.close()


def begun(target, kind, secret):
    peer = h.Peer(target.port)
    exchange = p.Exchange(peer, secret, kind)
    assert exchange.begin() is None
    return peer


def in_state(target, state, code):
    if state == "idle":
        return h.Peer(target.port)
    if state == "begun":
        return begun(target, p.CODE, code)
    if state == "begun group":
        return begun(target, p.GROUP, GROUP)
    key = h.X25519PrivateKey.generate()
    with h.Peer(target.port, static=key, name="known") as peer:
        assert p.Exchange(peer, code_of(target)).run() == h.OK
    make = opened if state == "open" else discarding
    return make(target, static=key)


@pytest.mark.parametrize("state", ["idle", "begun", "begun group", "open",
                                   "discard"])
def test_steps_out_of_turn_end_the_connection(guarded, state):
    """Each kind and step in each state: only the next one goes on, nothing is
    counted, and nobody is trusted who was not before."""
    target = guarded()
    goes_on = {("idle", p.CODE, 1), ("idle", p.GROUP, 1),
               ("discard", p.CODE, 1), ("discard", p.GROUP, 1),
               ("begun", p.CODE, 3), ("begun group", p.GROUP, 3)}
    tried = 0
    code = code_of(target)
    for kind in range(4):
        for step in range(6):
            if (state, kind, step) in goes_on:
                continue
            share = step in (1, 2)
            data = p.random_share() if share else os.urandom(p.TAG)
            peer = in_state(target, state, code)
            before = pins(target)
            peer.send(bytes([p.PAIR, kind, step]) + data)
            assert peer.ended(), (kind, step)
            peer.close()
            assert pins(target).keys() == before.keys()
            if state in ("open", "discard"):
                code = code_of(target)
            tried += 1
    target.wait_spool_empty()
    assert tried >= 22
    assert wrong_guesses(target) == {}
    code = code_of(target) if state in ("open", "discard") else code
    with h.Peer(target.port) as peer:  # not one guess has been counted
        for _ in range(2):
            assert p.Exchange(peer, p.other_code(code)).run() == \
                p.EKEYREJECTED
        assert p.Exchange(peer, code).run() == h.OK


def test_a_question_and_a_pairing(guarded):
    """On the connection that asks, PAIR ends it; on another one it answers the
    question."""
    target = guarded(accept="ask")
    with h.Peer(target.port) as peer:
        peer.send(h.ask(b"file"))
        peer.send(bytes([p.PAIR, p.CODE, 1]) + p.random_share())
        assert peer.ended()
    key = h.X25519PrivateKey.generate()
    with h.Peer(target.port, static=key) as asker, \
            h.Peer(target.port, static=key) as peer:
        asker.send(h.ask(b"file"))
        wait_for(lambda: list((target.path / ".gtfs/requests").iterdir()), 5,
                 "the question")
        assert p.Exchange(peer, code_of(target)).run() == h.OK
        while (message := asker.receive())[0] == h.PONG:
            pass
        assert message == h.answer(h.OK)
        delivers(asker, b"asked for")
        wait_for(lambda: not list((target.path / ".gtfs/requests").iterdir()),
                 5, "no question")


def test_messages_cut_short_or_too_long_end_it(guarded):
    target = guarded()
    code_of(target)
    for step, length in (1, 31), (1, 33), (1, 64), (1, 0), (3, 32), (3, 65):
        with h.Peer(target.port) as peer:
            peer.send(bytes([p.PAIR, p.CODE, step]) + os.urandom(length))
            assert peer.ended(), (step, length)
    for length in 0, 32, 63, 65:
        code = code_of(target)
        peer = begun(target, p.CODE, code)
        peer.send(bytes([p.PAIR, p.CODE, 3]) + os.urandom(length))
        assert peer.ended(), length
        peer.close()


def test_what_is_no_share_ends_it_uncounted(guarded):
    target = guarded()
    code = code_of(target)
    prime = 2 ** 255 - 19
    bad = [bytes(32), b"\xff" * 32, b"\1" + bytes(31),
           (prime - 1).to_bytes(32, "little"), prime.to_bytes(32, "little"),
           (prime + 2).to_bytes(32, "little")]
    for share in bad:
        with h.Peer(target.port) as peer:
            peer.send(bytes([p.PAIR, p.CODE, 1]) + share)
            assert peer.ended(), share.hex()
    with h.Peer(target.port) as peer:
        assert p.Exchange(peer, code).run() == h.OK


def test_a_flipped_bit_proves_nothing(guarded):
    """In every byte of both messages of the caller who knows the code."""
    target = guarded()
    for at in range(p.SHARE):
        code = code_of(target)
        with h.Peer(target.port) as peer:
            exchange = p.Exchange(peer, code)
            share = bytearray(exchange.share)
            share[at] ^= 1
            peer.send(bytes([p.PAIR, p.CODE, 1]) + share)
            try:
                message = p.answer(peer)
            except h.Ended:
                continue  # it is no element
            exchange.take_share(message[3:])
            assert exchange.finish() == p.EKEYREJECTED, at
    for at in range(p.TAG):
        code = code_of(target)
        with h.Peer(target.port) as peer:
            exchange = p.Exchange(peer, code)
            assert exchange.begin() is None
            tag = bytearray(exchange.tag)
            tag[at] ^= 128
            assert exchange.finish(bytes(tag)) == p.EKEYREJECTED, at
    assert pins(target) == {}


def test_what_was_said_on_one_connection_says_nothing_on_another(guarded):
    """Somebody in the middle, who passes on what the right one says."""
    target = guarded()
    code = code_of(target)
    with h.Peer(target.port) as honest, h.Peer(target.port) as thief:
        right = p.Exchange(honest, code)
        thief.send(bytes([p.PAIR, p.CODE, 1]) + right.share)
        theirs = p.answer(thief)
        right.take_share(theirs[3:])
        thief.send(bytes([p.PAIR, p.CODE, 3]) + right.tag)
        message = p.answer(thief)
        assert message == bytes([p.UNPAIRED]) + \
            p.EKEYREJECTED.to_bytes(2, "big")
        # Its own answer, sent back to it.
        exchange = p.Exchange(thief, code)
        exchange.send(1, exchange.share)
        echo = p.answer(thief)
        thief.send(echo)
        assert thief.ended()
    assert pins(target) == {}


def test_a_transfer_goes_on_beside_a_pairing(guarded):
    """On connections of their own; on its own, PAIR ends a transfer."""
    target = guarded()
    key = h.X25519PrivateKey.generate()
    with h.Peer(target.port, static=key, name="known") as peer:
        assert p.Exchange(peer, code_of(target)).run() == h.OK
    messages = h.file_messages(1, b"beside", CONTENT)
    with h.Peer(target.port, static=key) as sender, \
            h.Peer(target.port, static=key) as again:
        sender.send(messages[0])
        sender.expect(h.ACCEPT)
        assert p.Exchange(again, code_of(target)).run() == h.OK
        assert pins(target)["known"]["words"] == again.seed.hex()
        sender.send(*messages[1:])
        while h.ack_fields(sender.expect(h.ACK))[2] != h.PUBLISHED:
            pass
    assert (target.backing / "beside").read_bytes() == CONTENT


def test_who_is_refused_cannot_pair(guarded):
    target = guarded()
    key = h.X25519PrivateKey.generate()
    with h.Peer(target.port, static=key, name="known") as peer:
        assert p.Exchange(peer, code_of(target)).run() == h.OK
    target.command("refuse", "known")
    with h.Peer(target.port, static=key) as peer:
        assert p.Exchange(peer, code_of(target)).run() == h.EACCES
        assert p.Exchange(peer, GROUP, p.GROUP).run() == h.EACCES
    assert pins(target)["known"]["policy"] == "refuse"
    assert wrong_guesses(target) == {}
