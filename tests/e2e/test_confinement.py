"""Confinement: what peers reach can do little here, all else works as ever.

Ordinary users on both sides, because root could do what they cannot.
"""

import base64
import os
import re
import signal
import stat
from pathlib import Path

import pytest

from daemon import Mount, binary
from material import MIB, random_file
from netbed import wait_for

A, B = 65534, 1  # uids, which passwd(5) has for fusermount3
PYTHON = "/usr/bin/python3"  # one that they may run
CONFINED = {"in", "inbox", "listen", "link", "pair", "probe", "discovery",
            "keeper"}
BRIEF = {"pair"}  # gone when what it does is done
FREE = {"fuse", "view-slow", "unshown", "deadline", "watch", "usage"}
SANITIZED = bool(os.environ.get("GTFS_SANITIZER"))


@pytest.fixture
def users(start):
    """users(): gtfs on a and on b, of one ordinary user each."""
    mode = stat.S_IMODE(os.stat("/dev/fuse").st_mode)
    os.chmod("/dev/fuse", 0o666)

    def both(*options):
        a = start("a", *options, user=A)
        b = start("b", *options, user=B)
        for mount, name in (a, "b"), (b, "a"):
            wait_for(lambda: mount.sh('[ -d "$1" ]', mount.to(name),
                                      check=False).returncode == 0, 15,
                     lambda: f"{mount.name} sees {name}: {mount.log_text()}")
        return a, b
    yield both
    os.chmod("/dev/fuse", mode)


@pytest.fixture
def work(scratch):
    """A directory of a's user."""
    os.chown(scratch, A, A)
    return scratch


def told(mount):
    """confinement: in .gtfs/self."""
    text = mount.sh('cat "$1"/.gtfs/self', mount.path).stdout
    return re.search(r"^confinement: (.*)$", text, re.M).group(1)


def status(path):
    """NoNewPrivs and Seccomp of a process or thread."""
    text = Path(path, "status").read_text()
    return [int(re.search(rf"^{field}:\s+(\d+)$", text, re.M).group(1))
            for field in ("NoNewPrivs", "Seccomp")]


def threads(mount):
    """(name, what status says) of every thread but the main one."""
    found = []
    for task in os.scandir(f"/proc/{mount.pid}/task"):
        if int(task.name) == mount.pid:
            continue
        try:
            name = Path(task, "comm").read_text().rstrip("\n")
            found.append((name, status(task)))
        except OSError:
            pass  # it has ended
    return found


def helper(mount):
    children = Path(f"/proc/{mount.pid}/task/{mount.pid}/children")
    pid, = children.read_text().split()
    assert Path(f"/proc/{pid}/comm").read_text() == "gtfs-helper\n"
    return int(pid)


def shows(mount, name, content=None):
    path = mount.backing / name
    wait_for(lambda: path.exists() and
             (content is None or path.read_bytes() == content), 10,
             lambda: f"{name} shows: {mount.arrived()}")


# Run by a's user in a's folder for b, $1 is a directory of that user's; then
# what b's inbox has: names, and the content or None.
TABLE = [
    ("cp", 'cp "$1/f" cp', {"cp": b"content\n"}),
    ("mv", 'cp "$1/f" "$1/g"; mv "$1/g" mv; [ ! -e "$1/g" ]',
     {"mv": b"content\n"}),
    ("rsync", 'mkdir -p "$1/t/u"; cp "$1/f" "$1/t/u/v"; '
     'rsync -a "$1/t" . ', {"t/u/v": b"content\n"}),
    ("cp -a", 'ln -s u/v "$1/t/l"; setfattr -n user.k -v w "$1/t/u/v"; '
     'cp -a "$1/t" a', {"a/u/v": b"content\n", "a/l": b"content\n"}),
    ("tar", 'tar -C "$1" -c t | tar -x --transform s/^t/tar/ ',
     {"tar/u/v": b"content\n"}),
    ("cat; cat", '(cat "$1/f"; cat "$1/f") > twice',
     {"twice": b"content\n" * 2}),
    ("append", 'echo one > app; echo two >> app', {"app": b"one\ntwo\n"}),
    ("overwrite", 'echo one > o; echo two > o', {"o": b"two\n"}),
    ("rename", 'echo one > r1; mv r1 r2', {"r2": b"one\n"}),
    ("rename between directories", 'mkdir d1 d2; echo one > d1/x; '
     'mv d1/x d2/y; rmdir d1', {"d2/y": b"one\n"}),
    ("sed -i", 'sed s/content/other/ "$1/f" > s.part; mv s.part s',
     {"s": b"other\n"}),
    ("a name in use", 'echo one > h.tmp', {"h.tmp": b"one\n"}),
    ("chmod, touch", 'echo one > m; chmod 640 m; touch -d @1000000000 m',
     {"m": b"one\n"}),
    ("truncate", 'echo one > c; truncate -s 2 c', {"c": b"on"}),
    ("fallocate", 'fallocate -l 100000 z', {"z": bytes(100000)}),
]

