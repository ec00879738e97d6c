"""Where the hand is in images of a camera that stands still, and what is behind the hand.

Background subtraction: each pixel of an image's background is the median of images in similar light
in which no hand hides the pixel. The hand is where the image differs from its background. The
augmentation `image_augment.Images.paste` pastes these hands elsewhere.

Shape suffixes: N images, H and W pixels, C channels, G cells of a coarse grid.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import cast

import numpy as np
from scipy import ndimage

from aslx.prepare import workers

IMAGES = 1024  # Images that give backgrounds: enough for the lights of a day.
_NEAR = 31  # Images of a median.
_GRID = 20  # Cells along a side of the grid on which images are compared.
_OTHER = 25  # Of 255: cells that differ by more show a hand, and count as differing by this.
_VISIBLE = 0.1  # Share of the cells in which two images must both show the background.
_NOISE = 1.2  # Pixels: the standard deviation of the blur that removes noise.
_DIFFERS = 13  # Of 255: pixels that differ by more, after the blur, show the hand.
_PART = 0.3  # Of the largest piece: smaller pieces are not the hand.
_TASKS = 32  # Steps of the progress bar.


@dataclasses.dataclass(frozen=True)
class Scene:
    """Images u8[N, H, W, C] of one camera, and bool[N, H, W] where a hand hides the background."""

    images: np.ndarray
    hidden: np.ndarray

    def cut(self, image_HWC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The background u8[H, W, C] of an image, and bool[H, W] where the hand is."""
        _, hand_HW = self._cut(image_HWC, np.zeros(image_HWC.shape[:2], bool))
        return self._cut(image_HWC, hand_HW)

    def again(self, numbers: Sequence[int]) -> np.ndarray:
        """`hidden` of some of the images, found again with the help of `hidden` of all."""
        return np.stack([self._cut(self.images[i], self.hidden[i])[1] for i in numbers])

    def _cut(self, image_HWC: np.ndarray, hand_HW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        near = self._near(image_HWC, hand_HW)
        # Sorting puts hidden values last; the median is half-way through the visible ones.
        hidden_NHW1 = self.hidden[near][..., None]
        values_NHWC = np.where(hidden_NHW1, 256, self.images[near].astype(np.int16))
        values_NHWC.sort(0)
        visible_HW1 = len(near) - hidden_NHW1.sum(0)
        middle_HWC = np.broadcast_to(np.maximum(visible_HW1 - 1, 0) // 2, image_HWC.shape)
        behind_HWC = np.take_along_axis(values_NHWC, middle_HWC[None], 0)[0]
        if not visible_HW1.all():  # A hand hides some pixels in all images.
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
    """Finds the hands in all images. A second round leaves hands out of the backgrounds."""
    found = Scene(images_NHWC, np.zeros(images_NHWC.shape[:3], bool))
    parts = np.array_split(np.arange(len(images_NHWC)), min(_TASKS, len(images_NHWC)))
    tasks, counts = [(part,) for part in parts], [*map(len, parts)]
    for _ in range(2):
        hands = workers.gathered(run, found.again, tasks, counts, "cutting out", "images")
        found = Scene(images_NHWC, np.concatenate(hands))
    return found


def _coarse(images_NHWC: np.ndarray) -> np.ndarray:
    """f32[N, G, C]: the mean of each cell."""
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
