"""Files and folders that are complete or not there at all, on a local disk or in a gs:// bucket.

A file with its final name survives a power cut: its bytes reach the disk before the name does, and
the name before the function returns. In a bucket, an object appears when it is complete.
"""

import contextlib
import errno
import json
import os
import pathlib
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator
from typing import IO, Any

from etils import epath

from aslx import errors
from aslx.storage import system

Path = pathlib.Path | epath.Path  # epath's has pathlib's methods, and handles gs:// too.

_MOST_JSON = 16 << 20  # Bytes of a file that `read_json` reads.
_KEPT = 40  # Characters of a name that its temporary name contains: systems limit the length.
# What is wrong with a path that a user gave, and the fix.
_AT_FAULT = {
    errno.ENOENT: "is not there",
    errno.ENOTDIR: "is not there: a part of the path is a file",
    errno.EISDIR: "is a folder, and a file is wanted",
    errno.EEXIST: "is a file, and a folder is wanted",
    errno.EACCES: "may not be used: give yourself permission, or take another path",
    errno.EPERM: "may not be used: give yourself permission, or take another path",
    errno.EROFS: "is on a disk that cannot be written: take another path",
    errno.ENAMETOOLONG: "is too long a name",
    errno.ELOOP: "is a link that leads to itself",
}


def absolute(path: str | Path) -> epath.Path:
    """The absolute path; that of a bucket is absolute already."""
    return epath.Path(path) if in_bucket(path) else epath.Path(path).absolute()


def in_bucket(path: str | os.PathLike[str]) -> bool:
    return "://" in os.fspath(path)


def real(folder: Path) -> pathlib.Path:
    """The folder without symbolic links. BadInput where another user made the link, who could thus
    have a folder of this user's replaced."""
    path = pathlib.Path(os.fspath(folder))
    if path.is_symlink() and path.lstat().st_uid not in (0, system.user()):
        raise errors.BadInput(
            f"{folder} is a link that another user made: remove it, or choose another name"
        )
    return path.resolve()


@contextlib.contextmanager
def given(path: str | os.PathLike[str]) -> Iterator[None]:
    """For code that opens a path that a user gave: BadInput where the path is at fault.

    Any other error stays as it is, and names the path.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:  # From a file that is open.
            error.filename = os.fspath(path)
        if error.errno not in _AT_FAULT:
            raise
        raise errors.BadInput(f"{error.filename or path} {_AT_FAULT[error.errno]}") from error


def exists(path: str | os.PathLike[str]) -> bool:
    """Whether a file or folder is there. Other than os.path and epath, and pathlib from Python 3.14
    on, this does not call missing what cannot be asked for: an error of the disk is raised, and
    BadInput where this user may not look."""
    return epath.Path(path).exists() if in_bucket(path) else _mode(path) is not None


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a folder is there: see `exists`."""
    return epath.Path(path).is_dir() if in_bucket(path) else stat.S_ISDIR(_mode(path) or 0)


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file is there, and no folder, pipe or device: see `exists`."""
    return epath.Path(path).is_file() if in_bucket(path) else stat.S_ISREG(_mode(path) or 0)


def _mode(path: str | os.PathLike[str]) -> int | None:
    """What lies at a local path, as in `os.stat_result.st_mode`; None where nothing does."""
    with given(path):
        try:
            return os.stat(path).st_mode
        except ValueError:  # No path holds a zero byte.
            return None
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return None
            raise


def check_place(path: Path) -> None:
    """BadInput where no file can be written at `path`; checked before the work for it begins."""
    if in_bucket(path):
        return
    with given(path):
        if is_folder(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        make(path.parent)
    check_folder(path.parent, path)


def check_folder(folder: Path, path: Path | None = None) -> None:
    """BadInput, which names `path`, where nothing can be written in a folder. A file without a name
    is made there, because os.access does not say whether the disk failed."""
    path = folder if path is None else path
    with given(path), _naming(path):
        tempfile.TemporaryFile(dir=folder).close()


def read_json(path: Path) -> Any:
    """The contents of a JSON file; BadInput where it is missing, too large or no JSON."""
    with given(path), path.open("rb") as f:
        data = f.read(_MOST_JSON + 1)
    if len(data) > _MOST_JSON:
        raise errors.BadInput(f"{path} has more than {_MOST_JSON} bytes: it is not of aslx")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise errors.BadInput(f"{path} is damaged, it is no JSON: {error}") from None


def read_object(path: Path) -> dict[str, Any]:
    """`read_json` for a file that must contain a JSON object."""
    found = read_json(path)
    if not isinstance(found, dict):
        raise errors.BadInput(f"{path} is damaged: it is no JSON object")
    return found


@contextlib.contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """A file that replaces `path` at the end.

    Readers see the old bytes or the new ones, also after a crash. Of several writers the last one
    wins."""
    if in_bucket(path):
        import fsspec

        with tempfile.NamedTemporaryFile() as f:  # After an error, nothing is uploaded.
            yield f
            f.flush()
            fs, name = fsspec.url_to_fs(os.fspath(path))
            fs.put_file(f.name, name)
        return
    with replacing(path) as partial, partial.open("wb") as f:
        yield f


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """An empty file on the same disk, with the same suffix, that replaces `path` at the end.

    Nobody can have planted it: its name is random, and opening fails where it exists.
    """
    partial = path.with_name(f".{uuid.uuid4().hex}.{path.name[-_KEPT:]}")
    with _naming(path):
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        if is_file(path) and not os.path.islink(path):  # Keeps a private file private.
            os.chmod(partial, os.stat(path).st_mode & 0o666 | 0o600)
    try:
        yield partial
        sync(partial)
        os.replace(partial, path)
        sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(folder: Path, *, keeping: bool = False) -> Iterator[pathlib.Path]:
    """An empty folder that replaces `folder` and its contents at the end.

    Until then, and after an error, `folder` is unchanged, and only this user can read the new one.
    With `keeping`, entries of `folder` that the new one lacks are kept. In a bucket, objects are
    replaced one by one, and those that the new folder lacks are removed last.
    """
    if in_bucket(folder):
        with tempfile.TemporaryDirectory() as made:
            yield pathlib.Path(made)
            _upload(pathlib.Path(made), epath.Path(folder), keeping)
        return
    place = real(folder)
    if exists(place) and not is_folder(place):
        raise errors.BadInput(f"{folder} is a file, and a folder is wanted: choose another name")
    make(place.parent)
    with _naming(folder):
        scratch = pathlib.Path(tempfile.mkdtemp(prefix=f".{place.name[:_KEPT]}.", dir=place.parent))
    try:
        new = scratch / "new"
        new.mkdir()  # With the default permissions, unlike those of `scratch`.
        yield new
        if keeping and exists(place):
            _copy_rest(place, new)
        sync_all(new)
        system.put(new, place)
        sync(place.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Makes errors name `path` instead of a temporary name."""
    try:
        yield
    except OSError as error:
        error.filename = os.fspath(path)
        raise


