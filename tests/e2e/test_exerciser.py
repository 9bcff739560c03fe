"""Files with 10^5 random operations (with --long, on each of them): as plain
files would have had them.

Under peers/ the content is compared on the peer whenever a file was closed;
what comes after is a new version of it. GTFS_TEST_SEED chooses another run.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from netbed import SCALE

OPERATIONS = 100000
FILES = 4  # side by side: alone, each would mostly wait to be woken up
EXERCISER = Path(__file__).with_name("exerciser.py")


def exercise(mount, folder, delivered, scratch, figure, what, each=False):
    """Returns the files' names."""
    operations = OPERATIONS * (FILES if each else 1)
    if os.environ.get("GTFS_SANITIZER"):
        operations //= 10
    seed = int(os.environ.get("GTFS_TEST_SEED", "1"))
    names = [f"exercised {number}" for number in range(FILES)]
    began = time.monotonic()
    running = [mount.popen(
        sys.executable, EXERCISER, seed + number, operations // FILES,
        folder / name, scratch / name, delivered / name,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for number, name in enumerate(names)]
    for one in running:
        done, error = one.communicate(timeout=280 * SCALE)
        assert one.returncode == 0, error
        done = json.loads(done)
        assert len(done) >= 14, done
    figure(f"{what}: {operations} operations, seed {seed}, "
           f"{time.monotonic() - began:.0f} s")
    return names


@pytest.mark.sanitize
@pytest.mark.limit(300)
def test_random_operations_on_files_being_sent(pair, scratch, figure, large):
    names = exercise(pair.a, pair.ab, pair.b.backing, scratch, figure,
                     "files under peers/", each=large)
    assert pair.b.arrived() == names


@pytest.mark.sanitize
@pytest.mark.limit(300)
def test_random_operations_on_files_in_inbox(lone, inbox, backing, tmp_path,
                                             figure, large):
    exercise(lone, inbox, backing, tmp_path, figure, "files in inbox/",
             each=large)
