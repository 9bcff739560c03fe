"""Test machines on one machine: network namespaces joined by a bridge.

Each host has its own network, D-Bus and avahi-daemon; the bridge lives in one
more namespace, the hub, so nothing here touches the machine's own network.
File systems are shared: a mount made on any host is seen by the tests.

Everything started here carries the run's mark (marked.py), every mount is
beneath the bed's directory and every namespace has its id in its name. That is
how close() finds all of it, and how leftovers() proves that it is gone. Runs
may go on beside each other: ids are random, and a bed whose lock file nobody
holds is one that was killed (remove_stale).

Used by the tests (conftest.py) and by the demo (demo.py). Needs root.
"""

import atexit
import contextlib
import ctypes
import ctypes.util
import fcntl
import functools
import itertools
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from marked import mark_children, marked, signal_all

MARK = "GTFS_BED"  # for who looks at an environment by hand
RUN = f"gtfs-{secrets.token_hex(4)}"
NETNS = Path("/run/netns")
NETNS_MADE = Path("/run/gtfs-made-netns")
BUS = "unix:abstract=gtfs-bed-bus"  # abstract names are one network's own
SCALE = float(os.environ.get("GTFS_TEST_SCALE", "1"))

_serial = itertools.count(1)
_libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)

CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
MS_REC, MS_PRIVATE, MS_SLAVE = 0x4000, 0x40000, 0x80000
MNT_DETACH = 2


class BedError(Exception):
    """The machine cannot, or did not, do what a test bed needs."""


def wait_for(condition, timeout, what, interval=0.02):
    """Polls until condition() is true, and returns what it returned."""
    pause = threading.Event()
    end = time.monotonic() + timeout * SCALE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            what = what() if callable(what) else what
            raise TimeoutError(f"not within {timeout * SCALE:g} s: {what}")
        pause.wait(interval)


def run(command, check=True, **options):
    """Runs a command to its end; output as text, its stderr in the error."""
    options.setdefault("stdin", subprocess.DEVNULL)
    options.setdefault("timeout", 50 * SCALE)
    done = subprocess.run(command, capture_output=True, text=True,
                          errors="surrogateescape", **options)
    if check and done.returncode:
        raise BedError(f"{' '.join(map(str, command))}: exit status "
                       f"{done.returncode}\n{done.stdout}{done.stderr}")
    return done


def unescape(field):
    """A path as mountinfo(5) writes it."""
    for code, char in ("\\040", " "), ("\\011", "\t"), ("\\012", "\n"):
        field = field.replace(code, char)
    return field.replace("\\134", "\\")


def mounts_beneath(directory):
    """(mount point, type) of every mount in a directory, innermost last."""
    found = []
    top = str(directory).rstrip("/") + "/"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, right = line.split(" - ", 1)
        point = unescape(left.split()[4])
        if point.startswith(top):
            found.append((point, right.split()[0]))
    return found


def is_mount_point(path):
    """A bind mount within one file system is one too (not to os.path)."""
    return any(point == str(path) for point, _ in mounts_beneath(path.parent))


def kill_all(find, timeout=10):
    """SIGKILL for every process that find() finds, until there are none."""
    def none_left():
        left = find()
        signal_all(left)
        return not left
    wait_for(none_left, timeout, lambda: f"end of {find()}")


def unmount_beneath(directory):
    for point, _ in reversed(mounts_beneath(directory)):
        if os.geteuid():
            run(["fusermount3", "-u", "-z", point], check=False)
        else:
            _libc.umount2(os.fsencode(point), MNT_DETACH)


def _mount(source, target, kind, flags):
    """mount(2); its errno, or 0."""
    def encoded(text):
        return text.encode() if text else None
    if _libc.mount(encoded(source), encoded(target), encoded(kind), flags,
                   None):
        return ctypes.get_errno()
    return 0