KILLED = """
import os, sys
file = open(sys.argv[1], "wb", 0)
file.write(b"x" * 100000)
os.%s
"""


@pytest.mark.quick
def test_the_table_holds_for_ordinary_users(users, work):
    a, b = users()
    assert told(a).startswith("landlock ")
    (work / "f").write_bytes(b"content\n")
    os.chown(work / "f", A, A)
    for what, script, arrive in TABLE:
        done = a.sh(f'set -e; cd "$2"; {script}', work, a.to("b"),
                    check=False)
        assert done.returncode == 0, (what, done.stderr)
        for name, content in arrive.items():
            shows(b, name, content)
            assert (b.backing / name).stat().st_uid == B
    assert os.getxattr(b.backing / "a/u/v", "user.k") == b"w"
    assert os.readlink(b.backing / "a/l") == "u/v"
    assert stat.S_IMODE((b.backing / "m").stat().st_mode) == 0o640
    assert (b.backing / "m").stat().st_mtime == 1000000000
    for gone in "r1", "s.part":
        assert not (b.backing / gone).exists()
    # b's own changes of what has arrived.
    b.sh('cd "$1"; sed -i s/content/edited/ cp; mv mv mv2; rm o; '
         'rm -r tar; mkdir new; mv twice new', b.inbox)
    assert (b.backing / "cp").read_bytes() == b"edited\n"
    assert (b.backing / "new/twice").exists()
    for end in a, b:
        end.stop()
        assert not end.is_mounted()
        assert not end.spooled()
    assert not {"o", "tar", "mv", "twice"} & set(b.arrived())


@pytest.mark.parametrize("end, status", [
    ("kill(os.getpid(), 9)", -signal.SIGKILL), ("_exit(3)", 3)])
def test_a_writer_that_fails_sends_nothing(users, end, status):
    """How it ended stands where only an unconfined thread can read it."""
    a, b = users()
    writer = a.popen(PYTHON, "-Ic", KILLED % end, a.to("b") / "half")
    assert writer.wait(20) == status
    b.wait_spool_empty()
    assert b.arrived() == []


def test_what_is_removed_at_once_is_withdrawn(users):
    a, b = users()
    writer = a.popen(PYTHON, "-Ic", 'import os, sys; n = sys.argv[1]; '
                     'open(n, "w").write("x"); os.unlink(n)',
                     a.to("b") / "taken")
    assert writer.wait(20) == 0
    wait_for(lambda: b.arrived() == [], 10, lambda: f"{b.arrived()}")


def test_arrivals_raise_events(users):
    a, b = users()
    watcher = b.popen("inotifywait", "-m", "-e", "moved_to,create",
                      "--format", "%f %e", b.inbox, stdout=-1, stderr=-1,
                      text=True)
    while "Watches established" not in watcher.stderr.readline():
        assert watcher.poll() is None
    a.sh('echo one > "$1/seen"; mkdir "$1/dir"', a.to("b"))
    assert watcher.stdout.readline() == "seen MOVED_TO\n"
    assert watcher.stdout.readline() == "dir CREATE,ISDIR\n"
    watcher.terminate()
    watcher.communicate(timeout=20)


