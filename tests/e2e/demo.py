"""The demonstration: two machines that meet, one file and one directory.

usage: demo.py GTFS

Run by tests/demo, which builds GTFS first.
"""

import os
import shlex
import sys
import time
from pathlib import Path

import netbed
from daemon import Local, Mount
from material import MIB, make_tree, random_file, sha256
from netbed import wait_for

SIZE = 256 * MIB
PORTS = {"desk": 47101, "laptop": 47102}


def say(text=""):
    print(text, flush=True)


def step(text):
    say(f"\n# {text}")


def show(mount, command, *args):
    """Prints a command as a person would have typed it there, and runs it."""
    words = command.replace("~/gt", str(mount.path))
    said = [command] + [shlex.quote(str(arg)) for arg in args]
    say(f"{mount.name}$ {' '.join(said)}")
    started = time.monotonic()
    done = mount.sh(f'{words} "$@"', *args, cwd=mount.paths.top)
    took = time.monotonic() - started
    for line in (done.stdout + done.stderr).splitlines():
        say(f"    {line}")
    return took


def start_machines(why):
    """(bed, desk, laptop): in namespaces, or both on this host."""
    if not why:
        bed = netbed.Bed(["desk", "laptop"])
        step("two machines, each with a network, a D-Bus and an avahi-daemon")
        for host in bed.hosts.values():
            say(f"{host.name}: {host.address}, network namespace "
                f"{host.netns}")
        hosts, options = bed.hosts, {"desk": (), "laptop": ()}
    else:
        say(f"No two machines can be made here: {why}.")
        say("Instead: two mounts on this host, told about each other by "
            "--peer, over the loopback.")
        bed = netbed.Bed("", avahi=False, hub=False)
        hosts = {name: Local(bed, name) for name in PORTS}
        options = {name: ("--discovery", "off",
                          "--listen", f"127.0.0.1:{PORTS[name]}",
                          "--peer", f"{other}=127.0.0.1:{PORTS[other]}")
                   for name, other in (("desk", "laptop"),
                                       ("laptop", "desk"))}
    step("gtfs on both")
    mounts = []
    for name in "desk", "laptop":
        say(f"{name}$ " + " ".join(("gtfs",) + options[name] + ("~/gt",)))
        mounts.append(Mount(hosts[name], *options[name], accept=None))
    return bed, *mounts


def gtfs(mount, *words):
    """The command, as a person would have typed it there."""
    say(f"{mount.name}$ gtfs {' '.join(words)}")
    for line in mount.command(*words).stdout.splitlines():
        say(f"    {line}")


def introduce(desk, laptop):
    """The first copy waits for a person; no later one does."""
    step("they have never met: the first copy waits until its owner says yes")
    (desk.paths.top / "hello.txt").write_text("hello\n")
    say("desk$ cp hello.txt ~/gt/peers/laptop/ &")
    copy = desk.popen("cp", desk.paths.top / "hello.txt", desk.to("laptop"))
    requests = laptop.path / ".gtfs" / "requests"
    wait_for(lambda: os.listdir(requests), 20, "the question")
    gtfs(laptop, "requests")
    gtfs(desk, "why", "laptop")
    assert not laptop.arrived(), "it has arrived before its owner said yes"
    gtfs(laptop, "accept", "desk")
    assert copy.wait(20) == 0
    say("cp has ended with status 0")
    show(laptop, "cat ~/gt/inbox/hello.txt")
    step("the words that both screens must show: nobody is in between")
    gtfs(desk, "verify", "laptop")
    gtfs(laptop, "verify", "desk", "--yes")


def demonstrate(desk, laptop, typed):
    started = time.monotonic()
    desk.wait_peer("laptop", 30)
    laptop.wait_peer("desk", 30)
    say(f"each sees the other after {time.monotonic() - started:.1f} s, "
        f"with {typed} typed")
    show(desk, "ls ~/gt/peers/")
    introduce(desk, laptop)

    step(f"a file of {SIZE // MIB} MiB")
    source = random_file(desk.paths.top / "holiday.mov", SIZE)
    took = show(desk, "cp holiday.mov ~/gt/peers/laptop/")
    say(f"{took:.2f} s, {SIZE / took / 1e6:.0f} MB/s: encrypted, on the "
        "laptop's disk when cp returned")
    show(laptop, "ls -l ~/gt/inbox/")
    hashes = sha256(source), sha256(laptop.backing / source.name)
    say(f"sha256 sent     {hashes[0]}")
    say(f"sha256 received {hashes[1]}")
    assert hashes[0] == hashes[1], "the hashes differ"

    step("a directory of 200 files, as it is")
    tree = make_tree(desk.paths.top / "project", 200)
    took = show(desk, "cp -a project ~/gt/peers/laptop/")
    say(f"{took:.2f} s")
    show(laptop, "ls ~/gt/inbox/")
    desk.sh('diff -r "$1" "$2"', tree, laptop.backing / "project")
    say("diff -r finds no difference")

    step("memory")
    for mount in desk, laptop:
        say(f"gtfs on {mount.name}: {mount.status_kb('VmRSS') / 1000:.1f} MB "
            f"resident, {mount.vm_hwm() / 1000:.1f} MB at most")

    step("the end")
    for mount in desk, laptop:
        say(f"{mount.name}$ gtfs stop")
        mount.stop()


def main():
    os.environ["GTFS_BIN"] = str(Path(sys.argv[1]).resolve())
    netbed.close_all_on_sigterm()
    why = netbed.why_not()
    if not why:
        netbed.remove_stale()
    bed, desk, laptop = start_machines(why)
    try:
        demonstrate(desk, laptop, "two addresses" if why else "nothing")
    except BaseException:
        for mount in desk, laptop:
            print(f"--- log of {mount.name}\n{mount.log_text()}",
                  file=sys.stderr)
        raise
    finally:
        bed.close()
    left = netbed.leftovers()
    assert not left, left
    say("both exited with status 0; nothing is mounted or running any more")


main()
