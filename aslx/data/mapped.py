"""A file as memory: the page cache's own, so that a reader copies each byte once."""

import mmap
import os
import pathlib

import numpy as np


class File:
    """`bytes` u8[size] of a file. To touch them where the file has been cut since is a SIGBUS."""

    def __init__(self, path: pathlib.Path):
        with open(path, "rb") as f:
            size = os.fstat(f.fileno()).st_size
            self._map = mmap.mmap(f.fileno(), size, access=mmap.ACCESS_READ) if size else None
        self.bytes = np.frombuffer(self._map or b"", np.uint8)

    def resized(self) -> bool:
        return self._map is not None and self._map.size() != len(self.bytes)

    def expect(self, offset: int, length: int) -> None:
        """Has the kernel begin to read, where something is not in memory yet."""
        page = offset - offset % mmap.PAGESIZE
        if self._map and page < len(self.bytes):
            self._map.madvise(mmap.MADV_WILLNEED, page, offset + length - page)
