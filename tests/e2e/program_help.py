"""Runs a program twice, in an ordinary directory and in a peer's folder, and
compares what is there with what the peer has got."""

import fnmatch
import hashlib
import http.server
import os
import random
import re
import shutil
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

from material import Watcher
from netbed import MARK, SCALE, wait_for

HERE = Path(__file__).resolve().parent
MIB = 1 << 20
SPOOL = ".gtfs-spool"
OWN_XATTR = "user.gtfs."

# What programs name their files while they write them: each a file of work/.
IN_USE = (".doc.AbC123", "a.tmp", "b~", "c.part", "d.partial~", "e.crdownload",
          ".goutputstream-AB12CD", "sedAbCdEf", "ziAbCdEf", "4913",
          "db-journal", ".~lock.odt#", ".#emacs", ".vim.swp")

MATERIAL = r"""
set -e
seq 40000 | shuf --random-source=g > f
chmod 640 f
seq 30000 > h
cp f x; setfattr -n user.note -v 'a note' x; setfattr -n user.bin -v 0x00ff x
setfacl -m u:1234:r x
truncate -s 8M s; dd if=g of=s conv=notrunc bs=64k count=1 seek=64 status=none
mkdir -p t/sub/deep t/empty; seq 9 > t/a; seq 99 > t/sub/b; : > t/sub/deep/c
printf '#!/bin/sh\n' > t/run; chmod 751 t/run; chmod 700 t/empty
ln -s a t/link; ln -s ../a t/sub/up; ln -s sub t/dir; ln -s nowhere t/dangling
mkdir hard; seq 5 > hard/a; ln hard/a hard/b
mkdir out; seq 6 > out/a; ln -s /etc/hostname out/absolute
ln -s ../../elsewhere out/above
find . -exec touch -h -d '2004-05-06 07:08:09.123456789 UTC' {} +
printf 'int main(void) { return 0; }\n' > main.c; gcc -c main.c
tar cf t.tar t; tar cf hard.tar hard/a hard/b; tar cf out.tar out
zip -q -r t.zip t h; zip -q -r -y links.zip t
sed s/7/seven/ h > h2; diff h h2 > h.diff || true
git init -q repo; cd repo; git config user.email ''; git config user.name n
seq 50 > file; git add file; git commit -q -m one; cd ..
find . -path ./repo -prune -o -newer f -exec touch -h -r f {} +
"""


def make_material(top):
    """What the programs are given; the same in every run."""
    top.mkdir()
    rng = random.Random(3)
    (top / "g").write_bytes(rng.randbytes(MIB + 17))
    (top / "big").write_bytes(rng.randbytes(3 * MIB))
    (top / "work").mkdir()
    for number, name in enumerate(IN_USE):
        (top / "work" / name).write_bytes(rng.randbytes(1000 + number))
    subprocess.run(["bash", "-c", MATERIAL], cwd=top, check=True,
                   env={**os.environ, "HOME": str(top), "LC_ALL": "C.UTF-8"},
                   stdin=subprocess.DEVNULL)
    return top


class Entry(NamedTuple):
    """A file, directory or link as it is found."""
    kind: str
    content: object  # a hash, a link's target, or None
    mode: int
    mtime: object    # None: not set by anybody
    xattrs: dict
    size: int


def xattrs_of(path):
    return {name: os.getxattr(path, name) for name in os.listxattr(path)
            if name.startswith("user.") and not name.startswith(OWN_XATTR)}


def entry_of(path):
    status = os.lstat(path)
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return Entry("l", os.readlink(path), 0, None, {}, -1)
    if stat.S_ISDIR(status.st_mode):
        return Entry("d", None, mode, status.st_mtime_ns, xattrs_of(path), -1)
    content = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return Entry("f", content, mode, status.st_mtime_ns, xattrs_of(path),
                 status.st_size)


def paths_of(top):
    """The relative paths of all that is in a directory, the spool excepted."""
    found = []
    for above, names, files in os.walk(top):
        if SPOOL in names and Path(above) == Path(top):
            names.remove(SPOOL)
        found += [os.path.relpath(os.path.join(above, name), top)
                  for name in names + files]
    return sorted(found)


def snapshot(top):
    """{path: Entry}; what is replaced or removed meanwhile is looked at
    again."""
    while True:
        try:
            return {path: entry_of(os.path.join(top, path))
                    for path in paths_of(top)}
        except FileNotFoundError:
            continue


