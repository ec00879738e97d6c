"""What systems do each in their way: users, locks, and folders that change places."""

import ctypes
import errno
import os
import pathlib
import sys
import uuid

# Of `lock`, where the disk knows none: Lustre without -o flock, some of FUSE.
NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


def user() -> int:
    """The number of the user; on Windows, where every file has it, 0."""
    return os.geteuid() if hasattr(os, "geteuid") else 0


def lock(opened: int) -> bool:
    """Takes the lock of an open file, unless another process has it: whether it is this one's.

    It ends when the file is closed, at the latest with the process.
    """
    try:
        import fcntl
    except ModuleNotFoundError:
        return _locked_without_posix(opened)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _locked_without_posix(opened: int) -> bool:
    if sys.platform != "win32":  # A system that has no locks.
        return True
    import msvcrt

    try:
        msvcrt.locking(opened, msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    return True


def put(new: pathlib.Path, folder: pathlib.Path) -> None:
    """Gives `new` the name `folder`, and what had it the name `new`; one of them always stands."""
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
            raise OSError(f"{folder} has now the name {old}: rename it back") from error
        raise
    old.rename(new)


def _exchanged(a: pathlib.Path, b: pathlib.Path) -> bool:
    """Whether the system could exchange two names at once (renameat2(2), of Linux)."""
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
