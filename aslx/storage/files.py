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


def in_bucket(path: str | Path) -> bool:
    return "://" in os.fspath(path)


def home(path: str) -> str:
    """The path with a leading ~ expanded, which a shell leaves in --name=~/x and in configs.
    BadInput where the user has no home."""
    found = os.path.expanduser(path)
    if found == "~" or found.startswith("~/"):
        raise errors.BadInput(f"{path}: this user has no home folder; write the whole path")
    return found


def real(folder: Path) -> pathlib.Path:
    """The folder without symbolic links. BadInput where another user made the link, who could thus
    have a folder of this user's replaced."""
    path = pathlib.Path(os.fspath(folder))
    if path.is_symlink() and path.lstat().st_uid not in (0, system.user()):
        raise errors.BadInput(
            f"{folder} is a link that another user made: remove it, or choose another name"
        )
    return path.resolve()


def cache() -> pathlib.Path:
    """The folder of files that commands can make again: ~/.cache/aslx, or in XDG_CACHE_HOME.

    Without a writable home it is among the temporary files; BadInput where another user could
    write there, since programs are kept in it.
    """
    if given := os.environ.get("XDG_CACHE_HOME"):
        return pathlib.Path(given, "aslx")
    with contextlib.suppress(RuntimeError):  # The user has no entry in passwd, as in a container.
        kept = pathlib.Path.home() / ".cache" / "aslx"
        there = next(folder for folder in (kept, *kept.parents) if folder.exists())
        if there == kept or os.access(there, os.W_OK):
            return kept
    return _own(pathlib.Path(tempfile.gettempdir(), f"aslx-{system.user()}"))


def _own(folder: pathlib.Path) -> pathlib.Path:
    """Makes a folder, unless it exists, that only this user may write."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(0o700)
    about = folder.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != system.user() or about.st_mode & 0o022:
        raise errors.BadInput(
            f"{folder} may be written by others, and what is kept there is run: "
            "remove it, or name another folder in XDG_CACHE_HOME"
        )
    return folder


@contextlib.contextmanager
def given(path: str | Path) -> Iterator[None]:
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


def check_place(path: Path) -> None:
    """BadInput where no file can be written at `path`; checked before the work for it begins."""
    if in_bucket(path):
        return
    with given(path):
        if path.is_dir():
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
        if path.is_file() and not os.path.islink(path):  # Keeps a private file private.
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
    if place.exists() and not place.is_dir():
        raise errors.BadInput(f"{folder} is a file, and a folder is wanted: choose another name")
    make(place.parent)
    with _naming(folder):
        scratch = pathlib.Path(tempfile.mkdtemp(prefix=f".{place.name[:_KEPT]}.", dir=place.parent))
    try:
        new = scratch / "new"
        new.mkdir()  # With the default permissions, unlike those of `scratch`.
        yield new
        if keeping and place.exists():
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
        if (new / path.name).exists():
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, new / path.name, symlinks=True)
        else:
            shutil.copy2(path, new / path.name, follow_symlinks=False)


def _upload(made: pathlib.Path, folder: epath.Path, keeping: bool) -> None:
    import fsspec

    fs, top = fsspec.url_to_fs(os.fspath(folder))
    before = [] if keeping else [name.removeprefix(f"{top}/") for name in fs.find(top)]
    names = {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()}
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
        path.write_text((path.read_text() if path.exists() else "") + text)
        return
    with path.open("a") as f:
        f.write(text)


def make(folder: Path) -> None:
    """Makes a folder, and missing ones above it."""
    if in_bucket(folder) or folder.is_dir():
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
