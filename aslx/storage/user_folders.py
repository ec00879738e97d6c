"""The folders of the user who runs a command: home, and the cache."""

import contextlib
import os
import pathlib
import stat
import tempfile

from aslx import errors
from aslx.storage import files, system


def home(path: str) -> str:
    """The path with a leading ~ expanded, which a shell leaves in --name=~/x and in configs.
    BadInput where the user has no home."""
    found = os.path.expanduser(path)
    if found == "~" or found.startswith("~/"):
        raise errors.BadInput(f"{path}: this user has no home folder; write the whole path")
    return found


def cache() -> pathlib.Path:
    """The folder of files that commands can make again: ~/.cache/aslx, or in XDG_CACHE_HOME.

    Without a writable home it is among the temporary files; BadInput where another user could
    write there, since programs are kept in it.
    """
    if given := os.environ.get("XDG_CACHE_HOME"):
        return pathlib.Path(given, "aslx")
    # In a container the user may have no entry in passwd, or another's home.
    with contextlib.suppress(RuntimeError, errors.BadInput):
        kept = pathlib.Path.home() / ".cache" / "aslx"
        there = next(folder for folder in (kept, *kept.parents) if files.exists(folder))
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
