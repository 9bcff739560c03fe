"""What the end-to-end tests share: machines, pairs of mounts, a watchdog.

With xdist's -n they run beside each other, a bed for every worker; what is
marked `alone` measures, and has the machine for itself in a run without -n.

A daemon that does not exit 0, or logs an error that the test did not expect,
fails the test; whatever a bed leaves behind fails the run.

Environment: GTFS_BIN (the binary), GTFS_WRAP (a command to run it under),
GTFS_TEST_SCALE (a factor for deadlines), GTFS_SANITIZER (its name; figures are
then printed, not asserted), GTFS_TEST_COUNTS (a file for the totals, to which a
line is added).
"""

import faulthandler
import itertools
import os
import shutil
import sys
import threading
from pathlib import Path

import pytest

import netbed
from daemon import Local, Mount, binary
from hostile_target import free_port

TESTS_AT_ONCE = 8  # that a worker takes: neighbours, which share a pair

_serial = itertools.count(1)


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true",
                     help="large files: minutes instead of seconds")


def pytest_configure(config):
    netbed.close_all_on_sigterm()
    program = Path(binary()[-1])
    if not os.access(program, os.X_OK):
        raise pytest.UsageError(f"no {program}: build first, or set GTFS_BIN")
    if not os.geteuid() and not hasattr(config, "workerinput"):
        netbed.remove_stale()


