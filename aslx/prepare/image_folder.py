"""Folders of images, one for each class -> shards. Decoded and resized once."""

import collections
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from aslx import errors
from aslx.prepare import class_dataset, cutouts, unreadable, workers
from aslx.readers import file_kinds, folders, images
from aslx.storage import files

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".gif", ".tif", ".tiff"),
)
_PARTS = frozenset(("train", "training", "test", "testing", "val", "valid", "validation", "dev"))
_SHOWN = 12  # Cutouts in the figure.


def prepare(
    source: pathlib.Path, scratch: files.Path, size: int, cut: bool, options: class_dataset.Options
) -> dict:
    """RGB images of size x size from the folders CLASS/NAME.jpg; with `cut`, what is behind the
    hand too, and where the hand is, as the images that train tell it."""
    plain = class_dataset.image("image_folder", (size, size, 3), images.read)

    def build(found: class_dataset.Found) -> dict:
        division = class_dataset.divide(found, options, source.name)
        train = [item for item in division.items if item.part == "train"]
        kind = _with_cutouts(plain, train, options) if cut else plain
        classes = sorted({item.label for item in found.items})
        report = class_dataset.prepare(scratch, kind, division, classes, options, source.name)
        if cut:
            _draw(kind, train, scratch / "out" / "figures" / "cutouts.png")
        return report

    return unreadable.whole(build, find(source), plain, scratch, options)


def find(source: pathlib.Path) -> class_dataset.Found:
    """The images under each folder of `source`, which is their class; and what is none.

    BadInput where the folders are no classes."""
    items, notes, empty, deep = [], [], [], 0
    dropped: collections.Counter[str] = collections.Counter()
    for folder in folders.classes(source):
        before = len(items)
        for path in folders.within(folder):
            why = _no_image(path)
            if why:
                dropped[why] += 1
                continue
            items.append(class_dataset.Item(str(path.relative_to(source)), folder.name, path))
            deep += path.parent != folder
        if len(items) == before:
            empty.append(folder.name)
    loose = [path for path in folders.inside(source) if path.is_file() and not _no_image(path)]
    if loose:
        dropped["images in no folder of a class"] += len(loose)
    found = class_dataset.Found(items, dropped)
    if not items:
        told = "; ".join(class_dataset.left_out(found))
        raise errors.BadInput(f"{source} has no images CLASS/NAME.jpg" + f" ({told})" * bool(told))
    _check_classes(source, items, deep)
    if deep:
        notes.append(f"{deep} of {len(items)} images lie in folders inside that of their class")
    if empty:
        notes.append(f"without an image, and so no class: {', '.join(empty)}")
    return dataclasses.replace(found, notes=notes)


def _check_classes(source: pathlib.Path, items: Sequence[class_dataset.Item], deep: int) -> None:
    classes = sorted({item.label for item in items})
    names = ", ".join(classes)
    if len(classes) == 1 and deep == len(items):
        raise errors.BadInput(
            f"all images of {source} lie in folders of {names}: point --source at the folder "
            "whose folders are the classes"
        )
    if _PARTS.issuperset(name.lower() for name in classes):
        raise errors.BadInput(
            f"{source} holds {names}, which are parts and no classes: point "
            "--source at the folder whose folders are the classes"
        )


def _no_image(path: pathlib.Path) -> str:
    """Why a file is left out; empty of an image, which may yet be damaged."""
    if path.suffix.lower() in SUFFIXES:
        return ""
    kind = file_kinds.kind(path)
    if kind in (file_kinds.IMAGE, file_kinds.GIF):
        return ""
    if kind in (file_kinds.HEIC, file_kinds.AVIF):
        return f"{kind.upper()} images, which cannot be read here: save them as JPEG"
    return f"{path.suffix.lower()} files" if path.suffix else "files without a suffix"


def _draw(kind: class_dataset.Kind, train: Sequence[class_dataset.Item], path: files.Path) -> None:
    from aslx.prepare import dataset_figures

    few = np.linspace(0, len(train) - 1, min(_SHOWN, len(train))).round().astype(int)
    shown = [kind.read(train[i].source) for i in few]
    with files.writing(path) as f:
        dataset_figures.cutouts(shown).savefig(f)


def _with_cutouts(
    kind: class_dataset.Kind, train: Sequence[class_dataset.Item], options: class_dataset.Options
) -> class_dataset.Kind:
    rng = np.random.default_rng(options.seed)
    chosen = rng.permutation(len(train))[: cutouts.IMAGES]
    images_NHWC = np.stack([class_dataset.read(kind, train[i]) for i in chosen])
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
