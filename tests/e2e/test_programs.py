"""Every row of the table of programs, through two running daemons."""

import pytest

from netbed import wait_for
from program_help import (Web, Workshop, differences, expected_of,
                          make_material, snapshot)
from programs import ROWS as SENT
from programs_more import MORE

ROWS = SENT + MORE


@pytest.fixture(scope="session")
def material(bed):
    return make_material(bed.dir / "material")


@pytest.fixture(scope="session")
def web(material):
    web = Web(material)
    yield web
    web.close()


@pytest.fixture
def workshop(bed, web, material, scratch):
    return Workshop(bed, web, material, scratch)


def marks(row):
    return [getattr(pytest.mark, name) for name in row.marks.split()]


@pytest.mark.parametrize("row", [
    pytest.param(row, id=row.name, marks=marks(row)) for row in ROWS])
def test_program(row, pair, workshop):
    workshop.check(row, pair)


def test_the_table_says_why():
    """A program that cannot work: why, and what it gets instead."""
    assert len({row.name for row in ROWS}) == len(ROWS)
    for row in ROWS:
        refused = row.keeps or row.lacks or row.adds or row.status != 0
        assert bool(row.why) == bool(refused), row.name
        assert not refused or row.status == 0 or row.stderr, row.name


@pytest.mark.sanitize
def test_two_programs_write_one_name(pair, workshop):
    """They share the file, as anywhere: each byte is one's or the other's."""
    workshop.clear(pair.ab)
    work, environ = workshop.prepare(pair.ab)
    for _ in range(5):
        workshop.script_succeeds(
            'cat f >"$TO/n" & one=$!; cat h >"$TO/n" & wait $one && wait $!',
            work, environ)
        pair.b.wait_spool_empty()
        assert pair.b.arrived() == ["n"]
        content = (pair.b.backing / "n").read_bytes()
        one, two = ((work / name).read_bytes() for name in "fh")
        assert len(content) in (len(one), len(two))
        assert all(byte in both for byte, *both in zip(
            content, one.ljust(len(content), b"\0"),
            two.ljust(len(content), b"\0")))


def test_mv_from_inbox_to_peer(pair, workshop):
    """A file and a tree: another machine's disk, so mv copies and removes."""
    workshop.clear(pair.ab)
    work, environ = workshop.prepare(pair.ab)
    environ["FROM"] = str(pair.a.inbox)
    workshop.script_succeeds('cp -a f t "$FROM"; mv "$FROM/f" "$FROM/t" "$TO"',
                             work, environ)
    assert pair.a.arrived() == []
    wait_for(lambda: not differences(
        {path: entry for path, entry in expected_of(work, 1 << 62).items()
         if path.split("/")[0] in "ft"}, snapshot(pair.b.backing)), 5,
        "file and tree are there as they were")
