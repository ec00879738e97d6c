"""What a process does with memory that it has freed."""

import ctypes
import mmap
import os
import pathlib
import sys

# glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
_HUGE = 2 << 20  # Bytes of a huge page of x86-64, and of arm64's usual one.
# Of NVIDIA's, AMD's and Google's drivers; newer TPUs are numbered below vfio.
_ACCELERATORS = "nvidia[0-9]*", "kfd", "accel[0-9]*", "accel/accel[0-9]*", "vfio/[0-9]*"


def keep() -> None:
    """Freed memory stays with the process, under glibc and without an accelerator; elsewhere
    nothing happens. Call it before anything of JAX: threads that run have heaps of their own.

    On a CPU XLA takes and frees the buffers of every step. glibc returns large ones to the kernel,
    which fills them with zeros page by page when the next step takes them: a quarter of the time
    of a small network's step. One heap, made long at once and never cut, takes them once.
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
    """All threads take from one heap what others freed, under glibc, and pyarrow, which is not
    imported yet, from the same: for a command that reads a file, compiles a few programs, each by
    threads of its own, and answers."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    libc = _glibc()
    if libc is not None:
        libc.mallopt(_ARENA_MAX, 1)


def allowed() -> int:
    """Bytes that this process may come to have: of the machine, of its control groups, and of its
    own limits what is left."""
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
    """Bytes that the control groups of a process allow, of either version; `groups` is its
    /proc/PID/cgroup. In a container a group's path may be the host's: then the root has its limit.
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
    """Whether JAX will take an accelerator, as far as can be told before it has."""
    named = os.environ.get("JAX_PLATFORMS", "")
    if named:
        return named.split(",")[0] != "cpu"
    return any(any(pathlib.Path("/dev").glob(pattern)) for pattern in _ACCELERATORS)


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
