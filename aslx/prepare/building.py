"""A data set is made in a scratch folder beside its place, and appears there as a whole."""

import contextlib
import errno
import hashlib
import os
import pathlib
import random
import shutil
import stat
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator

from etils import epath

from aslx import errors
from aslx.storage import files, remote_files, system

# In each scratch folder on a disk: tells it from other folders, and is locked while it is used.
_MARK = ".aslx-prepare"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def scratch(
    out: files.Path, *, overwrite: bool = False
) -> contextlib.AbstractContextManager[files.Path]:
    """A scratch folder beside `out`; what stands in its "out" at the end becomes `out`.

    So `out` is whole or absent whatever happens, and a data set that is replaced stays until the
    new one has its name; in a bucket, where a folder cannot be renamed, it is absent to its readers
    until metadata.json arrives, last. The scratch folder's name is random, and only this user may
    look into it. On a disk, the scratch folder of a killed run of this user is removed. In a
    bucket it is named, because its run may still work.

    Raises BadInput where `out` is not empty, unless it is a prepared data set and `overwrite` is
    true, and where another process of this user is at work on it.
    """
    if isinstance(out, pathlib.Path):
        return _on_disk(out, overwrite)
    return _in_bucket(out, overwrite)


def check_free(out: files.Path, overwrite: bool) -> None:
    """BadInput where `out` may not be written."""
    if not out.exists():
        return
    if not out.is_dir():
        raise errors.BadInput(f"{out} is a file: choose another --out")
    if isinstance(out, pathlib.Path) and os.path.ismount(out):
        raise errors.BadInput(f"{out} is where a disk is mounted: choose a folder in it as --out")
    if not any(out.iterdir()):
        return
    if not (out / "dataset_info.json").exists():
        raise errors.BadInput(f"{out} holds something else than a data set: choose another --out")
    if not overwrite:
        raise errors.BadInput(f"{out} exists already: pass --overwrite to replace it")


@contextlib.contextmanager
def _on_disk(out: pathlib.Path, overwrite: bool) -> Iterator[pathlib.Path]:
    check_free(out, overwrite)
    place = files.real(out)
    with files.given(place.parent):
        files.make(place.parent)
    if not os.access(place.parent, os.W_OK | os.X_OK):
        raise errors.BadInput(f"{place.parent} cannot be written: choose another --out")
    try:
        with _alone(place) as folder:
            yield folder
            check_free(out, overwrite)
            files.sync_all(folder / "out")
            system.put(folder / "out", place)
            files.sync(place.parent)
    except OSError as error:
        if error.errno in _FULL:
            raise errors.Unavailable(
                f"{place.parent} is full, make room and run again: {error}"
            ) from error
        raise


@contextlib.contextmanager
def _alone(place: pathlib.Path) -> Iterator[pathlib.Path]:
    """An empty folder beside `place`, while no other process works on it."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows cannot open, and so cannot lock, a folder.
        with tempfile.TemporaryDirectory(prefix=_prefix(place), dir=place.parent) as folder:
            yield pathlib.Path(folder)
        return
    for _ in range(3):
        folder = pathlib.Path(tempfile.mkdtemp(prefix=_prefix(place), dir=place.parent))
        with _opened(folder) as opened, _locked(opened, os.O_CREAT | os.O_EXCL) as free:
            try:
                if free is not False and not _others(place, folder):
                    yield folder
                    return
            finally:
                _remove(folder, opened)
        time.sleep(random.uniform(0, 0.2))  # Two runs that began at the same moment see each other.
    raise errors.BadInput(f"another process is preparing {place}: wait for it")


def _prefix(place: files.Path) -> str:
    name = place.name
    if len(os.fsencode(name)) > 200:  # No system takes any length.
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return f".{name}.incomplete-"


def _others(place: pathlib.Path, mine: pathlib.Path) -> bool:
    """Whether another process works on `place`. Removes the folders of those that were killed.

    A folder counts if only this user can have made what is in it: it is no link, it is this user's,
    closed to other users, and holds the mark.
    """
    busy = False
    for path in place.parent.iterdir():
        if path == mine or not path.name.startswith(_prefix(place)):
            continue
        with contextlib.suppress(OSError), _opened(path) as opened:
            about = os.fstat(opened)
            if about.st_uid != system.user() or stat.S_IMODE(about.st_mode) & 0o077:
                continue
            with _locked(opened) as free:
                if free:
                    _remove(path, opened)
                busy |= free is False
    return busy


@contextlib.contextmanager
def _opened(folder: pathlib.Path) -> Iterator[int]:
    """A descriptor of a folder; OSError where that is a link."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield opened
    finally:
        os.close(opened)


@contextlib.contextmanager
def _locked(opened: int, flags: int = 0) -> Iterator[bool | None]:
    """Whether the lock of an opened scratch folder could be taken; None where the disk knows no
    locks, and OSError without a mark."""
    mark = os.open(_MARK, os.O_RDWR | os.O_NOFOLLOW | flags, 0o600, dir_fd=opened)
    try:
        try:
            free = system.lock(mark)
        except OSError as error:
            if error.errno not in system.NO_LOCKS:
                raise
            free = None
        yield free
    finally:
        os.close(mark)


def _remove(path: pathlib.Path, opened: int) -> None:
    """Empties an opened folder, even if it was renamed, and removes `path` if that is empty. What
    cannot be removed stays."""
    with os.scandir(opened) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    # The mark goes last: what is left of a folder is known by it.
    for name, is_folder in sorted(found, key=lambda entry: entry[0] == _MARK):
        with contextlib.suppress(OSError):
            if is_folder:
                shutil.rmtree(name, dir_fd=opened)
            else:
                os.unlink(name, dir_fd=opened)
    with contextlib.suppress(OSError):
        path.rmdir()


@contextlib.contextmanager
def _in_bucket(out: epath.Path, overwrite: bool) -> Iterator[epath.Path]:
    check_free(out, overwrite)
    for path in out.parent.iterdir() if out.parent.exists() else ():
        if path.name.startswith(_prefix(out)):
            print(f"{path} is of another run that works or was killed", file=sys.stderr)
    folder = out.parent / f"{_prefix(out)}{uuid.uuid4().hex}"
    needed = False
    try:
        yield folder
        check_free(out, overwrite)
        old = folder / "replaced"
        if out.exists():
            remote_files.copy(out, old, last="metadata.json")
        needed = True
        try:
            _put_in_bucket(folder / "out", out)
        except BaseException:
            if old.exists():
                _put_in_bucket(old, out)
            else:
                out.rmtree(missing_ok=True)
            needed = False
            raise
        needed = False
    finally:
        if needed:
            print(f"{out} is not whole; {folder} holds both, the old and the new", file=sys.stderr)
        else:
            folder.rmtree(missing_ok=True)


def _put_in_bucket(source: epath.Path, out: epath.Path) -> None:
    out.rmtree(missing_ok=True)
    remote_files.copy(source, out, last="metadata.json")
