"""Watches a directory at 1 kHz until SIGTERM, then says as JSON what it saw.

{"rounds": how often it looked, "sizes": {name: its size at first sight, then
each other size it had}}; what is no regular file has the size -1. Only names
directly in it, the spool excepted; with --tree also all beneath, by their
paths, and then inotify tells of the names that were there for less than a
look: those have no sizes.
"""

import ctypes
import json
import os
import signal
import struct
import sys

IN_MOVED_TO, IN_CREATE = 0x80, 0x100
IN_ONLYDIR, IN_ISDIR = 0x01000000, 0x40000000
SPOOL = ".gtfs-spool"


class Names:
    """Every name that is made in a directory or beneath it."""

    def __init__(self, top):
        self.top, self.directories = top, {}
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self.libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self.add("")

    def add(self, path):
        """False: it is watched already, or it is no directory any more."""
        wd = self.libc.inotify_add_watch(
            self.fd, os.fsencode(os.path.join(self.top, path)),
            IN_CREATE | IN_MOVED_TO | IN_ONLYDIR)
        new = wd >= 0 and self.directories.get(wd) != path
        if wd >= 0:
            self.directories[wd] = path
        return new

    def read(self):
        """The paths that were made since the last call."""
        found = []
        while True:
            try:
                events = os.read(self.fd, 65536)
            except BlockingIOError:
                return found
            while events:
                wd, mask, _, length = struct.unpack("iIII", events[:16])
                name = os.fsdecode(events[16:16 + length].rstrip(b"\0"))
                events = events[16 + length:]
                path = os.path.join(self.directories.get(wd, "?"), name)
                if not name or path.split("/")[0] == SPOOL:
                    continue
                found.append(path)
                if mask & IN_ISDIR:
                    self.add(path)


def look(top, below, sizes, names):
    """names: None, or what to tell of directories that were found."""
    for entry in os.scandir(os.path.join(top, below)):
        path = os.path.join(below, entry.name)
        if path == SPOOL:
            continue
        try:
            stat = entry.stat(follow_symlinks=False)
            if names and entry.is_dir(follow_symlinks=False):
                names.add(path)
                look(top, path, sizes, names)
        except (FileNotFoundError, NotADirectoryError):
            continue
        seen = sizes.setdefault(path, [])
        size = stat.st_size if entry.is_file(follow_symlinks=False) else -1
        if not seen or seen[-1] != size:
            seen.append(size)


def main():
    # No handler: what it locks, the loop may hold.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    top = sys.argv[1]
    names = Names(top) if "--tree" in sys.argv[2:] else None
    rounds, sizes, last = 0, {}, False
    print("watching", flush=True)
    while not last:
        last = signal.sigtimedwait({signal.SIGTERM}, 0.001) is not None
        look(top, "", sizes, names)
        for path in names.read() if names else ():
            sizes.setdefault(path, [])
        rounds += 1
    json.dump({"rounds": rounds, "sizes": sizes}, sys.stdout)


main()
