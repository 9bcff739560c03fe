"""Machines that trust each other by a code, or by a passphrase."""

import os
import re
import stat
import time

import pytest

from daemon import binary
from material import random_file, sha256
from netbed import wait_for
from test_hostile_pair import code_of, guesses, pins, wrong_guesses

PORT = 47120

def pair(mount, name, code, check=False):
    """gtfs pair NAME, the code typed."""
    return mount.sh('printf "%s\n" "$1" | "${@:2}"', code, *binary(), "pair",
                    name, "--mount", mount.path, check=check)


def trust(mount, name):
    """The words of a pin that is accepted and verified, or None."""
    pin = pins(mount).get(name, {})
    if pin.get("policy") == "accept" and pin.get("verified") == "yes":
        return pin["words"]
    return None


def events(mount, kind):
    return [line.split("\t")[2:] for line in
            (mount.path / ".gtfs/events").read_text().splitlines()
            if line.split("\t")[1] == kind]


def copies(mount, source, name):
    return mount.sh('cp "$1" "$2"', source, mount.to(name),
                    check=False).returncode == 0


@pytest.mark.quick
@pytest.mark.sanitize
def test_a_code_makes_them_trust_each_other(fresh_pair, scratch):
    a, b = fresh_pair(accept_a="known", accept_b="known")
    code = code_of(b)
    done = pair(a, "b", code)
    assert done.returncode == 0, done.stderr
    assert trust(a, "b") and trust(a, "b") == trust(b, "a")
    assert events(a, "paired") == [["b"]]
    wait_for(lambda: events(b, "paired") == [["a"]], 5, "the event at b")
    source = random_file(scratch / "file", 1000)
    wait_for(lambda: copies(a, source, "b"), 10, "a copy to b")
    wait_for(lambda: copies(b, source, "a"), 10, "a copy to a")
    assert sha256(b.backing / "file") == sha256(source)
    assert code not in a.log_text() + b.log_text()


@pytest.mark.quick
def test_three_wrong_codes_lock_it(fresh_pair):
    a, b = fresh_pair(accept_a="known", accept_b="known")
    assert pair(a, "b", "7-abandon-ability").returncode == 1  # none is open
    code = code_of(b)
    wrong = "7-abandon-ability"
    assert code != wrong
    for _ in range(3):
        done = pair(a, "b", wrong)
        assert done.returncode == 1
        assert "another code" in done.stdout + done.stderr
    done = pair(a, "b", code)
    assert done.returncode == 1
    assert "shows no code" in done.stdout + done.stderr
    assert pins(a) == {} and pins(b) == {}


def group_file(scratch, name, passphrase, mode=0o600):
    path = scratch / name
    path.write_text(passphrase + "\n")
    path.chmod(mode)
    return path


@pytest.mark.quick
@pytest.mark.sanitize
@pytest.mark.limit(120)
def test_a_group_trusts_each_other_with_nothing_further(start, scratch):
    file = group_file(scratch, "group", "correct horse battery")
    mounts = [start(host, "--group", file, name=name, accept="known")
              for host, name in (("a", "a"), ("b", "b"), ("b", "c"))]
    pairs = [(m, n) for m in mounts for n in mounts if m is not n]
    wait_for(lambda: all(trust(m, n.name) for m, n in pairs), 40,
             lambda: f"all trust all: {[pins(m) for m in mounts]}")
    for m, n in pairs:
        assert trust(m, n.name) == trust(n, m.name)
    source = random_file(scratch / "file", 1000)
    for m, n in pairs:
        wait_for(lambda m=m, n=n: copies(m, source, n.name), 15,
                 f"a copy from {m.name} to {n.name}")
    assert all(not wrong_guesses(m) for m in mounts)


@pytest.mark.limit(120)
def test_a_group_gives_the_users_names(start, bed, scratch):
    """Whoever of the two is quicker."""
    file = group_file(scratch, "group", "correct horse battery")

    def named(host, name, other):
        return start(host, "--group", file, "--listen", f"0.0.0.0:{PORT}",
                     "--peer", f"{name}={bed.hosts[other].address}:{PORT}",
                     accept="known")
    for _ in range(3):
        names = named("a", "lap", "b"), named("b", "desk", "a")
        for mount, name in zip(names, ("lap", "desk")):
            wait_for(lambda m=mount, n=name: os.listdir(m.peers) == [n]
                     and trust(m, n), 20,
                     lambda m=mount: f"one name: {os.listdir(m.peers)}")
            mount.stop()