def expected_of(top, began):
    """What a peer should have of what an ordinary directory has. A time that
    is not older than the run was set by nobody."""
    return {path: entry._replace(
        mode=entry.mode & 0o777 | (0o600 if entry.kind == "f" else 0),
        mtime=entry.mtime if entry.mtime and entry.mtime < began else None)
        for path, entry in snapshot(top).items()}


def differences(expected, found):
    """How a tree differs from what was expected, a line each."""
    lines = [f"{path}: not there" for path in expected if path not in found]
    lines += [f"{path}: should not be there" for path in found
              if path not in expected]
    for path in sorted(set(expected) & set(found)):
        want, have = expected[path], found[path]
        if want is None:
            continue
        have = have._replace(mtime=have.mtime if want.mtime else None)
        if want.kind == "l":
            have = have._replace(mode=0)
        lines += [f"{path}: {field} is {getattr(have, field)!r}, not "
                  f"{getattr(want, field)!r}" for field in Entry._fields
                  if getattr(have, field) != getattr(want, field)]
    return lines


def contents(tree):
    return {path: entry and entry.content for path, entry in tree.items()
            if not entry or entry.kind == "f"}


class TreeWatcher(Watcher):
    """As Watcher, of all that is beneath a directory, by paths."""

    def __enter__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(HERE / "watcher.py"),
             str(self.directory), "--tree"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
            start_new_session=True, env={**os.environ, MARK: self.bed.id})
        self.bed.processes.append(self.process)
        assert self.process.stdout.readline() == "watching\n"
        return self

    def wrong(self, expected, allowed):
        """What was seen and is neither expected nor allowed: a row's `seen`
        has a pattern and the sizes, or None for any."""
        lines = []
        for path, sizes in self.sizes.items():
            may = {expected[path].size} if expected.get(path) else set()
            any_size = path in expected and expected[path] is None
            for pattern, also in allowed.items():
                if fnmatch.fnmatchcase(path, pattern):
                    any_size = any_size or also is None
                    may.update(also or ())
            if not any_size and (not may or not may.issuperset(sizes)):
                lines.append(f"{path!r} was seen, sizes {sizes}, "
                             f"allowed {sorted(may)}")
        return lines


