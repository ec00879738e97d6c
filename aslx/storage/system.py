"""What differs between operating systems: users, locks, and exchanging two folders."""

import ctypes
import errno
import os
import pathlib
import sys
import uuid

# Errors of `lock` on file systems without locks: Lustre without -o flock, some of FUSE.
NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


def user() -> int:
    """The user's number; on Windows 0, as the owner of every file."""
    return os.geteuid() if hasattr(os, "geteuid") else 0


def lock(opened: int) -> bool:
    """Locks an open file; False where another process holds the lock.

    The lock ends when the file is closed, at the latest with the process.
    """
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(opened, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    try:
        import fcntl

        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ModuleNotFoundError:  # This system has no locks.
        return True
    except BlockingIOError:
        return False
    return True


def put(new: pathlib.Path, folder: pathlib.Path) -> None:
    """Exchanges the names of `new` and `folder`, if there is one; one always has its name."""
    if not folder.exists():
        new.rename(folder)
        return
    if _exchanged(new, folder):
        return
    old = folder.with_name(f".{uuid.uuid4().hex}.{folder.name}")
    folder.rename(old)
    try:
        new.rename(folder)
    except OSError as error:
        try:
            old.rename(folder)
        except OSError:
            raise OSError(f"{folder} is now called {old}: rename it back") from error
        raise
    old.rename(new)


def _exchanged(a: pathlib.Path, b: pathlib.Path) -> bool:
    """Whether the names were exchanged in one step, by Linux's renameat2(2)."""
    if sys.platform != "linux":
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    if call(here, os.fsencode(a), here, os.fsencode(b), exchange) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(b))
