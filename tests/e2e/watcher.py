"""Watches a directory at 1 kHz until SIGTERM, then says as JSON what it saw.

Only names directly in it, the spool excepted: {"rounds": how often it looked,
"sizes": {name: its size at first sight, then each other size it had}}.
"""

import json
import os
import signal
import sys
import threading


def look(directory, sizes):
    for entry in os.scandir(directory):
        if entry.name == ".gtfs-spool":
            continue
        try:
            stat = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        seen = sizes.setdefault(entry.name, [])
        size = stat.st_size if entry.is_file(follow_symlinks=False) else -1
        if not seen or seen[-1] != size:
            seen.append(size)


def main():
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    rounds, sizes = 0, {}
    print("watching", flush=True)
    while not ended.wait(0.001):
        look(sys.argv[1], sizes)
        rounds += 1
    look(sys.argv[1], sizes)
    json.dump({"rounds": rounds, "sizes": sizes}, sys.stdout)


main()