def _copy_rest(old: pathlib.Path, new: pathlib.Path) -> None:
    for path in old.iterdir():
        if exists(new / path.name):
            continue
        if is_folder(path) and not path.is_symlink():
            shutil.copytree(path, new / path.name, symlinks=True)
        else:
            shutil.copy2(path, new / path.name, follow_symlinks=False)


def _upload(made: pathlib.Path, folder: epath.Path, keeping: bool) -> None:
    import fsspec

    fs, top = fsspec.url_to_fs(os.fspath(folder))
    before = [] if keeping else [name.removeprefix(f"{top}/") for name in fs.find(top)]
    names = {path.relative_to(made).as_posix() for path in made.rglob("*") if is_file(path)}
    for name in sorted(names):
        write(folder / name, (made / name).read_bytes())
    for name in sorted({*before} - names):
        fs.rm_file(f"{top}/{name}")


def write(path: Path, data: bytes | str) -> None:
    """Replaces `path` by `data`, as `writing` does; makes the folders above it."""
    make(path.parent)
    with writing(path) as f:
        f.write(data.encode() if isinstance(data, str) else data)


def append(path: Path, text: str) -> None:
    """Appends whole lines to a file. They survive a power cut once the file is `sync`ed."""
    if in_bucket(path):  # An object cannot grow.
        path.write_text((path.read_text() if exists(path) else "") + text)
        return
    with path.open("a") as f:
        f.write(text)


def make(folder: Path) -> None:
    """Makes a folder, and missing ones above it."""
    if in_bucket(folder) or is_folder(folder):
        return
    make(folder.parent)
    folder.mkdir(exist_ok=True)
    sync(folder.parent)


def sync(path: Path) -> None:
    """Returns once the bytes of a file, or the names in a folder, are on the disk."""
    if in_bucket(path):
        return
    try:
        opened = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows cannot open folders.
        return
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno != errno.EINVAL:  # A file system that cannot sync folders.
            raise
    finally:
        os.close(opened)


def sync_all(folder: pathlib.Path) -> None:
    """Syncs everything in a folder, then the folder."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if not path.is_symlink():
            sync(path)
    sync(folder)
