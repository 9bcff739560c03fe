"""A gtfs daemon and its mount, on one of netbed's hosts or on this machine."""

import itertools
import json
import os
import re
import signal
import subprocess
from pathlib import Path

from netbed import MARK, SCALE, is_mount_point, run, wait_for

_serial = itertools.count(1)

# What a daemon may never say, whatever a test expects. net/log.h gives the
# level after the program's name; the rest are the sanitizers' words.
ERROR = re.compile(r"^gtfs: error: |Sanitizer|runtime error:|Assertion ",
                   re.MULTILINE)


class Local:
    """This machine itself, where no network of its own is needed."""

    def __init__(self, bed, name="local"):
        self.bed, self.name = bed, name
        self.dir = bed.dir / name
        self.address = "127.0.0.1"
        self.dir.mkdir()

    def environ(self):
        return {**os.environ, MARK: self.bed.id}

    def command(self, command, user=None):
        if user is None:
            return [str(word) for word in command]
        return ["setpriv", f"--reuid={user}", f"--regid={user}",
                "--clear-groups"] + [str(word) for word in command]

    def run(self, command, user=None, **options):
        options.setdefault("env", self.environ())
        return run(self.command(command, user), **options)

    def popen(self, command, user=None, **options):
        options.setdefault("env", self.environ())
        options.setdefault("stdin", subprocess.DEVNULL)
        process = subprocess.Popen(self.command(command, user),
                                   start_new_session=True, **options)
        self.bed.processes.append(process)
        return process


class Paths:
    """The directories of one gtfs: kept when it is started again."""

    def __init__(self, host, user=None):
        self.top = host.dir / f"gtfs-{next(_serial)}"
        self.mount = self.top / "mnt"
        self.backing = self.top / "inbox"
        self.state = self.top / "state"
        self.top.mkdir()
        if user is not None:
            os.chown(self.top, user, user)


def binary():
    """gtfs, and what it is run under: GTFS_BIN and GTFS_WRAP."""
    program = os.environ.get("GTFS_BIN")
    if not program:
        program = str(Path(__file__).resolve().parents[2] / "build/fs/gtfs")
    return os.environ.get("GTFS_WRAP", "").split() + [program]


