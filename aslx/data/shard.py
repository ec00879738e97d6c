"""An open shard: bytes go from the page cache into the reader's memory, each copied once."""

import os
import pathlib
import weakref
from typing import Any


class Shard:
    """A file that is read by place. One that was cut since ends early, and that is told."""

    def __init__(self, path: pathlib.Path):
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._file)

    def read(self, offset: int, parts: list[Any]) -> bool:
        """Fills the parts u8[...], one behind the other; False where the file ends before them.

        Waits for the disk, if it must, and lets threads go on.
        """
        wanted, got = sum(map(len, parts)), os.preadv(self._file, parts, offset)
        while got < wanted:  # A disk behind a network may answer in pieces.
            more = os.preadv(self._file, _behind(parts, got), offset + got)
            if not more:
                return False
            got += more
        return True

    def expect(self, offset: int, length: int) -> None:
        """Has the kernel begin to read, where something is not in memory yet."""
        if hasattr(os, "posix_fadvise"):  # macOS has none.
            os.posix_fadvise(self._file, offset, length, os.POSIX_FADV_WILLNEED)


def _behind(parts: list[Any], size: int) -> list[Any]:
    """The parts without their first `size` bytes."""
    rest = []
    for part in parts:
        rest.append(part[size:])
        size = max(0, size - len(part))
    return rest
