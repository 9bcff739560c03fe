"""A descriptor that execve(2) closes: the kernel holds a lock of the process
meanwhile, on which a look at its /proc/PID/stat would wait, and so the daemon
for itself."""

import os
import signal
import subprocess
import sys
import time

import pytest

from netbed import SCALE, wait_for

OPEN_AND_EXEC = """
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
os.write(fd, b"before exec")
if len(sys.argv) > 2:
    sys.stdout.write("written\\n")
    sys.stdout.flush()
    sys.stdin.readline()
os.execv("/bin/true", ["true"])
"""


def exec_after_writing(path, *more, **keywords):
    return subprocess.Popen([sys.executable, "-c", OPEN_AND_EXEC, str(path),
                             *more], **keywords)


@pytest.mark.quick
@pytest.mark.sanitize
def test_exec_closes_and_commits(pair):
    for number in range(5):
        process = exec_after_writing(pair.ab / f"executed{number}")
        assert process.wait(20 * SCALE) == 0
        delivered = pair.b.backing / f"executed{number}"
        assert delivered.read_bytes() == b"before exec"


@pytest.mark.sanitize
def test_exec_that_waits_for_a_peer_holds_up_nobody_else(fresh_pair):
    a, b = fresh_pair(options_a=["--patience", "30"])
    process = exec_after_writing(a.to("b") / "stuck", "wait",
                                 stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "written\n"
    os.kill(b.process.pid, signal.SIGSTOP)
    try:
        process.stdin.write("\n")
        process.stdin.close()
        wait_for(lambda: in_close(process), 10, "it to close")
        began = time.monotonic()
        for _ in range(20):
            os.stat(a.to("b"))
            os.listdir(a.to("b"))
        assert time.monotonic() - began < 5 * SCALE
        process.kill()
        process.wait(5 * SCALE)
    finally:
        os.kill(b.process.pid, signal.SIGCONT)
        process.stdout.close()
    assert process.returncode == -signal.SIGKILL
    # What was committed by then is withdrawn right behind.
    wait_for(lambda: not b.spooled() and b.arrived() == [], 10,
             lambda: f"nothing of it: {b.arrived()}, {b.spooled()}")


def in_close(process):
    """/proc/PID/status is what can be read of it now."""
    with open(f"/proc/{process.pid}/status") as status:
        return "VmExe:\t       0 kB" in status.read()
