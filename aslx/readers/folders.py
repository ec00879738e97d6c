"""What lies in a user's folders, without what their tools leave there."""

import os
import pathlib
import re
from collections.abc import Iterator

from aslx import errors

# Of Windows, macOS, Synology and Python, in lower case; names with a dot in front need no list.
_LEFT_BY_TOOLS = frozenset(
    {
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
        *("__macosx", "icon\r", "@eadir", "lost+found", "__pycache__"),
    }
)

_NO_TEXT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # The last: bytes that are no UTF-8.


def ours(path: pathlib.Path) -> bool:
    """Whether a name is a user's: hidden ones, as .ipynb_checkpoints, and those that systems make,
    as Thumbs.db, are not."""
    return not path.name.startswith(".") and path.name.lower() not in _LEFT_BY_TOOLS


def plain(name: str) -> bool:
    """Whether a name is text, without control characters."""
    return _NO_TEXT.search(name) is None


def inside(folder: pathlib.Path) -> list[pathlib.Path]:
    """The files and folders in a folder that are a user's, in the order of their names.

    BadInput names one whose name is no text."""
    found = sorted(filter(ours, folder.iterdir()))
    for path in found:
        if not plain(path.name):
            raise errors.BadInput(f"{str(path)!a} has a name that is no plain text: rename it")
    return found


def classes(source: pathlib.Path) -> list[pathlib.Path]:
    """The folders in a folder."""
    return [path for path in inside(source) if path.is_dir()]


def within(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """All files under a folder, through links too; a folder is entered once."""
    yield from _within(folder, set())


def _within(folder: pathlib.Path, entered: set[tuple[int, int]]) -> Iterator[pathlib.Path]:
    status = os.stat(folder)
    if (status.st_dev, status.st_ino) in entered:
        return
    entered.add((status.st_dev, status.st_ino))
    for path in inside(folder):
        if path.is_dir():
            yield from _within(path, entered)
        elif path.is_file():
            yield path
