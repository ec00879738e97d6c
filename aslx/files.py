"""Files that stand whole or not at all, on a local disk or in a gs:// bucket."""

import os
import pathlib

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


def write(path: Path, data: bytes | str) -> None:
    """Replaces `path`: a reader, or whoever comes after a crash, sees the old bytes or the new."""
    data = data.encode() if isinstance(data, str) else data
    path.parent.mkdir(parents=True, exist_ok=True)
    if in_bucket(path):  # An object appears when it is whole.
        path.write_bytes(data)
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def append(path: Path, text: str) -> None:
    """Adds whole lines to the end of a file, or makes it."""
    if in_bucket(path):  # An object cannot grow.
        path.write_text((path.read_text() if path.exists() else "") + text)
        return
    with path.open("a") as f:
        f.write(text)
