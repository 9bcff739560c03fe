"""What the tests of inbox/ share: errnos expected, descriptors closed."""

import ctypes
import os
from contextlib import contextmanager

import pytest

SPOOL = ".gtfs-spool"
NOREPLACE, EXCHANGE = 1, 2
KEEP_SIZE, PUNCH_HOLE = 1, 2

libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def fails(number):
    with pytest.raises(OSError) as caught:
        yield
    assert caught.value.errno == number, caught.value


def checked(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def renameat2(old, new, flags):
    checked(libc.renameat2(-100, os.fsencode(old), -100, os.fsencode(new),
                           flags))


def fallocate(fd, mode, offset, length):
    checked(libc.fallocate(fd, mode, ctypes.c_long(offset),
                           ctypes.c_long(length)))


@contextmanager
def opened(path, flags, mode=0o644):
    fd = os.open(path, flags, mode)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def opened_at(at, name, flags=os.O_CREAT | os.O_RDWR):
    fd = os.open(name, flags, 0o644, dir_fd=at)
    try:
        yield fd
    finally:
        os.close(fd)


def fill(path, data=b""):
    path.write_bytes(data)
    return path
