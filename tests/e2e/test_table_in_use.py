"""The row of the names that programs use while writing: durable at close,
shown when renamed, when the writer ends, or soon; never lost behind a 0."""

import os

import pytest

from table_help import ab, got, put, shows, writer

NAMES = [".doc.AbC123", ".goutputstream-AB12CD", "sedAbCdEf", "ziAbCdEf",
         "a.part", "a.partial~", "a.crdownload", "a.tmp", "a~", "4913",
         "a.db-journal", ".~lock.a.odt#", ".#a", ".a.swp", ".a.swx"]
ORDINARY = ["tmp", "a.tmp.gz", "a~b", ".doc", ".a.b", "part", "a.lock.txt",
            "sed", "zip", "49130", "a-journal.txt", ".hidden.file"]


@pytest.mark.parametrize("name", NAMES)
def test_closed_under_a_name_in_use(pair, ab, writer, name):
    """Durable there, not shown, and shown when the writer has ended."""
    one = writer(ab / name)
    one.does("open(n, 'wb').write(b'whole')")
    assert pair.b.arrived() == []
    assert b"whole" in [path.read_bytes() for path in pair.b.spooled()]
    put(ab / "later", b"x")
    assert pair.b.arrived() == ["later"]
    assert sorted(os.listdir(ab)) == sorted(["later", name])
    assert one.ends() == 0
    shows(pair.b, name, b"whole")
    pair.b.wait_spool_empty()


@pytest.mark.parametrize("name", ORDINARY)
def test_closed_under_another_name(pair, ab, name):
    put(ab / name, b"whole")
    assert got(pair.b, name) == b"whole"


@pytest.mark.quick
@pytest.mark.sanitize
@pytest.mark.parametrize("name", ["n.part", ".n.swp", "d/.n.AbC123"])
def test_renamed_from_a_name_in_use(pair, ab, name):
    """Shown under the new name, in the place of what was there."""
    os.mkdir(ab / "d")
    put(ab / "d/n", b"before")
    put(ab / name, b"whole")
    assert got(pair.b, "d/n") == b"before"
    os.rename(ab / name, ab / "d/n")
    assert got(pair.b, "d/n") == b"whole"
    assert pair.b.arrived() == ["d"]
    assert os.listdir(pair.b.backing / "d") == ["n"]
    pair.b.wait_spool_empty()


def test_renamed_while_open(pair, ab):
    """As GTK does: fsync, rename, close."""
    put(ab / "n", b"before")
    with open(ab / ".goutputstream-ABC123", "wb", 0) as file:
        file.write(b"whole")
        os.fsync(file.fileno())
        os.rename(ab / ".goutputstream-ABC123", ab / "n")
        assert got(pair.b, "n") == b"before"
    assert got(pair.b, "n") == b"whole"
    assert pair.b.arrived() == ["n"]


def test_renamed_to_a_name_in_use(pair, ab, writer):
    """As vim does with what it has delivered: taken out of the inbox, until
    its process has ended."""
    one = writer(ab / "n")
    one.does("open(n, 'wb').write(b'one')")
    assert got(pair.b, "n") == b"one"
    one.does("os.rename(n, n + '~')")
    assert pair.b.arrived() == []
    one.does("open(n, 'wb').write(b'two')")
    assert pair.b.arrived() == ["n"] and got(pair.b, "n") == b"two"
    assert one.ends() == 0
    shows(pair.b, "n~", b"one")
    assert got(pair.b, "n") == b"two"


@pytest.mark.quick
@pytest.mark.sanitize
@pytest.mark.parametrize("name", ["4913", "n.tmp", ".n.swp"])
def test_removed_under_a_name_in_use(pair, ab, name):
    put(ab / name, b"a probe")
    os.unlink(ab / name)
    pair.b.wait_spool_empty()
    assert pair.b.arrived() == []
    assert os.listdir(ab) == []


def test_written_again_under_a_name_in_use(pair, ab, writer):
    """Held entries are appended to, patched and overwritten as others are."""
    one = writer(ab / "n.tmp")
    one.does("open(n, 'wb').write(b'one')")
    one.does("open(n, 'ab').write(b' two')")
    assert pair.b.arrived() == []
    one.does("os.rename(n, n + '.gz')")
    assert got(pair.b, "n.tmp.gz") == b"one two"
    one.does("open(n, 'wb').write(b'three')")
    one.does("open(n, 'wb').write(b'four')")
    assert one.ends() == 0
    shows(pair.b, "n.tmp", b"four")
    assert pair.b.arrived() == ["n.tmp", "n.tmp.gz"]


@pytest.mark.sanitize
@pytest.mark.parametrize("how", ["receiver killed", "network cut"])
@pytest.mark.limit(90)
def test_never_lost_behind_a_0(fresh_pair, bed, writer, how, start):
    """Whoever vanishes then: it is shown, whole. (A sender that is stopped or
    killed, and the time after which it is shown anyway: test_held.py.)"""
    a, b = fresh_pair()
    one = writer(a.to("b") / "n.part")
    one.does("open(n, 'wb').write(b'whole')")
    assert b.arrived() == []
    if how == "receiver killed":
        b.kill()
        a.kill()
        b = start("b", paths=b.paths)
    else:
        bed.hosts["b"].cut()
    try:
        shows(b, "n.part", b"whole", timeout=30)
    finally:
        if how == "network cut":
            bed.hosts["b"].heal()
    b.wait_spool_empty()
    assert b.arrived() == ["n.part"]
