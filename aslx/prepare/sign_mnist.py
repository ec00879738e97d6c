"""Kaggle's sign-language-mnist -> shards. A line of its csv is a label and 28 x 28 grey pixels."""

import dataclasses
import filecmp
import pathlib

import numpy as np

from aslx import errors
from aslx.prepare import class_dataset, class_items
from aslx.readers import folders, sign_mnist_csv
from aslx.storage import files


@dataclasses.dataclass(frozen=True, kw_only=True)
class SignMnist(class_dataset.Options):
    """Kaggle's sign-language-mnist, csv of 28 x 28 grey pixels, into TFRecord shards."""

    source: str
    """The folder of sign_mnist_train.csv and sign_mnist_test.csv."""

    def prepare(self, scratch: files.Path) -> dict:
        """Divides sign_mnist_train.csv, and tests on sign_mnist_test.csv."""
        source = self.folder()
        train, test = (_table(source, part) for part in ("train", "test"))
        if train is None:
            raise errors.BadInput(f"{source} has no sign_mnist_train.csv")
        items = _items(train, None) + (_items(test, "test") if test else [])
        found = class_items.Found(items, classes=sign_mnist_csv.LETTERS)
        shape = (sign_mnist_csv.SIDE, sign_mnist_csv.SIDE, 1)
        kind = class_items.image("sign_mnist", shape, _image)
        return class_dataset.prepare(scratch, kind, found, self)


def _table(source: pathlib.Path, part: str) -> pathlib.Path | None:
    """The csv of a part. Kaggle's archive has two copies."""
    name = f"sign_mnist_{part}.csv"
    found = [path for path in folders.within(source) if path.name == name]
    for other in found[1:]:
        if not filecmp.cmp(found[0], other, shallow=False):
            raise errors.BadInput(f"{found[0]} and {other} differ: remove one")
    return found[0] if found else None


def _items(path: pathlib.Path, part: str | None) -> list[class_items.Item]:
    return [
        class_items.Item(f"{path.name}:{number}", letter, pixels, part=part)
        for number, letter, pixels in sign_mnist_csv.images(path)
    ]


def _image(source: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    return np.frombuffer(source, np.uint8).reshape(shape)
