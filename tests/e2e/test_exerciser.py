"""One file, 10^5 random operations: as a plain file would have had them.

Under peers/ the content is compared on the peer whenever the file was closed;
what comes after is a new version of it. GTFS_TEST_SEED chooses another run.
"""

import os
import time

import pytest

from exerciser import Exerciser
from material import sha256
from netbed import SCALE

OPERATIONS = 100000
ROUNDS = 5


def seed():
    return int(os.environ.get("GTFS_TEST_SEED", "1"))


@pytest.fixture
def model(tmp_path):
    """A file that is known to be right."""
    path = tmp_path / "model"
    yield str(path)
    path.unlink(missing_ok=True)


def exercise(seen, model, figure, what, delivered):
    operations = OPERATIONS // (10 if SCALE > 1 else 1)
    began = time.monotonic()
    one = Exerciser(seed(), str(seen), model)
    try:
        for round in range(ROUNDS):
            if round:
                one.open()
                one.write()  # what was delivered cannot be read
            one.run(operations // ROUNDS)
            one.whole()
            one.close()
            assert sha256(delivered) == sha256(model), \
                f"round {round}, seed {seed()}"
    finally:
        one.close()
    assert all(count > 0 for count in one.done.values())
    assert len(one.done) >= 14, one.done
    figure(f"{what}: {operations} operations, seed {seed()}, "
           f"{time.monotonic() - began:.0f} s")


@pytest.mark.sanitize
@pytest.mark.limit(300)
def test_random_operations_on_a_file_being_sent(pair, model, figure):
    exercise(pair.ab / "exercised", model, figure, "a file under peers/",
             pair.b.backing / "exercised")
    assert pair.b.arrived() == ["exercised"]


@pytest.mark.sanitize
@pytest.mark.limit(300)
def test_random_operations_on_a_file_in_inbox(inbox, backing, model, figure):
    exercise(inbox / "exercised", model, figure, "a file in inbox/",
             backing / "exercised")