def enter_private_mounts(propagation, keep="/nowhere"):
    """In a forked child: mounts of its own, of which FUSE's go, but for those
    in one directory. A copy of somebody's FUSE mount would keep it busy after
    its end, and who looks at all mounts would wait for a daemon that is stopped.

    Where the root directory is a chroot it is no mount point, and what is
    mounted beneath it would spread to everybody: from the real root of this
    (new) mount namespace the tree is made a slave, or private, first.
    """
    if _libc.unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    if _mount(None, "/", None, MS_REC | propagation):
        here = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        inner = tempfile.mkdtemp()
        os.chroot(inner)
        os.fchdir(here)
        for _ in range(64):
            os.chdir("..")
        os.chroot(".")
        error = _mount(None, "/", None, MS_REC | propagation)
        os.fchdir(here)
        os.chroot(".")
        os.rmdir(inner)
        if error:
            raise OSError(error, "making the mounts its own")
    for point, kind in mounts_beneath("/"):
        if kind.startswith("fuse") and not point.startswith(f"{keep}/"):
            _libc.umount2(os.fsencode(point), MNT_DETACH)


def enter_private_run(netns):
    """In a forked child: that network, and a /run of its own."""
    with open(netns) as file:
        if _libc.setns(file.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    enter_private_mounts(MS_SLAVE)
    error = _mount("tmpfs", "/run", "tmpfs", 0)
    if error:
        raise OSError(error, "tmpfs on /run")
    os.mkdir("/run/sshd", 0o755)


BUS_CONFIG = f"""<!DOCTYPE busconfig PUBLIC
 "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>{BUS}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
  </policy>
</busconfig>
"""

AVAHI_CONFIG = """[server]
host-name={name}
use-ipv4=yes
use-ipv6=yes
enable-dbus=yes
ratelimit-interval-usec=1000000
ratelimit-burst=1000
[wide-area]
enable-wide-area=no
[publish]
publish-workstation=no
publish-hinfo=no
"""


class Host:
    """One machine: a name, a network, a directory, a bus, an avahi-daemon."""

    def __init__(self, bed, name, number):
        self.bed, self.name = bed, name
        self.dir = bed.dir / name
        self.netns = f"{bed.id}-{name}"
        self.address = f"10.77.0.{number}"
        self.avahi = None
        self.dir.mkdir()
        bed.add_namespace(self.netns)
        bed.in_hub(["ip", "link", "add", f"to-{name}", "type", "veth", "peer",
                    "name", "eth0", "netns", self.netns])
        bed.in_hub(["ip", "link", "set", f"to-{name}", "master", "br0", "up"])
        self.run(["sh", "-c", """
            ip link set lo up
            # Alone on this link: no wait for duplicate addresses.
            echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad
            ip link set eth0 up
            ip addr add "$0/24" dev eth0
            ip route add 224.0.0.0/4 dev eth0""", self.address])

    def environ(self):
        return {**os.environ, MARK: self.bed.id,
                "DBUS_SYSTEM_BUS_ADDRESS": BUS}

    def command(self, command, user=None):
        """The same command, on this host, as this user (uid)."""
        prefix = ["nsenter", f"--net={NETNS / self.netns}"]
        if user is not None:
            prefix += ["setpriv", f"--reuid={user}", f"--regid={user}",
                       "--clear-groups"]
        return prefix + [str(word) for word in command]

    def run(self, command, user=None, **options):
        options.setdefault("env", self.environ())
        return run(self.command(command, user), **options)

    def popen(self, command, user=None, private_run=False, **options):
        """Starts a process on this host, in a session of its own."""
        options.setdefault("env", self.environ())
        options.setdefault("stdin", subprocess.DEVNULL)
        if private_run:
            options["preexec_fn"] = functools.partial(
                enter_private_run, NETNS / self.netns)
        else:
            command = self.command(command, user)
        process = subprocess.Popen(command, start_new_session=True, **options)
        self.bed.processes.append(process)
        return process

    def start_bus(self):
        config = self.dir / "bus.conf"
        config.write_text(BUS_CONFIG)
        with open(self.dir / "bus.log", "wb") as log:
            bus = self.popen(["dbus-daemon", "--nofork", "--nopidfile",
                              f"--config-file={config}"], stderr=log)

        def listening():
            if bus.poll() is not None:
                raise BedError("dbus-daemon: "
                               + (self.dir / "bus.log").read_text())
            unix = Path(f"/proc/{bus.pid}/net/unix").read_text()
            return "@gtfs-bed-bus" in unix
        wait_for(listening, 10, "dbus-daemon listens")

    def start_avahi(self):
        config = self.dir / "avahi.conf"
        config.write_text(AVAHI_CONFIG.format(name=self.netns))
        with open(self.dir / "avahi.log", "wb") as log:
            self.avahi = self.popen(
                ["avahi-daemon", "--no-drop-root", "--no-rlimits",
                 "--no-chroot", "-f", config],
                private_run=True, stdout=log, stderr=log)

    def wait_avahi(self):
        def running():
            log = (self.dir / "avahi.log").read_text(errors="replace")
            if self.avahi.poll() is not None:
                raise BedError(f"avahi-daemon on {self.name}: {log}")
            return "Server startup complete" in log
        wait_for(running, 15, f"avahi-daemon on {self.name} runs")

    def cut(self):
        """Nothing gets in or out any more, as when a cable is pulled."""
        self.run(["nft", """
            table inet bed {
                chain in { type filter hook input priority 0; policy drop;
                           iif "lo" accept; }
                chain out { type filter hook output priority 0; policy drop;
                            oif "lo" accept; }
            }"""])

    def heal(self):
        self.run(["nft", "delete", "table", "inet", "bed"])

    def slow(self, megabytes):
        """Limits what arrives at this host, in MB/s."""
        self.bed.in_hub(["tc", "qdisc", "replace", "dev", f"to-{self.name}",
                         "root", "tbf", "rate", f"{int(megabytes * 8000)}kbit",
                         "burst", "256kb", "latency", "50ms"])

    def fast(self):
        self.bed.in_hub(["tc", "qdisc", "del", "dev", f"to-{self.name}",
                         "root"])


class Capture:
    """Every packet that crosses the hub, until stop()."""

    def __init__(self, bed):
        self.bed = bed
        self.path = bed.dir / f"capture-{next(_serial)}.pcap"
        self.log = self.path.with_suffix(".log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["nsenter", f"--net={NETNS / bed.hub}", "tcpdump", "-i", "br0",
                 "-s", "0", "-B", "65536", "--immediate-mode", "-U", "-Z",
                 "root",
                 "-w", str(self.path)],
                stdin=subprocess.DEVNULL, stderr=log, start_new_session=True,
                env={**os.environ, MARK: bed.id})
        bed.processes.append(self.process)
        wait_for(lambda: "listening on" in self.log.read_text(), 10,
                 lambda: "tcpdump listens: " + self.log.read_text())

    def stop(self):
        """Returns the bytes of the capture; none may have been lost."""
        first, *_, last = self.bed.hosts.values()
        token = f"end-of-capture-{os.urandom(8).hex()}"
        first.run(["bash", "-c",
                   f"echo {token} >/dev/udp/{last.address}/9"])
        wait_for(lambda: token.encode() in self.path.read_bytes(), 10,
                 "the last packet is in the capture")
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)
        log = self.log.read_text()
        if "0 packets dropped by kernel" not in log:
            raise BedError(f"tcpdump lost packets: {log}")
        return self.path.read_bytes()


