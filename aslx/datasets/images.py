"""Images of known classes: folders CLASS/NAME.jpg, and the csv of Sign Language MNIST.

Decoded and resized once, when they are prepared.
"""

import csv
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from aslx import errors, files
from aslx.datasets import cutouts, labelled, workers

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
# Kaggle's labels 0 to 24 are letters of the alphabet; J (9) and Z (25) are signed with a movement,
# and not there. So the 24 classes are not the labels.
LETTERS = "ABCDEFGHIKLMNOPQRSTUVWXY"
_SIDE = 28
_SHOWN = 12  # Cutouts in the figure.


def read(path: str | pathlib.Path | BinaryIO, shape: tuple[int, int, int]) -> np.ndarray:
    """u8[H, W, C] of an image file: C is 1 for grey, 3 for RGB."""
    height, width, channels = shape
    try:
        with Image.open(path) as image:
            small = image.convert("L" if channels == 1 else "RGB").resize(
                (width, height), Image.Resampling.BILINEAR
            )
            return np.asarray(small, np.uint8).reshape(shape)
    except FileNotFoundError:
        raise errors.BadInput(f"there is no file {path}") from None
    except (OSError, ValueError, SyntaxError) as error:  # Pillow raises all three.
        raise errors.BadInput(f"{path} is no image that can be read: {error}") from error


def image_folder(
    source: pathlib.Path, scratch: files.Path, size: int, cut: bool, options: labelled.Options
) -> dict:
    """RGB images of size x size from the folders CLASS/NAME.jpg; with `cut`, what is behind the
    hand too, and where the hand is, as the images that train tell it."""
    items = [
        labelled.Item(str(path.relative_to(source)), path.parent.name, path)
        for path in sorted(source.glob("*/*"))
        if path.suffix.lower() in SUFFIXES
    ]
    if not items:
        raise errors.BadInput(f"{source} has no images CLASS/NAME.jpg")
    classes = sorted({item.label for item in items})
    division = labelled.divide(items, options, source.name)
    train = [item for item in division.items if item.part == "train"]
    kind = _kind("image_folder", (size, size, 3))
    kind = _with_cutouts(kind, train, options) if cut else kind
    report = labelled.prepare(scratch, kind, division, classes, options, source.name)
    if cut:
        from aslx.datasets import figures

        few = np.linspace(0, len(train) - 1, min(_SHOWN, len(train))).round().astype(int)
        shown = [kind.read(train[i].source) for i in few]
        with files.writing(scratch / "out" / "figures" / "cutouts.png") as f:
            figures.cutouts(shown).savefig(f)
    return report


def _with_cutouts(
    kind: labelled.Kind, train: Sequence[labelled.Item], options: labelled.Options
) -> labelled.Kind:
    rng = np.random.default_rng(options.seed)
    chosen = rng.permutation(len(train))[: cutouts.IMAGES]
    images_NHWC = np.stack([kind.read(train[i].source) for i in chosen])
    run = functools.partial(workers.run, processes=options.processes or workers.usable())
    height, width, channels = kind.shape
    return dataclasses.replace(
        kind,
        shape=(height, width, 2 * channels + 1),
        size=height * width * (2 * channels + 1),
        read=functools.partial(_cut, cutouts.scene(images_NHWC, run), kind.read),
        metadata=kind.metadata | {"cutouts": True},
    )


def _cut(scene: cutouts.Scene, read: Callable[[Any], np.ndarray], source: Any) -> np.ndarray:
    """u8[H, W, 2 C + 1]: the image, what is behind the hand, and 255 where the hand is."""
    image_HWC = read(source)
    behind_HWC, hand_HW = scene.cut(image_HWC)
    return np.concatenate([image_HWC, behind_HWC, np.uint8(255) * hand_HW[..., None]], -1)


def sign_mnist(source: pathlib.Path, scratch: files.Path, options: labelled.Options) -> dict:
    """Kaggle's sign_mnist_train.csv, which is split, and sign_mnist_test.csv, which tests."""
    found = {part: list(source.rglob(f"sign_mnist_{part}.csv")) for part in ("train", "test")}
    if not found["train"]:
        raise errors.BadInput(f"{source} has no sign_mnist_train.csv")
    items = []
    for part, paths in found.items():
        for path in paths[:1]:
            items += _rows(path, "test" if part == "test" else None)
    kind = _kind("sign_mnist", (_SIDE, _SIDE, 1))
    division = labelled.divide(items, options, source.name)
    return labelled.prepare(scratch, kind, division, list(LETTERS), options, source.name)


def _kind(name: str, shape: tuple[int, int, int]) -> labelled.Kind:
    return labelled.Kind(
        name=name,
        array="image",
        shape=shape,
        dtype=np.uint8,
        size=int(np.prod(shape)),
        read=functools.partial(_array, shape=shape),
        metadata={"size": list(shape)},
    )


def _array(source: pathlib.Path | bytes, shape: tuple[int, int, int]) -> np.ndarray:
    if isinstance(source, bytes):
        return np.frombuffer(source, np.uint8).reshape(shape)
    return read(source, shape)


def _rows(path: pathlib.Path, part: str | None) -> list[labelled.Item]:
    """BadInput names the file and the line."""
    items = []
    with open(path, newline="") as f:
        lines = csv.reader(f)
        next(lines, None)
        for line in lines:
            where = f"{path} line {lines.line_num}"
            if len(line) != 1 + _SIDE**2:
                raise errors.BadInput(
                    f"{where} has {len(line)} values, and not a label and 784 pixels"
                )
            try:
                letter, pixels = letter_of(int(line[0])), bytes(map(int, line[1:]))
            except ValueError as error:
                raise errors.BadInput(f"{where}: {error}") from error
            name = f"{path.name}:{lines.line_num}"
            items.append(labelled.Item(name, letter, pixels, part=part))
    return items


def letter_of(label: int) -> str:
    """The letter of Kaggle's label: "K" of 10, for 9 would be J."""
    letter = chr(ord("A") + label)
    if letter not in LETTERS:
        raise errors.BadInput(f"label {label} is no letter that is signed without a movement")
    return letter
