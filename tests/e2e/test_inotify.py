"""inotify on the mount: what arrives is seen by those who watch inbox/."""

import os
import re
import signal
import subprocess
import threading

import pytest

from netbed import SCALE, wait_for


class Watcher:
    """inotifywait on directories of the mount; its lines as they come."""

    def __init__(self, *directories):
        self.process = subprocess.Popen(
            ["inotifywait", "-m", "-e", "moved_to,moved_from,create,delete",
             "--format", "%w%f %e", *map(str, directories)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while "Watches established" not in self.process.stderr.readline():
            assert self.process.poll() is None
        self.lines = []
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def wait(self, *lines):
        """Exactly these, in this order."""
        wait_for(lambda: len(self.lines) >= len(lines), 20,
                 lambda: f"{lines}, only {self.lines}")
        assert self.lines == list(lines)

    def close(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        self.process.wait()
        self.thread.join()
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture
def watch():
    watchers = []

    def start(*directories):
        watchers.append(Watcher(*directories))
        return watchers[-1]
    yield start
    for watcher in watchers:
        watcher.close()


def test_a_file_that_arrives_is_moved_to(pair, watch):
    watcher = watch(pair.b.inbox)
    (pair.ab / "one").write_text("1")
    watcher.wait(f"{pair.b.inbox}/one MOVED_TO")
    name = "n" * 255
    (pair.ab / name).write_text("2")
    watcher.wait(f"{pair.b.inbox}/one MOVED_TO",
                 f"{pair.b.inbox}/{name} MOVED_TO")


def test_arrivals_are_seen_in_subdirectories(pair, watch):
    (pair.ab / "d").mkdir()
    (pair.ab / "d" / "d").mkdir()
    (pair.ab / "d" / "d" / "first").write_text("1")
    watcher = watch(pair.b.inbox / "d", pair.b.inbox / "d" / "d")
    (pair.ab / "d" / "two").write_text("2")
    (pair.ab / "d" / "d" / "d").write_text("3")
    watcher.wait(f"{pair.b.inbox}/d/two MOVED_TO",
                 f"{pair.b.inbox}/d/d/d MOVED_TO")


def test_a_directory_that_arrives_is_created(pair, watch):
    watcher = watch(pair.b.inbox)
    (pair.ab / "tree").mkdir()
    watcher.wait(f"{pair.b.inbox}/tree CREATE,ISDIR")
    (pair.ab / "tree" / "leaf").write_text("1")
    assert (pair.b.inbox / "tree" / "leaf").read_text() == "1"


def test_a_name_that_was_looked_at_before_is_an_event_all_the_same(
        pair, watch):
    assert not (pair.b.inbox / "late").exists()
    watcher = watch(pair.b.inbox)
    (pair.ab / "late").write_text("1")
    assert (pair.b.inbox / "late").read_text() == "1"
    watcher.wait(f"{pair.b.inbox}/late MOVED_TO")
    assert (pair.b.inbox / "late").read_text() == "1"
    (pair.b.inbox / "late").unlink()
    assert not (pair.b.backing / "late").exists()


def test_a_stopped_watcher_holds_up_nothing(pair, watch):
    watcher = watch(pair.b.inbox)
    watcher.process.send_signal(signal.SIGSTOP)
    for number in range(500):
        (pair.ab / f"f{number}").write_text("x")
    assert len(pair.b.arrived()) == 500
    watcher.process.send_signal(signal.SIGCONT)
    wait_for(lambda: watcher.lines, 20 * SCALE, "the first events")
    assert all(re.fullmatch(r".*/f\d+ MOVED_TO", line)
               for line in watcher.lines)


def test_the_helper_ends_with_its_daemon(fresh_pair):
    a, b = fresh_pair()
    children = subprocess.run(
        ["ps", "--ppid", str(b.process.pid), "-o", "pid="],
        capture_output=True, text=True).stdout.split()
    assert children, "no helper"
    b.kill()
    wait_for(lambda: all(map(ended, children)), 20, "the helper's end")


def ended(pid):
    try:
        with open(f"/proc/{pid}/status") as status:
            return "State:\tZ" in status.read()
    except (FileNotFoundError, ProcessLookupError):
        return True
