"""What a process does with memory that it has freed."""

import ctypes
import mmap
import os
import sys

# glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
_HUGE = 2 << 20  # Bytes of a huge page of x86-64, and of arm64's usual one.


def keep() -> None:
    """Freed memory stays with the process, under glibc; elsewhere nothing happens.

    On a CPU XLA takes and frees the buffers of every step. glibc returns large ones to the kernel,
    which fills them with zeros page by page when the next step takes them: a quarter of the time
    of a small network's step. One heap, made long at once and never cut, takes them once.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    mallopt = getattr(libc, "mallopt", None)
    if mallopt is None:
        return
    mallopt(_ARENA_MAX, 1)
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, -1)
    mallopt(_TOP_PAD, 64 << 20)
    _grow(libc, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)


def _grow(libc: ctypes.CDLL, size: int) -> None:
    """Lengthens the heap by `size` bytes, of which none is taken before it is written to, and then
    2 MiB at a time where the kernel can: a step's arrays of 26 MB are else 6,400 pages each, more
    than a core remembers the addresses of."""
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    start = libc.malloc(size)
    if start is None:  # The process may not have so much.
        return
    first = -(-start // _HUGE) * _HUGE
    libc.madvise(first, (start + size - first) // _HUGE * _HUGE, mmap.MADV_HUGEPAGE)
    libc.free(start)