class Web:
    """A server on this machine: /f is a file of the material, /cut/f ends in
    its middle, /stall/f goes no further."""

    def __init__(self, directory):
        self.directory, self.ended = directory, threading.Event()
        web = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args):
                super().__init__(*args, directory=str(web.directory))

            def log_message(self, *_):
                pass

            def copyfile(self, source, outputfile):
                if self.how == "whole":
                    return super().copyfile(source, outputfile)
                outputfile.write(source.read(
                    300_000 if self.how == "cut" else 2 * MIB))
                outputfile.flush()
                if self.how == "stall":
                    web.ended.wait()
                self.connection.shutdown(socket.SHUT_RDWR)

            def do_GET(self):
                self.how = "whole"
                for how in "cut", "stall":
                    if self.path.startswith(f"/{how}/"):
                        self.how, self.path = how, self.path[len(how) + 1:]
                try:
                    super().do_GET()
                except OSError:
                    pass  # the program has gone
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0),
                                                      Handler)
        self.server.handle_error = lambda *_: None
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self):
        self.ended.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Workshop:
    """Where the programs are run."""

    def __init__(self, bed, web, material, scratch):
        self.bed, self.web = bed, web
        self.material, self.scratch = material, scratch
        self.runs = 0

    def clear(self, folder):
        """Nothing that another test sent is listed any more."""
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)

    def prepare(self, to):
        """A copy of the material; the environment of a program that writes
        to that directory."""
        self.runs += 1
        home = self.scratch / f"home-{self.runs}"
        work = self.scratch / f"run-{self.runs}"
        home.mkdir()
        subprocess.run(["cp", "-a", self.material, work], check=True)
        return work, {
            **os.environ, MARK: self.bed.id, "TO": str(to),
            "PY": "/usr/bin/python3", "HERE": str(HERE), "HOME": str(home),
            "URL": self.web.url, "LC_ALL": "C.UTF-8", "TZ": "UTC",
            "GIO_USE_VFS": "local", "GIT_CONFIG_NOSYSTEM": "1",
            "PYTHONDONTWRITEBYTECODE": "1", "XDG_DATA_HOME": str(home)}

    def run(self, script, work, environ):
        return subprocess.run(
            ["bash", "-c", script], cwd=work, env=environ, text=True,
            stdin=subprocess.DEVNULL, capture_output=True, errors="replace",
            timeout=40 * SCALE)

    def script_succeeds(self, script, work, environ):
        done = self.run(script, work, environ)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done

    def expect(self, row):
        """What the peer should have in the end: what an ordinary directory
        has, but for what the row says."""
        ordinary = self.scratch / f"ordinary-{self.runs}"
        ordinary.mkdir()
        began = time.time_ns() - 2 * 10**9
        work, environ = self.prepare(ordinary)
        self.script_succeeds(row.before, work, environ)
        if not row.keeps:
            done = self.run(row.command, work, environ)
            wanted = row.elsewhere if row.elsewhere is not None else (
                row.status or 0)
            assert done.returncode == wanted, (
                f"in an ordinary directory: exit status {done.returncode}, "
                f"not {wanted}\n{done.stdout}{done.stderr}")
        expected = expected_of(ordinary, began)
        for pattern in row.lacks:
            for path in fnmatch.filter(expected, pattern):
                del expected[path]
        for path, content in row.adds.items():
            expected[path] = content if content is None else Entry(
                "f", hashlib.sha256(content).hexdigest(), 0o644, None, {},
                len(content))
        return expected, ordinary

    def check(self, row, pair):
        """Runs a row of the table and asserts all that it says."""
        expected, ordinary = self.expect(row)
        folder, backing = pair.ab, pair.b.backing
        self.clear(folder)
        work, environ = self.prepare(folder)
        with TreeWatcher(self.bed, backing) as seen:
            self.script_succeeds(row.before, work, environ)
            done = self.run(row.command, work, environ)
            at_once = snapshot(backing)

            def settled():
                found = snapshot(backing)
                return (not pair.b.spooled() and
                        not differences(expected, found))
            try:
                wait_for(settled, 5, "")
            except TimeoutError:
                pass
        wrong = differences(expected, snapshot(backing))
        if row.status is None:
            if done.returncode == 0:
                wrong.append("exit status 0, but it should fail")
        elif done.returncode != row.status:
            wrong.append(f"exit status {done.returncode}, not {row.status}")
        if not re.search(row.stderr or r"\A\Z", done.stderr):
            wrong.append(f"stderr is not {row.stderr or 'empty'!r}")
        if not row.late and not wrong:
            wrong += ["when the program ended: " + line for line in
                      differences(expected_contents(expected), at_once)
                      if "not there" in line or "content" in line]
        wrong += seen.wrong(expected, row.seen)
        wrong += [f"in the spool: {path}" for path in pair.b.spooled()]
        wrong += self.listing(row, expected, folder)
        if row.sparse:
            wrong += too_large(row.sparse, ordinary, backing)
        assert not wrong, "\n".join([*wrong, "stderr: " + done.stderr[:2000]])

    @staticmethod
    def listing(row, expected, folder):
        """The sender's view of what it has sent: the same."""
        listed = {path: os.lstat(os.path.join(folder, path))
                  for path in paths_of(folder)}
        forgotten = [path for pattern in row.forgets
                     for path in fnmatch.filter(expected, pattern)]
        wanted = set(expected) - set(forgotten)
        lines = [f"the sender does not list {path}"
                 for path in wanted - set(listed)]
        lines += [f"the sender lists {path}" for path in set(listed) - wanted]
        for path in wanted & set(listed):
            want, have = expected[path], listed[path]
            if want and want.kind == "f" and have.st_size != want.size:
                lines.append(f"the sender lists {path} with {have.st_size} "
                             f"bytes, not {want.size}")
            if want and want.mtime and want.mtime != have.st_mtime_ns:
                lines.append(f"the sender lists {path} with the time "
                             f"{have.st_mtime_ns}, not {want.mtime}")
        return lines


def expected_contents(expected):
    """Only the files: directories, links and times may come a little later."""
    return {path: entry for path, entry in expected.items()
            if not entry or entry.kind == "f"}


def too_large(names, ordinary, backing):
    """Sparse files that are not sparse any more."""
    return [f"{name}: {there} blocks, not {here}" for name, here, there in
            ((name, (ordinary / name).stat().st_blocks,
              (backing / name).stat().st_blocks) for name in names)
            if there > here + 128]
