"""A file manager on a real display: copy in, overwrite, cancel, and a file
that arrives in a window that is open."""

import contextlib
import fnmatch
import os

import pytest

from desktop import Desktop, FileManager
from material import MIB, random_file, sha256
from netbed import wait_for


# It is driven by keys and clicks, for whose effect a person would wait.
pytestmark = pytest.mark.alone


@pytest.fixture
def desktop(scratch):
    desktop = Desktop(scratch / "home")
    yield desktop
    desktop.close()


@pytest.fixture
def source(scratch):
    source = scratch / "outgoing"
    source.mkdir()
    random_file(source / "report.pdf", 3 * MIB)
    (source / "notes.txt").write_text("first\n")
    return source


def wait_same(one, other):
    def same():
        return one.exists() and sha256(one) == sha256(other)
    wait_for(same, 30, f"{one.name} as it was sent")


@pytest.mark.limit(180)
def test_file_manager_copies_and_overwrites(pair, desktop, source):
    window = FileManager(desktop, source)
    window.copy_all(["notes.txt", "report.pdf"])
    window.go(pair.ab)
    window.paste()
    for name in "report.pdf", "notes.txt":
        wait_same(pair.b.backing / name, source / name)
    window.wait_shown(["notes.txt", "report.pdf"])
    desktop.picture("copied")

    (source / "notes.txt").write_text("second, and longer\n")
    window.go(source)
    window.copy_all(["notes.txt", "report.pdf"])
    window.go(pair.ab)
    window.paste()
    question = desktop.window("Confirm to replace files")
    desktop.picture("overwrite")
    desktop.keys(question, "alt+a")  # Replace All
    for name in "notes.txt", "report.pdf":
        wait_same(pair.b.backing / name, source / name)
    wait_for(lambda: len(desktop.windows()) == 1, 20, "the end of the copy")
    desktop.picture("overwritten")
    assert sorted(pair.b.arrived()) == ["notes.txt", "report.pdf"]


@pytest.mark.limit(180)
def test_file_manager_cancels(pair, desktop, source, slow_network):
    # As it ships it leaves what it has copied so far, on any disk, and says
    # nothing about it; with intermediate names it takes that away.
    desktop.configure("/misc-transfer-use-partial",
                      "THUNAR_USE_PARTIAL_MODE_ALWAYS")
    random_file(source / "film.mkv", 200 * MIB)
    for name in "report.pdf", "notes.txt":
        (source / name).unlink()
    window = FileManager(desktop, source)
    window.copy_all(["film.mkv"])
    window.go(pair.ab)
    slow_network("b", 2)
    window.paste()
    progress = desktop.window("File Operation Progress")
    part = pair.ab / "film.mkv.partial~"
    wait_for(lambda: part.exists() and part.stat().st_size > 4 * MIB,
             30, "some of it on its way")
    wait_for(lambda: desktop.click_stop(progress), 20, "the stop button")
    desktop.picture("copying")

    def stopped():  # what other tests have sent may still be listed
        return not fnmatch.filter(os.listdir(pair.ab), "film.mkv*")
    for _ in range(5):  # a window that moves meanwhile can be missed
        with contextlib.suppress(TimeoutError):
            wait_for(stopped, 10, "the entry to leave")
            break
        desktop.picture("still copying")
        if progress in desktop.windows():
            desktop.click_stop(progress)
    slow_network.end()
    wait_for(stopped, 10, "the entry to leave")
    pair.b.wait_spool_empty()
    desktop.picture("cancelled")
    assert pair.b.arrived() == []


@pytest.mark.limit(120)
def test_a_file_arrives_in_the_open_window(pair, desktop, source):
    window = FileManager(desktop, pair.b.inbox)
    window.wait_shown([])
    (pair.ab / "hello.txt").write_text("hello\n")
    window.wait_shown(["hello.txt"])
    desktop.picture("arrived")
    (pair.ab / "again.txt").write_text("again\n")
    window.wait_shown(["again.txt", "hello.txt"])
