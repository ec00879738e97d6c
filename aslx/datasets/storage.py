"""Files on a disk or in a bucket (gs://...), as whoever prepares data needs them."""

import contextlib
import os
import pathlib
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from typing import IO

import fsspec
from etils import epath

Path = pathlib.Path | epath.Path  # The second in a bucket alone.


def path(text: str) -> Path:
    """Where `text` points."""
    return epath.Path(text) if "://" in text else pathlib.Path(text)


@contextlib.contextmanager
def writing(file: Path) -> Iterator[IO[bytes]]:
    """A file that appears when it is whole: an engine may do the same task twice at a time."""
    if not isinstance(file, pathlib.Path):  # An object does so by itself.
        with file.open("wb") as f:
            yield f
        return
    partial = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    try:
        with open(partial, "wb") as f:
            yield f
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)


def read(file: Path, offset: int, size: int) -> bytes:
    """`size` bytes from the middle of a file, and no more than these from a bucket."""
    fs, name = fsspec.url_to_fs(os.fspath(file))
    return fs.cat_file(name, offset, offset + size)


@contextlib.contextmanager
def here(folder: Path, names: Sequence[str]) -> Iterator[pathlib.Path]:
    """A folder on this machine's disk with the named files: `folder` itself, or a copy in a
    temporary one if it is in a bucket."""
    if isinstance(folder, pathlib.Path):
        yield folder
        return
    fs, name = fsspec.url_to_fs(os.fspath(folder))
    with tempfile.TemporaryDirectory() as copy:
        for each in names:
            (pathlib.Path(copy) / each).parent.mkdir(parents=True, exist_ok=True)
            fs.get_file(f"{name}/{each}", os.path.join(copy, each))
        yield pathlib.Path(copy)


def move(source: Path, target: Path) -> None:
    """Everything in a folder of a bucket to another that is not there yet."""
    fs, name = fsspec.url_to_fs(os.fspath(source))
    fs.mv(name, fs._strip_protocol(os.fspath(target)), recursive=True)
