"""A data set is made in a scratch folder beside its place, and appears there when it is whole."""

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

# A file in each scratch folder on a disk: it marks the folder, and is locked while a run uses it.
_MARK = ".aslx-prepare"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def scratch(out: files.Path, *, overwrite: bool = False) -> Iterator[files.Path]:
    """A scratch folder beside `out`; what is in its "out" at the end becomes `out`.

    `out` is whole or absent whatever happens, and a data set that is replaced stays until the new
    one has its name. In a bucket, where a folder cannot be renamed, readers find no data set until
    metadata.json arrives, last. The scratch folder's name is random, and only this user may read
    it. On a disk, the scratch folder of a killed run of this user is removed. In a bucket it is
    named, because its run may still work.

    Raises BadInput where `out` is not empty, unless it is a prepared data set and `overwrite` is
    true, and where another process of this user prepares it.
    """
    _check_free(out, overwrite)
    opened = _on_disk(out) if isinstance(out, pathlib.Path) else _in_bucket(out)
    with opened as folder:
        yield folder
        _check_free(out, overwrite)


def _check_free(out: files.Path, overwrite: bool) -> None:
    """BadInput where `out` may not be written."""
    if not files.exists(out):
        return
    if not files.is_folder(out):
        raise errors.BadInput(f"{out} is a file: choose another --out")
    if isinstance(out, pathlib.Path) and os.path.ismount(out):
        raise errors.BadInput(f"{out} is where a disk is mounted: choose a folder in it as --out")
    if not any(out.iterdir()):
        return
    if not files.exists(out / "dataset_info.json"):
        raise errors.BadInput(f"{out} holds something else than a data set: choose another --out")
    if not overwrite:
        raise errors.BadInput(f"{out} exists already: pass --overwrite to replace it")


@contextlib.contextmanager
def _on_disk(out: pathlib.Path) -> Iterator[pathlib.Path]:
    place = files.real(out)
    with files.given(place.parent):
        files.make(place.parent)
    files.check_folder(place.parent)
    try:
        with _locked_folder(place) as folder:
            yield folder
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
def _locked_folder(place: pathlib.Path) -> Iterator[pathlib.Path]:
    """An empty scratch folder beside `place`; BadInput where another process has one."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows cannot open, and so cannot lock, a folder.
        with tempfile.TemporaryDirectory(prefix=_prefix(place), dir=place.parent) as folder:
            yield pathlib.Path(folder)
        return
    for _ in range(3):
        folder = pathlib.Path(tempfile.mkdtemp(prefix=_prefix(place), dir=place.parent))
        with _opened(folder) as opened, _locked(opened, os.O_CREAT | os.O_EXCL) as free:
            try:
                if free is not False and not _is_busy(place, folder):
                    yield folder
                    return
            finally:
                _remove(folder, opened)
        time.sleep(random.uniform(0, 0.2))  # Two runs that begin at once see each other's folders.
    raise errors.BadInput(f"another process is preparing {place}: wait for it")


def _prefix(place: files.Path) -> str:
    name = place.name
    if len(os.fsencode(name)) > 200:  # Systems limit the length of a name.
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return f".{name}.incomplete-"


def _is_busy(place: pathlib.Path, mine: pathlib.Path) -> bool:
    """Whether another process works on `place`. Removes the scratch folders of killed processes.

    A folder counts if only this user can have filled it: it is no link, it belongs to this user, is
    closed to other users, and has the mark.
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
    """A descriptor of a folder; OSError where the path is a link."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield opened
    finally:
        os.close(opened)


@contextlib.contextmanager
def _locked(opened: int, flags: int = 0) -> Iterator[bool | None]:
    """Whether the lock of an opened scratch folder could be taken; None where the disk has no
    locks. OSError where the folder has no mark."""
    flags |= os.O_RDWR | os.O_NOFOLLOW
    with os.fdopen(os.open(_MARK, flags, 0o600, dir_fd=opened)) as mark:
        try:
            free = system.lock(mark.fileno())
        except OSError as error:
            if error.errno not in system.NO_LOCKS:
                raise
            free = None
        yield free


def _remove(path: pathlib.Path, opened: int) -> None:
    """Empties an opened folder, even if it was renamed, and then removes `path`. What cannot be
    removed stays."""
    with os.scandir(opened) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    # The mark goes last: a folder that is left half empty is known by it.
    for name, is_folder in sorted(found, key=lambda entry: entry[0] == _MARK):
        with contextlib.suppress(OSError):
            if is_folder:
                shutil.rmtree(name, dir_fd=opened)
            else:
                os.unlink(name, dir_fd=opened)
    with contextlib.suppress(OSError):
        path.rmdir()


@contextlib.contextmanager
def _in_bucket(out: epath.Path) -> Iterator[epath.Path]:
    for path in out.parent.iterdir() if files.exists(out.parent) else ():
        if path.name.startswith(_prefix(out)):
            print(f"{path} is of another run that works or was killed", file=sys.stderr)
    folder = out.parent / f"{_prefix(out)}{uuid.uuid4().hex}"
    needed = False
    try:
        yield folder
        old = folder / "replaced"
        if files.exists(out):
            remote_files.copy(out, old, last="metadata.json")
        needed = True
        try:
            _put_in_bucket(folder / "out", out)
        except BaseException:
            if files.exists(old):
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
    """Makes `out` a copy of `source`, without a question whether that exists: gcsfs caches listings
    and misses what was written since."""
    out.rmtree(missing_ok=True)
    remote_files.copy(source, out, last="metadata.json")
