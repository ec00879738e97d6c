"""The files in a user's folders, without those that systems and tools leave there."""

import pathlib
import re
from collections.abc import Iterator

from aslx import errors
from aslx.storage import files

# By Windows, macOS, Synology and Python, in lower case; hidden names (.x) need no list.
_LEFT_BY_TOOLS = frozenset(
    {
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
        *("__macosx", "icon\r", "@eadir", "lost+found", "__pycache__"),
    }
)
# Control characters, and what stands for bytes that are no UTF-8.
_NO_TEXT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def plain(name: str) -> bool:
    """Whether a name is text without control characters."""
    return _NO_TEXT.search(name) is None


def inside(folder: pathlib.Path) -> list[pathlib.Path]:
    """A user's files and folders in a folder, sorted by name.

    Leaves out hidden ones, such as .ipynb_checkpoints, and those that tools make, such as
    Thumbs.db. BadInput names one whose name is no text."""
    found = [
        path
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".") and path.name.lower() not in _LEFT_BY_TOOLS
    ]
    for path in found:
        if not plain(path.name):
            raise errors.BadInput(f"{str(path)!a} has a name that is no plain text: rename it")
    return found


def classes(source: pathlib.Path) -> list[pathlib.Path]:
    """The folders in a folder."""
    return [path for path in inside(source) if files.is_folder(path)]


def within(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """All files under a folder, through links too; each folder is entered once."""
    entered = set()

    def found(folder: pathlib.Path) -> Iterator[pathlib.Path]:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in entered:
            return
        entered.add((status.st_dev, status.st_ino))
        for path in inside(folder):
            if files.is_folder(path):
                yield from found(path)
            elif files.is_file(path):
                yield path

    return found(folder)
