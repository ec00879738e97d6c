"""Folders of images, one for each class -> shards. The images are decoded and resized once."""

import collections
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from aslx import errors
from aslx.prepare import class_dataset, class_items, cutouts, workers
from aslx.readers import folders, images
from aslx.storage import files

_PARTS = frozenset(("train", "training", "test", "testing", "val", "valid", "validation", "dev"))
_SHOWN = 12  # Cutouts in the figure.


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageFolder(class_dataset.Options):
    """Images in folders, CLASS/NAME.jpg, decoded and resized once, into TFRecord shards."""

    source: str
    """The folder of the classes, such as Kaggle's asl_alphabet_train."""
    size: int = 100
    """Height and width to store."""
    cutouts: bool = False
    """For a camera that stands still: store with each image what is behind the hand and where the
    hand is, for --augmentation.paste. It takes a tenth of a second an image and core."""

    def prepare(self, scratch: files.Path) -> dict:
        """Writes RGB images of size x size from the folders CLASS/NAME.jpg."""
        kind = class_items.image("image_folder", (self.size, self.size, 3), images.read)
        if self.cutouts:
            figure = scratch / "out" / "figures" / "cutouts.png"
            fit = functools.partial(_with_cutouts, kind, self.seed, self.pool(), figure)
            kind = dataclasses.replace(kind, fit=fit)
        return class_dataset.prepare(scratch, kind, find(self.folder()), self)


def find(source: pathlib.Path) -> class_items.Found:
    """The images under each folder of `source`, which is their class; other files are counted.

    BadInput where the folders are no classes."""
    items, notes, empty, deep = [], [], [], 0
    dropped: collections.Counter[str] = collections.Counter()
    for folder in folders.classes(source):
        before = len(items)
        for path in folders.within(folder):
            if why := images.left_out(path):
                dropped[why] += 1
                continue
            items.append(class_items.Item(str(path.relative_to(source)), folder.name, path))
            deep += path.parent != folder
        if len(items) == before:
            empty.append(folder.name)
    loose = [path for path in folders.inside(source) if files.is_file(path)]
    if unlabelled := sum(not images.left_out(path) for path in loose):
        dropped["images in no folder of a class"] = unlabelled
    if not items:
        others = f" ({'; '.join(class_items.left_out(dropped))})" if dropped else ""
        raise errors.BadInput(f"{source} has no images CLASS/NAME.jpg{others}")
    _check_classes(source, items, deep)
    if deep:
        notes.append(f"{deep} of {len(items)} images lie in folders inside that of their class")
    if empty:
        notes.append(f"without an image, and so no class: {', '.join(empty)}")
    return class_items.Found(items, dropped, notes)


def _check_classes(source: pathlib.Path, items: Sequence[class_items.Item], deep: int) -> None:
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


def _with_cutouts(
    kind: class_items.Kind,
    seed: int,
    run: workers.Run,
    figure: files.Path,
    train: Sequence[class_items.Item],
) -> class_items.Kind:
    """Images with what is behind the hand and where the hand is, as the images that train show. The
    figure shows some of these."""
    from aslx.prepare import dataset_figures

    chosen = np.random.default_rng(seed).permutation(len(train))[: cutouts.IMAGES]
    images_NHWC = np.stack([kind.load(train[i]) for i in chosen])
    height, width, channels = kind.shape
    cut = dataclasses.replace(
        kind,
        shape=(height, width, 2 * channels + 1),
        size=height * width * (2 * channels + 1),
        read=functools.partial(_cut, cutouts.scene(images_NHWC, run), kind.read),
        metadata=kind.metadata | {"cutouts": True},
    )
    few = np.linspace(0, len(train) - 1, min(_SHOWN, len(train))).round().astype(int)
    with files.writing(figure) as f:
        dataset_figures.cutouts([cut.read(train[i].source) for i in few]).savefig(f)
    return cut


def _cut(scene: cutouts.Scene, read: Callable[[Any], np.ndarray], source: Any) -> np.ndarray:
    """u8[H, W, 2 C + 1]: the image, what is behind the hand, and 255 where the hand is."""
    image_HWC = read(source)
    behind_HWC, hand_HW = scene.cut(image_HWC)
    return np.concatenate([image_HWC, behind_HWC, np.uint8(255) * hand_HW[..., None]], -1)
