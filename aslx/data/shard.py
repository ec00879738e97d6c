"""Positioned reads from a shard: each byte is copied once, from the page cache."""

import os
import pathlib
import threading
import weakref
from typing import Any

_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_ONE_AT_A_TIME = threading.Lock()


def disk_reads() -> int:
    """Blocks that this process has read from disks; -1 where the system does not tell."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows.
        return -1
    return resource.getrusage(resource.RUSAGE_SELF).ru_inblock


class Shard:
    """An open file that is read by position; it may have been truncated since it was indexed."""

    def __init__(self, path: pathlib.Path):
        self._file = os.open(path, _FLAGS)
        weakref.finalize(self, os.close, self._file)

    def read(self, offset: int, parts: list[Any]) -> bool:
        """Fills consecutive parts u8[n] from `offset` on; False where the file ends too early.

        Other threads run while it waits for the disk.
        """
        got = _read(self._file, parts, offset)
        while rest := _without(parts, got):  # A disk behind a network may answer in pieces.
            parts, offset = rest, offset + got
            if not (got := _read(self._file, parts, offset)):
                return False
        return True

    def expect(self, offset: int, length: int) -> None:
        """Tells the kernel to start reading what is not in memory yet."""
        if hasattr(os, "posix_fadvise"):  # macOS and Windows have none.
            os.posix_fadvise(self._file, offset, length, os.POSIX_FADV_WILLNEED)


def _read(file: int, parts: list[Any], offset: int) -> int:
    """os.preadv, and its like on Windows, where all threads share an open file's position."""
    if hasattr(os, "preadv"):
        return os.preadv(file, parts, offset)
    with _ONE_AT_A_TIME:
        os.lseek(file, offset, os.SEEK_SET)
        data = memoryview(os.read(file, sum(map(len, parts))))
    done = 0
    for part in parts:
        piece = data[done : done + len(part)]
        memoryview(part)[: len(piece)] = piece
        done += len(piece)
    return done


def _without(parts: list[Any], size: int) -> list[Any]:
    """What is left of the parts after their first `size` bytes; no part is empty."""
    rest = []
    for part in parts:
        if size < len(part):
            rest.append(part[size:])
        size = max(0, size - len(part))
    return rest
