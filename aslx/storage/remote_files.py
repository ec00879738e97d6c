"""Files on a disk or in a bucket (gs://...), for preparing data."""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator, Sequence

import fsspec
from etils import epath

from aslx.storage import files


def path(text: str) -> files.Path:
    """The path that `text` names: etils' for a bucket, else pathlib's, made absolute."""
    return epath.Path(text) if files.in_bucket(text) else pathlib.Path(text).absolute()


def read(file: files.Path, offset: int, size: int) -> bytes:
    """`size` bytes of a file from `offset` on; of one in a bucket, only these are transferred."""
    fs, name = fsspec.url_to_fs(os.fspath(file))
    return fs.cat_file(name, offset, offset + size)


@contextlib.contextmanager
def here(folder: files.Path, names: Sequence[str]) -> Iterator[pathlib.Path]:
    """A local folder with the named files: `folder`, or a temporary copy if it is in a bucket."""
    if isinstance(folder, pathlib.Path):
        yield folder
        return
    fs, name = fsspec.url_to_fs(os.fspath(folder))
    with tempfile.TemporaryDirectory() as copy:
        for each in names:
            (pathlib.Path(copy) / each).parent.mkdir(parents=True, exist_ok=True)
            fs.get_file(f"{name}/{each}", os.path.join(copy, each))
        yield pathlib.Path(copy)


def copy(source: epath.Path, target: epath.Path, last: str) -> None:
    """Copies a folder of a bucket to another, within the cloud; the file `last` comes last."""
    fs, top = fsspec.url_to_fs(os.fspath(source))
    _, there = fsspec.url_to_fs(os.fspath(target))
    names = [name.removeprefix(f"{top}/") for name in fs.find(top)]
    for some in ([n for n in names if n != last], [n for n in names if n == last]):
        fs.copy([f"{top}/{name}" for name in some], [f"{there}/{name}" for name in some])
