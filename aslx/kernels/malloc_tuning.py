"""How the C library keeps memory that the process has freed."""

import ctypes
import mmap
import os
import pathlib
import sys

# glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
_HUGE = 2 << 20  # Bytes of a huge page of x86-64, and of arm64's usual one.
# Devices of NVIDIA's, AMD's and Google's drivers; newer TPUs have numbers in vfio.
_ACCELERATORS = "nvidia[0-9]*", "kfd", "accel[0-9]*", "accel/accel[0-9]*", "vfio/[0-9]*"


def keep() -> None:
    """Keeps freed memory in the process, under glibc and without an accelerator; elsewhere it does
    nothing. Call it before JAX starts, because running threads have their own heaps.

    On a CPU XLA allocates and frees the buffers of every step. glibc returns large ones to the
    kernel, which fills them with zeros page by page for the next step: a quarter of the time of a
    small network's step. One heap that is long from the start and never cut takes them once.
    """
    libc = _glibc()
    if libc is None or _accelerated():
        return
    libc.mallopt(_ARENA_MAX, 1)
    libc.mallopt(_MMAP_MAX, 0)
    libc.mallopt(_TRIM_THRESHOLD, -1)
    libc.mallopt(_TOP_PAD, 64 << 20)
    _grow(libc, allowed() // 2)


def share() -> None:
    """Gives all threads, and pyarrow, one heap under glibc, so that they reuse what others freed.
    It is for a command that reads a file, compiles a few programs in several threads, and answers.
    Call it before pyarrow is imported."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    libc = _glibc()
    if libc is not None:
        libc.mallopt(_ARENA_MAX, 1)


def allowed() -> int:
    """Bytes that this process may allocate: the least of the machine's memory, the limits of its
    control groups, and the rest of its own limits."""
    import resource  # Windows has none, and no glibc.

    sizes = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    sizes += group_limits(pathlib.Path("/proc/self/cgroup"), pathlib.Path("/sys/fs/cgroup"))
    taken = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
    for limit in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        most, _ = resource.getrlimit(limit)
        if most != resource.RLIM_INFINITY:
            sizes.append(max(0, most - taken))
    return min(sizes)


def group_limits(groups: pathlib.Path, root: pathlib.Path) -> list[int]:
    """The limits in bytes of a process's control groups, of version 1 or 2; `groups` is its
    /proc/PID/cgroup. In a container a group's path may be the host's: then the root has the limit.
    """
    found = []
    for line in groups.read_text().splitlines() if groups.exists() else ():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            place, name = root / "memory", "memory.limit_in_bytes"
        elif not controllers:
            place, name = root, "memory.max"
        else:
            continue
        group = place / path.strip("/")
        for folder in (group, *group.parents):
            text = (folder / name).read_text().strip() if (folder / name).exists() else ""
            found += [int(text)] if text.isdigit() else []
            if folder == place:
                break
    return found


def _glibc() -> ctypes.CDLL | None:
    libc = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    return libc if hasattr(libc, "mallopt") else None


def _accelerated() -> bool:
    """Whether JAX is likely to take an accelerator, asked before it starts."""
    named = os.environ.get("JAX_PLATFORMS", "")
    if named:
        return named.split(",")[0] != "cpu"
    return any(any(pathlib.Path("/dev").glob(pattern)) for pattern in _ACCELERATORS)


def _grow(libc: ctypes.CDLL, size: int) -> None:
    """Lengthens the heap by `size` bytes. The kernel gives memory to it when it is written to, in
    pages of 2 MiB where it can: in small pages, an array of 26 MB has 6,400 of them, more than a
    core keeps the addresses of."""
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    start = libc.malloc(size)
    if start is None:  # The process may not allocate so much.
        return
    first = -(-start // _HUGE) * _HUGE
    libc.madvise(first, (start + size - first) // _HUGE * _HUGE, mmap.MADV_HUGEPAGE)
    libc.free(start)
