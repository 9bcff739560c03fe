"""What is said on the link about a machine that is pinned: nothing that needs
no key changes whom a folder means, what was decided, or what is kept.
"""

import os
import re
import subprocess
import sys
import unicodedata

import pytest

from material import random_file, sha256
from netbed import wait_for

FLOOD = 10000
# Machines that are not pinned and not proven have no folders.
GROWTH_KB = 8 * 1024

# Raw multicast DNS, from the port that answers come from. Arguments: the
# address to send from; then what: one of
#   goodbye NAME         an instance withdrawn that is still there
#   moved NAME           the same name, elsewhere, its TXT another
#   flood NUMBER         so many instances, with names to be ashamed of
SPOOFER = r'''
import os, socket, struct, sys

address, what, word = sys.argv[1:]
TYPE = [b"_gtfs", b"_tcp", b"local"]
EVIL = b"\x1b]0;x\x07\x1b[2J\xe2\x80\xae\xc2\x9b1m\n"
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF,
             socket.inet_aton(address))
s.bind(("", 5353))


def labels(parts):
    return b"".join(bytes([len(p)]) + p for p in parts) + b"\0"


def record(name, kind, ttl, data, flush=0x8000):
    return (labels(name) + struct.pack(">HHIH", kind, 1 | flush, ttl,
                                       len(data)) + data)


def send(*records):
    s.sendto(struct.pack(">HHHHHH", 0, 0x8400, 0, len(records), 0, 0) +
             b"".join(records), ("224.0.0.251", 5353))


def instance(name, ttl, port, host, texts, ip):
    full = [name, *TYPE]
    send(record(TYPE, 12, ttl, labels(full), 0),
         record([b"_here", b"_sub", *TYPE], 12, ttl, labels(full), 0),
         record(full, 33, ttl, struct.pack(">HHH", 0, 0, port) +
                labels([host, b"local"])),
         record(full, 16, ttl, b"".join(bytes([len(t)]) + t for t in texts)),
         record([host, b"local"], 1, ttl, socket.inet_aton(ip)))


if what == "goodbye":
    for _ in range(3):
        full = [word.encode(), *TYPE]
        send(record(TYPE, 12, 0, labels(full), 0),
             record([b"_here", b"_sub", *TYPE], 12, 0, labels(full), 0),
             record(full, 33, 0, struct.pack(">HHH", 0, 0, 9) + labels(
                 [b"nowhere", b"local"])),
             record(full, 16, 0, b"\0"))
elif what == "moved":
    for _ in range(3):
        instance(word.encode(), 120, 40009, b"elsewhere",
                 [b"v=1", b"id=00112233445566ff"], "10.77.0.99")
else:
    for n in range(int(word)):
        texts = [b"v=1", b"id=%016x" % n] if n % 3 else [
            b"v=" + EVIL, b"id=" + EVIL, EVIL, os.urandom(60)]
        name = (b"%d" % n + EVIL * 3)[:63] if n % 2 else b"b (%d)" % n
        instance(name, 120, 1 + n % 65535, b"h%d" % n, texts,
                 "10.77.%d.%d" % (1 + n // 250 % 250, 1 + n % 250))
'''


@pytest.fixture
def pinned(fresh_pair, scratch):
    """a, who has accepted b; b; the file that a sends; what a has of b."""
    a, b = fresh_pair(accept_a="known")
    a.command("accept", "b")
    source = random_file(scratch / "file", 100000)
    a.sh('cp "$1" "$2"', source, a.to("b"))
    pin, = (a.state / "pins").glob("[!.]*")
    said = "\n".join(line for line in pin.read_text().splitlines()
                     if line.split(":")[0] not in ("address", "check"))
    return a, b, source, said


def spoof(bed, what, word):
    """From b's machine, as any other on the link could."""
    host = bed.hosts["b"]
    process = host.popen([sys.executable, "-c", SPOOFER, host.address, what,
                          str(word)], stderr=subprocess.PIPE)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors


def still_pinned(pinned):
    """The same folder for the same key, and files go to it."""
    a, b, source, said = pinned
    fingerprint = b.self_info()["fingerprint"]
    assert a.peer_record("b")[2] == fingerprint
    pin, = (a.state / "pins").glob("[!.]*")
    for line in said.splitlines():
        assert line in pin.read_text()

    def copies():
        return a.sh('cp "$1" "$2"', source, a.to("b") / "again",
                    check=False).returncode == 0
    wait_for(copies, 20, lambda: "a copy to b: " + a.log_text())
    assert sha256(b.backing / "again") == sha256(source)


@pytest.mark.limit(90)
@pytest.mark.parametrize("what", ["goodbye", "moved"])
def test_a_pinned_machine_is_where_its_key_is(pinned, bed, what):
    for _ in range(3):
        spoof(bed, what, "b")
    still_pinned(pinned)
    assert "b" in os.listdir(pinned[0].peers)


@pytest.mark.limit(120)
def test_ten_thousand_instances_are_nobody(pinned, bed, figure):
    a = pinned[0]
    before = a.vm_hwm()
    spoof(bed, "flood", FLOOD)
    heard = bed.hosts["a"].run(["avahi-browse", "-tp", "_gtfs._tcp"]).stdout
    assert heard.count("\n+") > 300  # they have reached a's machine
    still_pinned(pinned)
    assert os.listdir(a.peers) == ["b"]
    growth = a.vm_hwm() - before
    figure(f"{FLOOD} instances announced: {growth} kB more at most")
    if not os.environ.get("GTFS_SANITIZER"):
        assert growth <= GROWTH_KB
    said = [a.log_text()] + [a.command(word).stdout
                             for word in ("peers", "status", "why")]
    said += [path.read_text() for path in (a.path / ".gtfs").rglob("*")
             if path.is_file() and path.name != "control"]
    for text in said:
        assert not [c for c in text if c not in "\n\t" and
                    unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")], text
    assert not re.search(r"^gtfs: error", a.log_text(), re.M)
