"""The processes that a test run has started, whatever has become of them.

They carry its mark: a limit of real-time CPU time (RLIMIT_RTTIME) of some
hundred thousand years, which differs from run to run. A limit is inherited by
every child, survives execve(2), setsid(2) and the end of the parent, and can be
read while the process is within execve(2). Its environment cannot: with a close
that waits for a daemon, that read would wait too, for any process of the
machine (execve holds exec_update_lock).
"""

import os
import random
import re
import resource
import signal
from pathlib import Path

_LIMIT = re.compile(rb"^Max realtime timeout +\S+ +(\d+) ", re.MULTILINE)
_rng = random.SystemRandom()
_mine = None


def mark_children():
    """Marks this process, and so all that it starts; returns the mark."""
    global _mine
    if _mine is None:
        _, hard = resource.getrlimit(resource.RLIMIT_RTTIME)
        # Within a marked run, and without CAP_SYS_RESOURCE, only less is left.
        most = 1 << 62 if hard == resource.RLIM_INFINITY else hard
        _mine = _rng.randrange(most // 2, most)
        resource.setrlimit(resource.RLIMIT_RTTIME, (_mine, _mine))
    return _mine


def _living(pid):
    """Not a zombie: the parent of those may be nobody who reaps."""
    status = Path(f"/proc/{pid}/status").read_text()
    return re.search(r"^State:\s+[^ZX]", status, re.MULTILINE)


def marked(mark, netns=None):
    """The pids that carry a mark, but for this process; of one network
    namespace (its file) only, if it is given: without those that are within
    execve(2), whose namespace cannot be seen."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        pid = int(name)
        try:
            limit = _LIMIT.search(Path(f"/proc/{pid}/limits").read_bytes())
            if (limit and int(limit[1]) == mark and pid != os.getpid()
                    and _living(pid) and (netns is None or os.path.samefile(
                        netns, f"/proc/{pid}/ns/net"))):
                found.append(pid)
        except OSError:
            pass  # it has ended
    return found


def signal_all(pids, number=signal.SIGKILL):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass
