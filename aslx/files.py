"""Files that stand whole or not at all, on a local disk or in a gs:// bucket."""

import contextlib
import os
import pathlib
import uuid
from collections.abc import Iterator
from typing import IO

from etils import epath

Path = pathlib.Path | epath.Path  # epath's is pathlib's, and knows gs:// too.


def absolute(path: str | Path) -> epath.Path:
    """The path with its root: what is in a bucket has one."""
    return epath.Path(path) if in_bucket(path) else epath.Path(path).absolute()


def in_bucket(path: str | Path) -> bool:
    return "://" in os.fspath(path)


def cache() -> pathlib.Path:
    """Where commands keep what they can make again: ~/.cache/aslx, or in XDG_CACHE_HOME."""
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache", "aslx")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """A file that replaces `path` when it is whole: a reader, or whoever comes after a crash, sees
    the old bytes or the new, and of several that write it at a time the last one's."""
    if in_bucket(path):  # An object appears when it is whole.
        with path.open("wb") as f:
            yield f
        return
    with replacing(path) as partial, partial.open("wb") as f:
        yield f


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A place on the same disk, of the same suffix, whose file replaces `path` at the end."""
    partial = path.with_name(f".{uuid.uuid4().hex}.{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write(path: Path, data: bytes | str) -> None:
    """Replaces `path` by `data`, as `writing` does; folders that it needs are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path) as f:
        f.write(data.encode() if isinstance(data, str) else data)


def append(path: Path, text: str) -> None:
    """Adds whole lines to the end of a file, or makes it."""
    if in_bucket(path):  # An object cannot grow.
        path.write_text((path.read_text() if path.exists() else "") + text)
        return
    with path.open("a") as f:
        f.write(text)
