"""Names that programs use while they write are shown when that is over."""

import errno
import os
import signal

import pytest

from material import Watcher
from netbed import SCALE, wait_for
from test_versions import Holder, content, holder  # noqa: F401

SHOWN_S = 10  # fs/unshown.h UNSHOWN_MS

TEMPORARY = [".x.AbC123", ".goutputstream-UCIJZ3", "sedSwnjc9", "zi51hhli",
             "x.part", "x.partial~", "x.crdownload", "x.tmp", "x~", "4913",
             "x.db-journal", ".~lock.x#", ".#x", ".x.swp"]


def write_and_close(process, name, text):
    return process.do(f"[f := os.open({name!r}, os.O_WRONLY | os.O_CREAT |"
                      f" os.O_TRUNC), os.write(f, {text!r}), os.close(f)][1]")


@pytest.fixture
def writer(pair, holder):  # noqa: F811
    """A process that lives as long as the test, and can be told to write."""
    one = holder(pair.a, os.devnull)
    one.do(f"os.chdir({str(pair.ab)!r})")
    return one


@pytest.mark.quick
@pytest.mark.sanitize
@pytest.mark.parametrize("name", TEMPORARY)
def test_a_name_in_use_is_not_seen_before_its_rename(pair, writer, name):
    with Watcher(pair.bed, pair.b.backing) as watcher:
        assert write_and_close(writer, name, b"whole") == 5
        assert pair.b.arrived() == []
        writer.do(f"os.rename({name!r}, 'final')")
        assert pair.b.arrived() == ["final"]
    assert set(watcher.sizes) == {"final"}
    assert content(pair, "final") == b"whole"


@pytest.mark.parametrize("name", TEMPORARY)
def test_who_copies_such_a_name_means_it(pair, scratch, name):
    (scratch / name).write_bytes(b"a backup")
    pair.a.sh('cp "$1" "$2"', scratch / name, pair.ab)
    wait_for(lambda: pair.b.arrived() == [name], 3, f"{name} is shown")
    assert content(pair, name) == b"a backup"


@pytest.mark.limit(90)
def test_it_is_shown_soon_but_a_lock_while_its_writer_lives_is_not(
        pair, writer):
    write_and_close(writer, ".x.swp", b"swap")
    write_and_close(writer, "x.part", b"part")
    write_and_close(writer, "marker", b"")
    assert pair.b.arrived() == ["marker"]
    wait_for(lambda: "x.part" in pair.b.arrived(), SHOWN_S + 3, "it is shown")
    assert pair.b.arrived() == ["marker", "x.part"]
    writer.end()
    wait_for(lambda: ".x.swp" in pair.b.arrived(), 3, "the swap is shown")


def test_unlinked_before_it_never_was(pair, writer):
    with Watcher(pair.bed, pair.b.backing) as watcher:
        write_and_close(writer, "x.tmp", b"whole")
        writer.do("os.unlink('x.tmp')")
        pair.b.wait_spool_empty()
        writer.end()
        assert pair.b.arrived() == []
    assert not watcher.sizes


def test_written_again_it_is_one_file(pair, writer):
    with Watcher(pair.bed, pair.b.backing) as watcher:
        write_and_close(writer, "x.tmp", b"one")
        write_and_close(writer, "x.tmp", b"second")
        writer.do("[f := os.open('x.tmp', os.O_WRONLY | os.O_APPEND), "
                  "os.write(f, b' and more'), os.close(f)]")
        writer.end()
        wait_for(lambda: pair.b.arrived(), 3, "it is shown")
    assert pair.b.arrived() == ["x.tmp"]
    assert content(pair, "x.tmp") == b"second and more"
    assert set(watcher.sizes) == {"x.tmp"}


def test_a_chmod_of_the_spool_keeps_nothing_from_view(pair, writer):
    write_and_close(writer, "x.tmp", b"whole")
    for path in (pair.b.backing / ".gtfs-spool").iterdir():
        path.chmod(0o640)
    writer.end()
    wait_for(lambda: pair.b.arrived() == ["x.tmp"], 3, "it is shown")
    assert content(pair, "x.tmp") == b"whole"


def test_what_is_held_is_the_peers_to_read(pair, writer):
    write_and_close(writer, "x.tmp", b"whole")
    assert writer.do("os.open('x.tmp', os.O_RDONLY)") == errno.EACCES


@pytest.mark.limit(90)
def test_a_stopped_sender_leaves_nothing_unshown(fresh_pair, holder):  # noqa: F811
    a, b = fresh_pair()
    one = holder(a, os.devnull)
    write_and_close(one, str(a.to("b") / ".x.swp"), b"swap")
    assert b.arrived() == []
    a.command("stop")
    wait_for(lambda: b.arrived() == [".x.swp"], 5, "the swap is shown")


@pytest.mark.limit(90)
def test_a_sender_that_vanished_leaves_nothing_unshown(
        fresh_pair, holder):  # noqa: F811
    a, b = fresh_pair()
    one = holder(a, os.devnull)
    write_and_close(one, str(a.to("b") / ".x.swp"), b"swap")
    assert b.arrived() == []
    a.kill()
    wait_for(lambda: b.arrived() == [".x.swp"], 30, "the swap is shown")


def test_a_killed_copy_of_such_a_name_leaves_nothing(pair, writer):
    writer.do("[f := os.open('x.tmp', os.O_WRONLY | os.O_CREAT), "
              "os.write(f, b'half')]")
    writer.process.send_signal(signal.SIGKILL)
    writer.process.wait(timeout=10 * SCALE)
    pair.b.wait_spool_empty()
    assert pair.b.arrived() == []