class Mount:
    """A running gtfs -f. Files and figures of it, and ways to end it."""

    def __init__(self, host, *options, name=None, paths=None, user=None,
                 accept="lan", mounted=True):
        self.host, self.user = host, user
        self.name = name or host.name
        self.paths = paths or Paths(host, user)
        self.path = self.paths.mount
        self.inbox, self.peers = self.path / "inbox", self.path / "peers"
        self.backing, self.state = self.paths.backing, self.paths.state
        self.log = self.paths.top / f"log-{next(_serial)}"
        self.expected = []
        self.heals = self.is_mounted()  # of a former life, and dead
        command = binary() + ["-f", "--name", self.name, "--inbox",
                              self.backing, "--state", self.state]
        if accept:
            command += ["--accept", accept]
        with open(self.log, "wb") as log:
            self.process = host.popen(command + [*options, self.path],
                                      user=user, stdout=log, stderr=log)
        self.pid = self.process.pid
        host.bed.mounts.append(self)
        if mounted:
            self.wait_mounted()

    # Its life.

    def is_mounted(self):
        return is_mount_point(self.path)

    def answers(self):
        try:
            return os.listdir(self.path)
        except OSError:
            return False

    def wait_mounted(self):
        def ready():
            self.assert_running()
            return self.is_mounted() and (not self.heals or self.answers())
        wait_for(ready, 10, lambda: "mounted: " + self.log_text())

    def stop(self, how="stop", timeout=15):
        """Ends it in good order and asserts that the order was good."""
        if how == "stop":
            self.command("stop", timeout=timeout * SCALE)
        else:
            os.kill(self.pid, how)
        try:
            status = self.process.wait(timeout * SCALE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"gtfs on {self.name} did not end:\n"
                                 + self.log_text()) from None
        self.assert_quiet()
        assert status == 0, f"exit status {status}:\n{self.log_text()}"
        assert not self.is_mounted(), "the mount is still there"

    def kill(self):
        """kill -9; the dead mount is left for the caller to heal or not."""
        self.process.kill()
        self.process.wait()

    def pause(self):
        os.kill(self.pid, signal.SIGSTOP)

        def stopped():
            stat = Path(f"/proc/{self.pid}/stat").read_text()
            return stat.rsplit(")", 1)[1].split()[0] == "T"
        wait_for(stopped, 5, "SIGSTOP")

    def resume(self):
        os.kill(self.pid, signal.SIGCONT)

    def running(self):
        return self.process.poll() is None

    def assert_running(self):
        if not self.running():
            raise AssertionError(f"gtfs on {self.name} ended with status "
                                 f"{self.process.returncode}:\n"
                                 + self.log_text())

    # Its words.

    def log_text(self):
        return self.log.read_text(errors="replace")

    def expect(self, pattern):
        """An error in the log that the test means to cause."""
        self.expected.append(re.compile(pattern))

    def assert_quiet(self):
        for line in self.log_text().splitlines():
            if ERROR.search(line) and not any(
                    pattern.search(line) for pattern in self.expected):
                raise AssertionError(f"log of {self.name} ({self.log}):\n"
                                     + self.log_text())

    def command(self, *words, check=True, **options):
        """gtfs WORDS --mount here."""
        return self.host.run(binary() + [*words, "--mount", self.path],
                             user=self.user, check=check, **options)

    def sh(self, script, *args, check=True, **options):
        """A bash script on its host, with $1... from args."""
        return self.host.run(["bash", "-c", script, "bash", *args],
                             user=self.user, check=check, **options)

    def popen(self, *command, **options):
        """A program on its host, as its user."""
        return self.host.popen(command, user=self.user, **options)

    def json(self, *words):
        return json.loads(self.command(*words, "--json").stdout)

    def table(self, name):
        """The records of .gtfs/NAME, each a list of its fields."""
        text = (self.path / ".gtfs" / name).read_text()
        assert not text or text.endswith("\n")
        return [line.split("\t") for line in text.splitlines()]

    def self_info(self):
        text = (self.path / ".gtfs" / "self").read_text()
        return dict(line.split(": ", 1) for line in text.splitlines())

    def peer_record(self, name):
        """[name, state, fingerprint, addresses, seen, free, policy, theirs,
        verified] of a peer, or None."""
        for record in self.table("peers"):
            if record[0] == name:
                return record
        return None

    def transfers(self, name=None):
        """id, direction, peer, name, bytes, total, rate, state, reason."""
        fields = ("id", "direction", "peer", "name", "bytes", "total", "rate",
                  "state", "reason")
        found = [dict(zip(fields, record))
                 for record in self.table("transfers")]
        return [t for t in found if name in (None, t["name"])]

    # What happens to it.

    def to(self, name):
        return self.peers / name

    def wait_peer(self, name, timeout=15):
        """Waits until the folder of that peer is there, and returns it."""
        def there():
            self.assert_running()
            return name in os.listdir(self.peers)
        wait_for(there, timeout, lambda: f"{self.name} sees {name}; peers: "
                 f"{self.table('peers')}, log: {self.log_text()}")
        return self.to(name)

    def wait_bytes(self, name, least, timeout=15):
        """Waits until a transfer of that name has moved so many bytes."""
        def moved():
            return any(int(t["bytes"]) >= least for t in self.transfers(name))
        wait_for(moved, timeout, lambda: f"{least} bytes of {name} on the "
                 f"way: {self.transfers()}", interval=0.005)

    def arrived(self):
        """The names in the backing inbox, as nobody but gtfs should see."""
        return sorted(name for name in os.listdir(self.backing)
                      if name != ".gtfs-spool")

    def spooled(self):
        """Every file in the spool."""
        return [path for path in (self.backing / ".gtfs-spool").rglob("*")
                if path.is_file()]

    def wait_spool_empty(self, timeout=10):
        wait_for(lambda: not self.spooled(), timeout,
                 lambda: f"empty spool: {self.spooled()}")

    # What it takes.

    def status_kb(self, field):
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"^{field}:\s+(\d+) kB", text, re.M).group(1))

    def vm_hwm(self):
        """The largest resident memory it ever had, in kB."""
        return self.status_kb("VmHWM")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))