def test_the_threads_of_net_are_confined_and_no_others(users, work):
    a, b = users()
    # Each thread there is: those of a transfer, a hold, a rename, an edit.
    a.sh('cd "$1"; echo one > f.part; mv f.part f; echo two > g', a.to("b"))
    b.sh('cd "$1"; echo three > h; cp f "$2"', b.inbox, b.to("a"))
    shows(a, "f")
    for mount in a, b:
        seen, main = threads(mount), status(f"/proc/{mount.pid}")
        if SANITIZED:  # ThreadSanitizer has one of its own
            seen = [one for one in seen if one[0] != "gtfs"]
        names = {name for name, _ in seen}
        assert CONFINED - BRIEF <= names <= CONFINED | FREE
        assert {"fuse", "unshown"} <= names
        filtered = main[1] if SANITIZED else 2
        for name, has in seen:
            want = [1, filtered] if name in CONFINED else main
            assert has == want, name
        assert status(f"/proc/{helper(mount)}") == main
        assert re.fullmatch(r"landlock \d+, no_new_privs"
                            + ("" if SANITIZED else ", seccomp"), told(mount))


# What nobody else may learn.


def secrets(mount):
    """The key, as it might be written somewhere."""
    line = (mount.state / "identity").read_text().splitlines()[1]
    text = line.removeprefix("secret ").encode()
    key = base64.b64decode(text, validate=True)
    assert len(key) == 32
    return [key, text, text.rstrip(b"="), key.hex().encode(),
            key.hex().upper().encode()]


def test_no_capture_log_or_process_table_has_a_secret(bed, users, work):
    capture = bed.capture()
    a, b = users("-d")
    name, line = "a-telling-name", b"What nobody else should read of it.\n"
    (work / name).write_bytes(line * 1000)
    random = random_file(work / "random", MIB)
    a.sh('cp "$1/"* "$2"; mkdir "$2/a-telling-folder"; '
         'ln -s telling "$2/a-telling-folder/telling-link"', work, a.to("b"))
    shows(b, "random", random.read_bytes())
    keys = secrets(a) + secrets(b)
    for mount in a, b:
        for pid in mount.pid, helper(mount):
            for file in "cmdline", "environ":
                text = Path(f"/proc/{pid}/{file}").read_bytes()
                assert not [key for key in keys if key in text]
        assert stat.S_IMODE((mount.state / "identity").stat().st_mode) == 0o600
        assert stat.S_IMODE(mount.state.stat().st_mode) == 0o700
        mount.stop()
        text = mount.log.read_bytes()
        assert not [key for key in keys if key in text]
        assert line.strip() not in text
    packets = capture.stop()  # its announcements and goodbyes too
    assert b"_gtfs" in packets and len(packets) > MIB
    words = keys + [b"telling", line[:16], line[16:32],
                    random.read_bytes()[4096:4112]]
    assert not [word for word in words if word in packets]


def test_a_user_cannot_read_the_memory_of_its_gtfs(users):
    a, _ = users()
    for pid in a.pid, helper(a):
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert re.search(r"^Max core file size +0 +0 ", limits, re.M)
        for file in "environ", "mem", "maps":
            done = a.sh('cat "/proc/$1/$2"', str(pid), file, check=False)
            assert done.returncode != 0 and done.stdout == ""
    assert a.status_kb("VmLck") >= 48  # locked.h, and the identity


def test_a_key_that_others_can_read_is_refused(keep_local):
    first = Mount(keep_local, "--discovery", "off")
    first.stop()
    (first.state / "identity").chmod(0o640)
    done = keep_local.run(
        binary() + ["-f", "--discovery", "off", "--inbox", first.backing,
                    "--state", first.state, first.path], check=False)
    assert done.returncode == 1 and not first.is_mounted()
    assert "identity" in done.stderr and "0600" in done.stderr
    assert done.stderr.count("\n") == 1
