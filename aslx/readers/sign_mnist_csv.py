"""Csv files of Kaggle's sign-language-mnist: a label and 28 x 28 grey pixels a line."""

import pathlib
from collections.abc import Sequence

from aslx import errors
from aslx.readers import csv_files

# Kaggle's labels 0 to 24 are letters of the alphabet; J (9) and Z (25) are signed with a movement,
# and not there. So the 24 classes are not the labels.
LETTERS = "ABCDEFGHIKLMNOPQRSTUVWXY"
SIDE = 28
_VALUES = 1 + SIDE**2
_LABELS = frozenset(ord(letter) - ord("A") for letter in LETTERS)


def images(path: pathlib.Path) -> list[tuple[int, str, bytes]]:
    """Each line's number, letter and pixels, row by row. BadInput names the file and the line."""
    header, rows = _rows(path)
    place = _label(path, header, [values for _, values in rows])
    found = []
    for number, values in rows:
        try:
            letter = letter_of(values[place])
        except errors.BadInput as error:
            raise errors.BadInput(f"{path} line {number}: {error}") from None
        found.append((number, letter, values[:place] + values[place + 1 :]))
    return found


def letter_of(label: int) -> str:
    """The letter of Kaggle's label: "K" of 10, for 9 would be J."""
    letter = chr(ord("A") + label)
    if letter not in LETTERS:
        raise errors.BadInput(f"label {label} is no letter that is signed without a movement")
    return letter


def _rows(path: pathlib.Path) -> tuple[list[str], list[tuple[int, bytes]]]:
    """The header, which may be missing, and each line's number and values."""
    header, rows = [], []
    for number, line in csv_files.rows(path):
        if not header and not rows and not all(value.strip().isdigit() for value in line):
            header = [name.strip().lower() for name in line]
            continue
        where = f"{path} line {number}"
        if len(line) != _VALUES:
            raise errors.BadInput(f"{where} has {len(line)} values, and not a label and 784 pixels")
        try:
            rows.append((number, bytes(map(int, line))))
        except ValueError:
            wrong = next(value for value in line if not _is_byte(value))
            raise errors.BadInput(
                f"{where} holds {wrong[:20]!r}, which is no whole number from 0 to 255"
            ) from None
    return header, rows


def _is_byte(value: str) -> bool:
    try:
        return 0 <= int(value) < 256
    except ValueError:
        return False


def _label(path: pathlib.Path, header: Sequence[str], rows: Sequence[bytes]) -> int:
    """Which column is the label: the one that is not called a pixel, or else the one of the first
    and the last that holds labels alone."""
    named = [i for i, name in enumerate(header) if not name.startswith("pixel")]
    if len(header) == _VALUES and len(named) == 1:
        return named[0]
    first, last = ({row[place] for row in rows} <= _LABELS for place in (0, _VALUES - 1))
    if first and last:
        raise errors.BadInput(
            f"{path}: the first column may be the label, and the last too: name the columns label, "
            "pixel1, pixel2, ... in the first line"
        )
    return _VALUES - 1 if last else 0