@pytest.mark.limit(120)
def test_another_passphrase_is_a_stranger(start, scratch):
    """... whose guesses are counted, and who disturbs nobody."""
    ours = group_file(scratch, "ours", "correct horse battery")
    other = group_file(scratch, "other", "correct horse batterz")
    a = start("a", "--group", ours, accept="known")
    b = start("b", "--group", ours, accept="known")
    wait_for(lambda: trust(a, "b") and trust(b, "a"), 30, "a and b are one")
    before = trust(a, "b")
    stranger = start("b", "--group", other, name="stranger", accept="known")
    a.wait_peer("stranger")
    stranger.wait_peer("a")
    wait_for(lambda: wrong_guesses(a) and wrong_guesses(stranger), 15,
             lambda: f"counted: {guesses(a)} {guesses(stranger)}")
    counts = guesses(a)["all"]
    source = random_file(scratch / "file", 1000)
    assert not copies(stranger, source, "a")
    assert pins(a).keys() == {"b"} and pins(stranger) == {}
    for m, n in (a, "b"), (b, "a"):
        assert copies(m, source, n)
    # It comes again, and again: one guess each at most.
    paths = stranger.paths
    stranger.stop()
    wait_for(lambda: "stranger" not in os.listdir(a.peers), 30, "it has gone")
    stranger = start("b", "--group", other, name="stranger", accept="known",
                     paths=paths)
    a.wait_peer("stranger")
    wait_for(lambda: guesses(a)["all"] > counts, 30,
             lambda: f"counted again: {guesses(a)}")
    assert guesses(a)["all"] <= counts + 2
    assert trust(a, "b") == before
    assert copies(b, random_file(scratch / "more", 1000), "a")
    assert pins(stranger) == {}


@pytest.mark.limit(120)
def test_who_had_to_wait_is_greeted_later(start, scratch):
    """Neighbours have guessed: the right one waits, and nobody has to act."""
    file = group_file(scratch, "group", "correct horse battery")
    a = start("a", "--group", file, accept="known")
    paths = a.paths
    a.stop()
    now = int(time.time()) - 45
    path = paths.state / "guesses"
    # By whichever address b comes, there is room in a minute after the last.
    path.write_text(f"gtfs-guesses: 1\nall: 32 {now}\n")
    path.chmod(0o600)
    b = start("b", "--group", file, accept="known")
    a = start("a", "--group", file, accept="known", paths=paths)
    wait_for(lambda: trust(a, "b") and trust(a, "b") == trust(b, "a"), 40,
             lambda: f"they trust each other: {pins(a)} {pins(b)}")
    assert time.time() >= now + 59  # 60, and whole seconds count
    assert not wrong_guesses(a) and not wrong_guesses(b)


def test_only_one_of_them_is_in_a_group(start, scratch):
    file = group_file(scratch, "group", "correct horse battery")
    a = start("a", "--group", file, accept="known")
    b = start("b", accept="known")
    a.wait_peer("b")
    b.wait_peer("a")
    assert pins(a) == {} and pins(b) == {}
    assert not wrong_guesses(a)


@pytest.mark.parametrize("what", ["readable", "short", "long", "missing",
                                  "folder", "pipe", "somebody else's"])
def test_a_bad_group_file_is_refused_at_start(keep_local, scratch, what):
    path = group_file(scratch, "group",
                      {"short": "1234567", "long": "x" * 1025}.get(
                          what, "correct horse battery"),
                      0o640 if what == "readable" else 0o600)
    if what in ("missing", "folder", "pipe"):
        path.unlink()
    if what == "folder":
        path.mkdir(mode=0o700)
    if what == "pipe":
        os.mkfifo(path, 0o600)
    if what == "somebody else's":
        os.chown(path, 1, 1)
    place = scratch / "place"
    done = keep_local.run(
        [*binary(), "-f", "--discovery", "off", "--state", scratch / "state",
         "--inbox", scratch / "inbox", "--group", path, place], check=False)
    assert done.returncode == 1
    line, = done.stderr.splitlines()
    assert re.match(r"gtfs: --group: .*/group: ", line), line
    assert not place.exists()


def test_the_passphrase_is_in_no_swap_log_or_argument(start, scratch):
    secret = "correct horse battery staple"
    file = group_file(scratch, "group", secret)
    a = start("a", "-o", f"group={file}", accept="known")
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    for name in "cmdline", "environ":
        with open(f"/proc/{a.pid}/{name}", "rb") as f:
            assert secret.encode() not in f.read()
    assert a.status_kb("VmLck") > 0
    assert secret not in a.log_text()
