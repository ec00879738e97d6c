"""Kaggle's sign-language-mnist -> shards: a csv of a label and 28 x 28 grey pixels a line."""

import dataclasses
import filecmp
import pathlib
from collections.abc import Sequence

import numpy as np

from aslx import errors
from aslx.prepare import class_dataset, class_items
from aslx.readers import csv_files, folders
from aslx.storage import files

# Kaggle's labels 0 to 24 are letters of the alphabet; J (9) and Z (25) are signed with a movement,
# and not there. So the 24 classes are not the labels.
LETTERS = "ABCDEFGHIKLMNOPQRSTUVWXY"
_SIDE = 28
_VALUES = 1 + _SIDE**2
_LABELS = frozenset(ord(letter) - ord("A") for letter in LETTERS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SignMnist(class_dataset.Options):
    """Kaggle's sign-language-mnist, csv of 28 x 28 grey pixels, into TFRecord shards."""

    source: str
    """The folder of sign_mnist_train.csv and sign_mnist_test.csv."""

    def prepare(self, scratch: files.Path) -> dict:
        """sign_mnist_train.csv is divided, and sign_mnist_test.csv tests."""
        source = self.folder()
        train, test = (_table(source, part) for part in ("train", "test"))
        if train is None:
            raise errors.BadInput(f"{source} has no sign_mnist_train.csv")
        found = class_items.Found(_items(train, None) + (_items(test, "test") if test else []))
        kind = class_items.image("sign_mnist", (_SIDE, _SIDE, 1), _image)
        return class_dataset.prepare(scratch, kind, found, self, source.name, list(LETTERS))


def _table(source: pathlib.Path, part: str) -> pathlib.Path | None:
    """The one csv of a part; Kaggle's archive holds it twice."""
    name = f"sign_mnist_{part}.csv"
    found = [path for path in folders.within(source) if path.name == name]
    for other in found[1:]:
        if not filecmp.cmp(found[0], other, shallow=False):
            raise errors.BadInput(f"{found[0]} and {other} differ: remove one")
    return found[0] if found else None


def _items(path: pathlib.Path, part: str | None) -> list[class_items.Item]:
    """BadInput names the file and the line."""
    header, rows = _rows(path)
    place = _label(path, header, [values for _, values in rows])
    items = []
    for number, values in rows:
        try:
            letter = letter_of(values[place])
        except errors.BadInput as error:
            raise errors.BadInput(f"{path} line {number}: {error}") from None
        pixels = values[:place] + values[place + 1 :]
        items.append(class_items.Item(f"{path.name}:{number}", letter, pixels, part=part))
    return items


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


def _image(source: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    return np.frombuffer(source, np.uint8).reshape(shape)


def letter_of(label: int) -> str:
    """The letter of Kaggle's label: "K" of 10, for 9 would be J."""
    letter = chr(ord("A") + label)
    if letter not in LETTERS:
        raise errors.BadInput(f"label {label} is no letter that is signed without a movement")
    return letter
