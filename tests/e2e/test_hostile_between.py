"""Somebody in the middle, with a key of their own and a handshake with either
side: what the two read to each other differs, and trying again until it does
not is no way, since the words are new each time and questions are few.
"""

import os
import threading
import time

import pytest

import hostile as h
from hostile_target import free_port
from netbed import wait_for
from test_hostile_ask import answer, requests, words

FILE = b"between us"


class Middle:
    """A relay that a takes for b, and b for a. With b None it breaks every
    connection that it was asked on."""

    def __init__(self, b_port=None):
        self.listener = h.Listener(name="b")
        self.listener.socket.settimeout(1)
        self.b_port, self.ending = b_port, False
        self.from_a, self.to_b, self.heard = [], [], []
        self.asked, self.stolen = [], b""
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while not self.ending:
            try:
                peer = self.listener.take()
            except (OSError, h.Ended, h.InvalidTag):
                continue
            threading.Thread(target=self.session, args=(peer,),
                             daemon=True).start()

    def session(self, peer):
        self.from_a.append(peer.seed)
        try:
            with peer:
                peer.socket.settimeout(30)
                peer.send(h.pong(policy=h.POLICY_ASK))
                while True:
                    self.answer(peer, peer.receive())
        except (h.Ended, OSError):
            pass

    def answer(self, peer, message):
        if message[0] == h.PING:
            peer.send(h.pong(int.from_bytes(message[1:9], "big"),
                             h.POLICY_ASK))
        elif message[0] == h.ASK:
            self.asked.append(peer.seed)
            if not self.b_port:
                raise h.Ended
            with h.Peer(self.b_port, self.listener.static, "a") as other:
                self.to_b.append(other.seed)
                other.send(message)
                self.heard.append(answer(other))
                peer.send(h.answer(self.heard[-1]))
        elif message[0] in (h.OFFER, h.WRITE, h.XATTR):
            self.stolen += message

    def close(self):
        self.ending = True
        self.listener.close()


@pytest.fixture
def between(start, keep_local):
    """between(middle, *options of a): a gtfs whose b is that."""
    middles = []

    def between(middle, *options):
        middles.append(middle)
        a = start(keep_local, "--discovery", "off", "--peer",
                  f"b=127.0.0.1:{middle.listener.port}", *options, name="a",
                  accept="ask")
        a.wait_peer("b")
        return a
    yield between
    for middle in middles:
        middle.close()


def copying(a, tmp_path):
    source = tmp_path / os.fsdecode(FILE)
    source.write_bytes(b"secret" * 100)
    return a.popen("cp", source, a.to("b"))


def test_both_sides_see_other_words(between, start, keep_local, tmp_path):
    b = start(keep_local, "--discovery", "off", "--listen",
              f"127.0.0.1:{free_port()}", name="b", accept="ask")
    middle = Middle(int(b.self_info()["port"]))
    a = between(middle)
    copy = copying(a, tmp_path)
    wait_for(lambda: requests(b), 15, "the question of the one between")
    there = requests(b)["a"]
    assert there["file"] == os.fsdecode(FILE)
    here = (a.path / ".gtfs/why/b").read_text()
    assert words(middle.to_b[-1]) == there["words"]
    assert words(middle.asked[-1]) in here
    assert there["words"] not in here
    # Nor are the fingerprints those of the two.
    assert there["fingerprint"] != a.self_info()["fingerprint"]
    b.command("refuse", "a")
    assert copy.wait(15) != 0
    assert middle.heard == [h.EACCES] and middle.stolen == b""
    assert b.arrived() == [] and b.spooled() == []


@pytest.mark.limit(90)
def test_asking_again_until_they_agree(between, tmp_path, figure):
    """The one in between drops each question, for another try at the words."""
    middle = Middle()
    a = between(middle, "--patience", "3")
    started = time.monotonic()
    copy = copying(a, tmp_path)
    status = copy.wait(60)
    took = time.monotonic() - started
    tries = len(middle.asked)
    figure(f"words that somebody between could try: {tries} in {took:.1f} s")
    assert status != 0 and middle.stolen == b""
    assert 4 <= tries <= 100
    assert len(set(middle.asked)) == tries
    assert len({words(seed) for seed in middle.asked}) == tries
    assert took < 15


def test_a_nonce_that_was_not_committed_to(start, keep_local):
    """The caller's words are fixed before it sees the other side's part; a
    second handshake has others on both sides."""
    b = start(keep_local, "--discovery", "off", "--listen",
              f"127.0.0.1:{free_port()}", name="b", accept="ask")
    port, static = int(b.self_info()["port"]), h.X25519PrivateKey.generate()
    seen = set()
    for _ in range(3):
        with h.Peer(port, static, handshake=False) as peer:
            peer.send_bytes(h.PREAMBLE)
            peer.send_framed(peer.message_1())
            peer.message_2()
            seen.add(words(peer.seed))
            # The words that these would have been are no longer to be had.
            peer.send_framed(peer.message_3(nonce=os.urandom(32)))
            assert peer.ended()
    assert len(seen) == 3 and requests(b) == {}
