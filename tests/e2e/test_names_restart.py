"""A tree goes on where it was when its receiver starts again."""

import os
import signal

import pytest

from inbox_help import fill
from netbed import wait_for


def tree_of(top):
    return sorted(str(path.relative_to(top)) for path in top.rglob("*"))


def wait_until_back(a):
    wait_for(lambda: os.path.isdir(a.to("b")) and os.getxattr(
        a.to("b"), "user.gtfs.state") != b"offline", 15, "b is back")


@pytest.mark.sanitize
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_restarted_receiver_goes_on_with_the_tree(fresh_pair, start, end):
    """Between two files of it; the receiver has forgotten its directories."""
    a, b = fresh_pair()
    top = a.to("b") / "tree"
    (top / "sub").mkdir(parents=True)
    (top / "moved").mkdir()
    fill(top / "sub" / "first", b"first")
    os.rename(top / "moved", top / "there")
    fill(top / "there" / "early", b"early")
    b.kill() if end == signal.SIGKILL else b.stop(end)
    again = start("b", paths=b.paths)
    again.wait_peer("a")
    wait_until_back(a)
    os.symlink("first", top / "sub" / "link")
    (top / "sub" / "deep").mkdir()
    fill(top / "sub" / "deep" / "second", b"second")
    fill(top / "sub" / "third", b"third")
    with open(top / "flies", "wb") as f:
        f.write(b"flies")
        f.flush()
        os.rename(top / "flies", top / "there" / "landed")
    expected = ["sub", "sub/deep", "sub/deep/second", "sub/first", "sub/link",
                "sub/third", "there", "there/early", "there/landed"]
    wait_for(lambda: os.path.lexists(again.backing / "tree/sub/link"), 5,
             lambda: f"the link, {tree_of(again.backing)}")
    assert again.arrived() == ["tree"]
    assert tree_of(again.backing / "tree") == expected == tree_of(top)


def test_a_temporary_name_goes_after_two_restarts(fresh_pair, start):
    """And the directory that it is in keeps its times."""
    a, b = fresh_pair()
    top = a.to("b") / "tree"
    top.mkdir()
    fill(top / ".f.AbC120", b"whole")
    os.utime(top, (5, 5))
    wait_for(lambda: (b.backing / "tree").stat().st_mtime == 5, 5, "times")
    for _ in range(2):
        b.kill()
        b = start("b", paths=b.paths)
        b.wait_peer("a")
        wait_until_back(a)
    assert os.listdir(b.backing / "tree") == [".f.AbC120"]
    assert (b.backing / "tree").stat().st_mtime == 5
    os.rename(top / ".f.AbC120", top / "f")
    wait_for(lambda: os.listdir(b.backing / "tree") == ["f"], 5, "its name")
    assert (b.backing / "tree/f").read_bytes() == b"whole"
    assert os.listdir(top) == ["f"]
