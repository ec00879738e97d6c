"""What stands below a folder."""

import pathlib


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    """Every file, by its path below the folder."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
