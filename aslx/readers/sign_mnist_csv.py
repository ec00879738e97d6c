"""Csv files of Kaggle's sign-language-mnist: each line has a label and 28 x 28 grey pixels."""

import pathlib
from collections.abc import Sequence

from aslx import errors
from aslx.readers import csv_files

# Kaggle's labels 0 to 24 number the alphabet without J (9) and Z, which are signed with a movement.
# So a label is not the number of its class.
LETTERS = "ABCDEFGHIKLMNOPQRSTUVWXY"
SIDE = 28
_VALUES = 1 + SIDE**2
_LABELS = frozenset(ord(letter) - ord("A") for letter in LETTERS)


def images(path: pathlib.Path) -> list[tuple[int, str, bytes]]:
    """The number, letter and pixels of each line. BadInput names the file and the line."""
    header, rows = _rows(path)
    place = _label_column(path, header, [values for _, values in rows])
    found = []
    for number, values in rows:
        try:
            letter = letter_of(values[place])
        except errors.BadInput as error:
            raise errors.BadInput(f"{path} line {number}: {error}") from None
        found.append((number, letter, values[:place] + values[place + 1 :]))
    return found


def letter_of(label: int) -> str:
    """The letter of Kaggle's label: "K" for 10, since 9 would be J."""
    letter = chr(ord("A") + label)
    if letter not in LETTERS:
        raise errors.BadInput(f"label {label} is no letter that is signed without a movement")
    return letter


def _rows(path: pathlib.Path) -> tuple[list[str], list[tuple[int, bytes]]]:
    """The header, empty where there is none, and the number and values of each line."""
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


def _label_column(path: pathlib.Path, header: Sequence[str], rows: Sequence[bytes]) -> int:
    """The label's column: the only one not called a pixel, else the first or the last one,
    whichever contains labels alone."""
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
