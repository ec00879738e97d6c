"""A file with the checksums of all files in a folder."""

import json
import pathlib
from typing import Any

import crc32c

from aslx.storage import files

NAME = "checksums.json"
_BLOCK = 1 << 20  # Bytes that are read at a time.


def note(folder: files.Path) -> None:
    """Writes the size and the CRC-32C of every file."""
    found = sorted(path for path in pathlib.Path(folder).rglob("*") if files.is_file(path))
    sums = {path.relative_to(folder).as_posix(): _sum(path) for path in found}
    sums.pop(NAME, None)
    files.write(folder / NAME, json.dumps(sums))


def fault(folder: files.Path, sums: dict[str, Any]) -> str:
    """What is wrong with a file whose checksum was noted in `sums`; empty: nothing."""
    for name, noted in sums.items():
        if name.startswith("/") or ".." in name.split("/"):
            return f"{folder / NAME} is damaged: it names a file elsewhere"
        try:
            found = _sum(folder / name)
        except FileNotFoundError:
            return f"{folder / name} is missing"
        if found != noted:
            return f"{folder / name} is damaged: its checksum has changed"
    return ""


def _sum(path: files.Path) -> list[int]:
    size = crc = 0
    with path.open("rb") as f:
        while block := f.read(_BLOCK):
            size, crc = size + len(block), crc32c.crc32c(block, crc)
    return [size, crc]