def pytest_unconfigure(config):
    """A worker that crashed has left its bed."""
    if not os.geteuid() and not hasattr(config, "workerinput"):
        netbed.remove_stale()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScopeScheduling

    class Neighbours(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            if not hasattr(self, "scopes"):
                self.scopes, files = {}, {}
                for test in self.collection:
                    file = test.split("::")[0]
                    files[file] = number = files.get(file, -1) + 1
                    self.scopes[test] = f"{file} {number // TESTS_AT_ONCE}"
            return self.scopes[nodeid]

        def remove_node(self, node):
            """What crashed its worker has failed, and is not run again."""
            work = self.assigned_work[node]
            crashed = next((test for unit in work.values()
                            for test, done in unit.items() if not done), None)
            for scope, unit in list(work.items()):
                if crashed in unit:
                    unit[crashed] = True
                if all(unit.values()):
                    del work[scope]
            super().remove_node(node)
            return crashed
    return Neighbours(config, log)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when == "call":
        item.call_failed = report.failed


def pytest_terminal_summary(terminalreporter, exitstatus):
    if hasattr(terminalreporter.config, "workerinput"):
        return
    stats = terminalreporter.stats
    for outcome in "passed", "failed":
        for report in stats.get(outcome, ()):
            for name, text in report.user_properties:
                if name == "figure":
                    terminalreporter.write_line(f"figure: {text}")
    counts = os.environ.get("GTFS_TEST_COUNTS")
    if not counts:
        return

    def number(*outcomes):
        return sum(len(stats.get(outcome, ())) for outcome in outcomes)
    failed = number("failed", "error", "xpassed")
    selected_none = exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED
    if exitstatus and not failed and not selected_none:
        failed = 1  # interrupted, or not collected
    with open(counts, "a") as file:
        file.write(f"{number('passed')} {failed} "
                   f"{number('skipped', 'xfailed')}\n")


@pytest.fixture
def figure(request):
    """figure("text"): a measured value, printed at the end of the run."""
    def figure(text):
        request.node.user_properties.append(("figure", text))
    return figure


@pytest.fixture
def large(request):
    return request.config.getoption("--long")


@pytest.fixture(scope="session")
def nothing_left():
    """What all beds have left behind, asked when the last one has closed."""
    yield
    left = netbed.leftovers()
    assert not left, left


@pytest.fixture(scope="session")
def bed(nothing_left):
    """Two machines with real discovery, for all tests of the run."""
    why = netbed.why_not()
    if why:
        pytest.skip(why)
    bed = netbed.Bed("ab")
    yield bed
    bed.close()


@pytest.fixture(scope="session")
def keep_local(nothing_left):
    """A directory and a marker for mounts that need no network."""
    if os.geteuid():
        pytest.skip("the tests of the mount need root")
    bed = netbed.Bed("", avahi=False, hub=False)
    yield Local(bed)
    bed.close()


class Pair:
    """gtfs on a and on b, each seeing the other."""

    def __init__(self, bed, options_a=(), options_b=(), accept_a="lan",
                 accept_b="lan"):
        self.bed = bed
        self.options_a = list(options_a)
        self.a = Mount(bed.hosts["a"], *options_a, accept=accept_a)
        self.b = Mount(bed.hosts["b"], *options_b, accept=accept_b)
        try:
            self.a.wait_peer("b")
            self.b.wait_peer("a")
        except BaseException:
            show_logs(self.mounts())
            self.kill()
            raise

    @property
    def ab(self):
        return self.a.to("b")

    @property
    def ba(self):
        return self.b.to("a")

    def mounts(self):
        return [self.a, self.b]

    def usable(self):
        return all(mount.running() for mount in self.mounts())

    def kill(self):
        for mount in self.mounts():
            end(mount)

    def stop(self):
        try:
            for mount in self.mounts():
                if mount.running():
                    mount.stop()
        finally:
            self.kill()


def empty(mount):
    """Its inbox, from behind."""
    for name in mount.arrived():
        path = mount.backing / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def end(mount):
    """Whatever state it is in: gone."""
    if mount.running():
        mount.kill()
    netbed.unmount_beneath(mount.paths.top)


class PairKeeper:
    """One pair for the tests that leave it as it was."""

    def __init__(self, bed):
        self.bed, self.pair = bed, None

    def take(self):
        if self.pair and not self.pair.usable():
            self.drop()
        if not self.pair:
            self.pair = Pair(self.bed)
        return self.pair

    def drop(self):
        if self.pair:
            self.pair.kill()
            self.pair = None

    def stop(self):
        """Ends it well, so that a test's own mounts are alone."""
        if self.pair:
            pair, self.pair = self.pair, None
            pair.stop()


@pytest.fixture(scope="session")
def pair_keeper(bed):
    keeper = PairKeeper(bed)
    yield keeper
    keeper.stop()


@pytest.fixture
def pair(pair_keeper, request):
    """A running pair, shared with other tests, its inboxes empty."""
    pair = pair_keeper.take()
    yield pair
    try:
        for mount in pair.mounts():
            mount.assert_running()
            mount.assert_quiet()
        for mount in pair.mounts():
            empty(mount)
    except BaseException:
        show_logs(pair.mounts())
        pair_keeper.drop()
        raise
    if getattr(request.node, "call_failed", True):
        show_logs(pair.mounts())
        pair_keeper.drop()


def show_logs(mounts):
    for mount in mounts:
        print(f"--- log of {mount.name}\n{mount.log_text()}", file=sys.stderr)


@pytest.fixture
def start(bed, pair_keeper, request):
    """start("a", *options, **keywords): a Mount of this test's own; those
    that still run at its end are stopped, and must stop well."""
    mounts = []

    def start(host, *options, **keywords):
        if isinstance(host, str):
            pair_keeper.stop()
            host = bed.hosts[host]
        mount = Mount(host, *options, **keywords)
        mounts.append(mount)
        return mount
    yield start
    failed = getattr(request.node, "call_failed", True)
    try:
        if failed:
            show_logs(mounts)
        for mount in mounts:
            if not failed and mount.running():
                mount.stop()
            mount.assert_quiet()
    finally:
        for mount in mounts:
            end(mount)


@pytest.fixture
def fresh_pair(start, bed):
    """fresh_pair(options_a, options_b, ...): two mounts of this test's own."""
    def fresh(options_a=(), options_b=(), accept_a="lan", accept_b="lan"):
        a = start("a", *options_a, accept=accept_a)
        b = start("b", *options_b, accept=accept_b)
        a.wait_peer("b")
        b.wait_peer("a")
        return a, b
    return fresh


class MountKeeper:
    """One mount for the tests that leave it as it was; another one where a
    test has ended it."""

    def __init__(self, begin):
        self.begin, self.mount = begin, None

    def take(self):
        if self.mount and not self.mount.running():
            end(self.mount)
            self.mount = None
        if not self.mount:
            self.mount = self.begin()
        return self.mount

    def stop(self):
        if not self.mount:
            return
        try:
            if self.mount.running():
                self.mount.stop()
        finally:
            end(self.mount)


@pytest.fixture(scope="session")
def lone_keeper(keep_local):
    keeper = MountKeeper(lambda: Mount(keep_local, "--discovery", "off"))
    yield keeper
    keeper.stop()


@pytest.fixture
def lone(lone_keeper):
    """One mount without a network; its inbox is emptied after each test."""
    mount = lone_keeper.take()
    yield mount
    empty(mount)
    mount.assert_running()
    mount.assert_quiet()


@pytest.fixture
def inbox(lone):
    """inbox/ as the mount shows it."""
    return lone.inbox


@pytest.fixture
def backing(lone):
    """The directory behind inbox/."""
    return lone.backing


@pytest.fixture
def scratch(bed):
    """A directory for files to send, gone after the test."""
    path = bed.dir / f"scratch-{next(_serial)}"
    path.mkdir()
    yield path
    shutil.rmtree(path)


@pytest.fixture
def slow_network(bed):
    """slow_network("b", 10): at most 10 MB/s to that host, in this test."""
    hosts = []

    def slow(name, megabytes):
        bed.hosts[name].slow(megabytes)
        hosts.append(name)

    def fast():
        while hosts:
            bed.hosts[hosts.pop()].fast()
    slow.end = fast
    yield slow
    fast()


@pytest.fixture(autouse=True)
def watchdog(request):
    """Ends a test that hangs: without their daemons, its calls return."""
    marker = request.node.get_closest_marker("limit")
    limit = (marker.args[0] if marker else 60) * netbed.SCALE
    fired = []

    def bark():
        fired.append(True)
        print(f"\nover {limit:g} s: {request.node.nodeid}", file=sys.stderr)
        faulthandler.dump_traceback(all_threads=True, file=sys.__stderr__)
        for bed in list(netbed.Bed.open_beds):
            for mount in bed.mounts:
                if mount.running():
                    mount.process.kill()
    timer = threading.Timer(limit, bark)
    timer.start()
    yield
    timer.cancel()
    assert not fired, f"took more than {limit:g} s"


@pytest.fixture(scope="session")
def target_keeper(keep_local):
    keeper = MountKeeper(lambda: Mount(
        keep_local, "--discovery", "off", "--listen",
        f"127.0.0.1:{free_port()}", name="target"))
    yield keeper
    keeper.stop()


@pytest.fixture
def target(target_keeper):
    """The gtfs under attack: unharmed at the end, and its spool empty."""
    mount = target_keeper.take()
    mount.port = int(mount.self_info()["port"])
    yield mount
    mount.assert_running()
    mount.wait_spool_empty()
    for name in mount.arrived():
        path = mount.backing / name
        path.rmdir() if path.is_dir() else path.unlink()
    assert sorted(os.listdir(mount.paths.top)) == sorted(
        ["inbox", "mnt", "state", mount.log.name])
    mount.assert_quiet()
