"""The test beds themselves: nothing of one survives it, nothing of another is
touched, and looking for it waits for nobody."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import netbed
from marked import mark_children, marked
from netbed import SCALE, wait_for
from test_exec import exec_after_writing, in_close

HERE = Path(__file__).resolve().parent
A_RUN = """
import os, subprocess, sys
sys.path.insert(0, sys.argv[1])
import netbed
bed = netbed.Bed("", avahi=False, hub=False)
subprocess.run(["sh", "-c", "setsid tail -f /dev/null & echo $!"], env={})
print(bed.dir, flush=True)
sys.stdin.readline()
bed.close()
print(netbed.leftovers(), flush=True)
"""


class Run:
    """Another run of tests, with a bed, and a process that it has orphaned."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", A_RUN, str(HERE)], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.orphan = int(self.process.stdout.readline())
        self.dir = Path(self.process.stdout.readline().strip())

    def orphan_lives(self):
        try:
            status = Path(f"/proc/{self.orphan}/status").read_text()
        except FileNotFoundError:
            return False
        return "\nState:\tZ" not in status

    def end(self):
        answer, _ = self.process.communicate("\n")
        assert self.process.returncode == 0
        return answer.strip()


@pytest.fixture
def other_run():
    run = Run()
    yield run
    if run.process.poll() is None:
        run.end()


def test_a_bed_ends_what_it_has_orphaned(other_run):
    assert other_run.orphan_lives()
    assert other_run.end() == "[]"
    assert not other_run.orphan_lives() and not other_run.dir.exists()


def test_only_the_bed_of_a_killed_run_is_stale(other_run):
    killed = Run()
    killed.process.send_signal(signal.SIGKILL)
    killed.process.wait()
    killed.process.stdin.close()
    killed.process.stdout.close()
    assert killed.orphan_lives() and killed.dir.exists()
    netbed.remove_stale()
    assert not killed.orphan_lives() and not killed.dir.exists()
    assert other_run.orphan_lives() and other_run.dir.exists()


def test_processes_are_found_while_they_are_within_exec(fresh_pair):
    a, b = fresh_pair(options_a=["--patience", "30"])
    process = exec_after_writing(a.to("b") / "stuck", "wait",
                                 stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "written\n"
    os.kill(b.pid, signal.SIGSTOP)
    try:
        process.stdin.write("\n")
        process.stdin.close()
        wait_for(lambda: in_close(process), 10, "it to close")
        began = time.monotonic()
        assert process.pid in marked(mark_children())
        assert time.monotonic() - began < 2 * SCALE
        process.kill()
        process.wait(5 * SCALE)
    finally:
        os.kill(b.pid, signal.SIGCONT)
        process.stdout.close()
