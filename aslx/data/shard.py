"""An open shard: bytes go from the page cache into the reader's memory, each copied once."""

import os
import pathlib
import threading
import weakref
from typing import Any

_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_ONE_AT_A_TIME = threading.Lock()


def disk_reads() -> int:
    """Blocks that this process has read from disks; -1 where the system does not say."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows.
        return -1
    return resource.getrusage(resource.RUSAGE_SELF).ru_inblock


class Shard:
    """A file that is read by place. One that was cut since ends early, and that is told."""

    def __init__(self, path: pathlib.Path):
        self._file = os.open(path, _FLAGS)
        weakref.finalize(self, os.close, self._file)

    def read(self, offset: int, parts: list[Any]) -> bool:
        """Fills the parts u8[...], one behind the other; False where the file ends before them.

        Waits for the disk, if it must, and lets threads go on.
        """
        wanted, got = sum(map(len, parts)), _read(self._file, parts, offset)
        while got < wanted:  # A disk behind a network may answer in pieces.
            more = _read(self._file, _behind(parts, got), offset + got)
            if not more:
                return False
            got += more
        return True

    def expect(self, offset: int, length: int) -> None:
        """Has the kernel begin to read, where something is not in memory yet."""
        if hasattr(os, "posix_fadvise"):  # macOS and Windows have none.
            os.posix_fadvise(self._file, offset, length, os.POSIX_FADV_WILLNEED)


def _read(file: int, parts: list[Any], offset: int) -> int:
    """os.preadv, also on Windows, where an open file has one place for all threads."""
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


def _behind(parts: list[Any], size: int) -> list[Any]:
    """The parts without their first `size` bytes."""
    rest = []
    for part in parts:
        rest.append(part[size:])
        size = max(0, size - len(part))
    return rest
