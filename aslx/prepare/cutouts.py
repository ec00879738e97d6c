"""Where the hand is in images of a camera that stands still, and what is behind it.

Background subtraction: an image's background is, pixel by pixel, the median of images in the same
light in which no hand hides it, and the hand is what differs from that. For the augmentation that
pastes hands elsewhere, `image_augment.Images.paste`.

Shape suffixes: N images, H and W pixels, C channels, G cells of a coarse grid.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import cast

import numpy as np
from scipy import ndimage

from aslx.prepare import workers

IMAGES = 1024  # In which backgrounds are looked for: enough for the lights of a day.
_NEAR = 31  # Images of a median.
_GRID = 20  # Cells along a side, by which images are compared.
_OTHER = 25  # Of 255. Cells that differ by more are a hand's; how much more says nothing of light.
_VISIBLE = 0.1  # Share of the cells in which two images must both show the background.
_NOISE = 1.2  # Pixels of the blur that takes it away; then
_DIFFERS = 13  # of 255 is a hand's.
_PART = 0.3  # Of the largest piece: a smaller one is no part of the hand.
_TASKS = 32  # Between which a bar moves.


@dataclasses.dataclass(frozen=True)
class Scene:
    """Images u8[N, H, W, C] of one camera, and what a hand hides of each, bool[N, H, W]."""

    images: np.ndarray
    hidden: np.ndarray

    def cut(self, image_HWC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The background u8[H, W, C] of an image, and bool[H, W] where the hand is."""
        _, hand_HW = self._cut(image_HWC, np.zeros(image_HWC.shape[:2], bool))
        return self._cut(image_HWC, hand_HW)

    def again(self, numbers: Sequence[int]) -> np.ndarray:
        """What a hand hides of some of the images, now that this much is known of all."""
        return np.stack([self._cut(self.images[i], self.hidden[i])[1] for i in numbers])

    def _cut(self, image_HWC: np.ndarray, hand_HW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        near = self._near(image_HWC, hand_HW)
        # Hidden values come last; the median is half-way through the others.
        hidden_NHW1 = self.hidden[near][..., None]
        values_NHWC = np.where(hidden_NHW1, 256, self.images[near].astype(np.int16))
        values_NHWC.sort(0)
        visible_HW1 = len(near) - hidden_NHW1.sum(0)
        middle_HWC = np.broadcast_to(np.maximum(visible_HW1 - 1, 0) // 2, image_HWC.shape)
        behind_HWC = np.take_along_axis(values_NHWC, middle_HWC[None], 0)[0]
        if not visible_HW1.all():  # Somewhere a hand hides it in all.
            any_HWC = np.median(self.images[near], 0)
            behind_HWC = np.where(visible_HW1 > 0, behind_HWC, any_HWC)
        behind_HWC = behind_HWC.astype(np.uint8)
        return behind_HWC, _differing(image_HWC, behind_HWC)

    def _near(self, image_HWC: np.ndarray, hand_HW: np.ndarray) -> np.ndarray:
        """The numbers of the images in the most similar light."""
        image_GC, visible_G = _coarse(image_HWC[None])[0], _coarse(~hand_HW[None, ..., None])[0]
        images_NGC, visible_NG = self._grids
        away_NG = np.minimum(np.abs(images_NGC - image_GC).mean(-1), _OTHER)
        both_NG = visible_NG * visible_G[:, 0]
        shared_N = both_NG.sum(1)
        away_N = (away_NG * both_NG).sum(1) / np.maximum(shared_N, 1)
        away_N[shared_N < _VISIBLE * visible_NG.shape[1]] = np.inf
        return np.argsort(away_N, kind="stable")[:_NEAR]

    @functools.cached_property
    def _grids(self) -> tuple[np.ndarray, np.ndarray]:
        return _coarse(self.images), _coarse(~self.hidden[..., None])[..., 0]


def scene(images_NHWC: np.ndarray, run: workers.Run) -> Scene:
    """Finds the hands of all images; of the second round's backgrounds no hand is a part."""
    found = Scene(images_NHWC, np.zeros(images_NHWC.shape[:3], bool))
    parts = np.array_split(np.arange(len(images_NHWC)), min(_TASKS, len(images_NHWC)))
    tasks, counts = [(part,) for part in parts], [*map(len, parts)]
    for _ in range(2):
        hands = workers.gathered(run, found.again, tasks, counts, "cutting out", "images")
        found = Scene(images_NHWC, np.concatenate(hands))
    return found


def _coarse(images_NHWC: np.ndarray) -> np.ndarray:
    """f32[N, G, C]: means of the cells."""
    means = images_NHWC.astype(np.float32)
    for axis in (1, 2):
        side = means.shape[axis]
        begins = np.linspace(0, side, min(_GRID, side), endpoint=False).astype(int)
        sizes = np.diff(begins, append=side)
        means = np.add.reduceat(means, begins, axis)
        means /= np.expand_dims(sizes, [i for i in range(4) if i != axis])
    return means.reshape(len(images_NHWC), -1, images_NHWC.shape[-1])


def _differing(image_HWC: np.ndarray, behind_HWC: np.ndarray) -> np.ndarray:
    """bool[H, W]: where the hand is."""
    away_HW = np.abs(image_HWC.astype(np.float32) - behind_HWC).max(-1)
    hand_HW = ndimage.binary_opening(ndimage.gaussian_filter(away_HW, _NOISE) > _DIFFERS)
    pieces_HW, count = cast("tuple[np.ndarray, int]", ndimage.label(hand_HW))
    sizes = np.bincount(pieces_HW.ravel(), minlength=count + 1)[1:]
    if count:
        hand_HW = np.isin(pieces_HW, 1 + np.flatnonzero(sizes >= _PART * sizes.max()))
    return ndimage.binary_dilation(ndimage.binary_fill_holes(hand_HW))