def base():
    """Where the directories of beds are."""
    return Path(os.environ.get("GTFS_TEST_DIR") or tempfile.gettempdir())


def lock_bed(directory):
    """Holds its lock file, which says the run's mark, as long as this process
    lives. It is locked before it has its name."""
    fresh = directory / "lock.new"
    file = open(fresh, "w")
    file.write(f"{mark_children()}\n")
    file.flush()
    fcntl.flock(file, fcntl.LOCK_EX)
    fresh.rename(directory / "lock")
    return file


@contextlib.contextmanager
def netns_lock():
    """Alone, of all runs, with the mount of /run/netns. (On the directory
    above: ip locks that one itself.)"""
    fd = os.open(NETNS.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def delete_namespaces(names):
    with netns_lock():
        for name in names:
            run(["ip", "netns", "delete", name], check=False)
        if NETNS_MADE.exists() and not any(NETNS.iterdir()):
            while is_mount_point(NETNS):
                _libc.umount2(os.fsencode(NETNS), MNT_DETACH)
            NETNS_MADE.unlink()


class Bed:
    """Hosts by name, e.g. Bed("ab").hosts["a"]; close() removes it all.

    Without a hub it is a directory and a mark for processes, no more.
    """

    open_beds = set()

    def __init__(self, names="ab", avahi=True, hub=True):
        self.id = f"{RUN}-{next(_serial)}"
        self.dir = base() / self.id
        self.dir.mkdir(0o711)
        self.lock = lock_bed(self.dir)
        self.hub = f"{self.id}-hub"
        self.namespaces, self.processes, self.mounts = [], [], []
        self.hosts = {}
        Bed.open_beds.add(self)
        try:
            if hub:
                self._build(names, avahi)
        except BaseException:
            self.close()
            raise

    def _build(self, names, avahi):
        self.add_namespace(self.hub)
        self.in_hub(["ip", "link", "add", "br0", "type", "bridge",
                     "forward_delay", "0", "mcast_snooping", "0"])
        self.in_hub(["ip", "link", "set", "br0", "up"])
        for number, name in enumerate(names, 1):
            self.hosts[name] = Host(self, name, number)
        if not avahi:
            return
        for host in self.hosts.values():
            host.start_bus()
            host.start_avahi()
        for host in self.hosts.values():
            host.wait_avahi()

    def add_namespace(self, name):
        with netns_lock():
            if not is_mount_point(NETNS):
                NETNS_MADE.touch()  # by the next line
            run(["ip", "netns", "add", name])
        self.namespaces.append(name)

    def in_hub(self, command):
        """nsenter, because ip -n and ip netns exec fail in a chroot."""
        run(["nsenter", f"--net={NETNS / self.hub}", *command])

    def capture(self):
        return Capture(self)

    def running(self):
        """What it started and what runs in its networks; with the last bed,
        everything that the run has started and orphaned."""
        if Bed.open_beds <= {self}:
            return marked(mark_children())
        found = [process.pid for process in self.processes
                 if process.poll() is None]
        for name in self.namespaces:
            found += marked(mark_children(), NETNS / name)
        return found

    def close(self):
        """Ends and removes everything, whatever state it is in."""
        kill_all(self.running)
        for process in self.processes:
            process.wait()
        unmount_beneath(self.dir)
        if self.namespaces:
            delete_namespaces(self.namespaces)
            self.namespaces.clear()
        if not mounts_beneath(self.dir):
            shutil.rmtree(self.dir, ignore_errors=True)
        self.lock.close()
        Bed.open_beds.discard(self)

    @classmethod
    def close_all(cls):
        for bed in list(cls.open_beds):
            bed.close()


def close_all_on_sigterm():
    """SIGTERM ends this process as ^C does, and atexit removes the beds. (Not
    in another thread, where execnet now and then runs a worker: who started
    that one removes its beds.)"""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


atexit.register(Bed.close_all)


def leftovers():
    """What beds of this process have left behind: ideally nothing."""
    left = [f"mount {point}" for point, _ in mounts_beneath("/")
            if f"/{RUN}-" in point]
    left += [f"directory {path}" for path in base().glob(f"{RUN}-*")]
    if NETNS.is_dir():
        left += [f"namespace {path}" for path in NETNS.glob(f"{RUN}-*")]
    return left + [f"process {pid}" for pid in marked(mark_children())]


def remove_stale():
    """Removes the beds of test runs that were killed before they could: those
    whose lock has been let go. One without a lock is being made."""
    for path in base().glob("gtfs-*/lock"):
        with contextlib.suppress(OSError), open(path) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mark = int(lock.read())
            kill_all(functools.partial(marked, mark))
            unmount_beneath(path.parent)
            names = [entry.name for entry in
                     NETNS.glob(f"{path.parent.name}-*")]
            if names:
                delete_namespaces(names)
            if not mounts_beneath(path.parent):
                shutil.rmtree(path.parent, ignore_errors=True)


def why_not():
    """Why no bed can be made here, or None if one can."""
    if os.geteuid():
        return "test machines need root"
    probe = run(["unshare", "--net", "ip", "link", "add", "v0", "type",
                 "veth", "peer", "name", "v1"], check=False)
    if probe.returncode:
        return f"network namespaces are not permitted: {probe.stderr.strip()}"
    return None
