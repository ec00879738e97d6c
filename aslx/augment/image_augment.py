"""Augmentation of images, on the device, with a key; clips are in clip_augment.py."""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates

from aslx import errors

Batch = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Images:
    """Flips, shifts, zooms, rotates, shears and relights every image independently.

    A letter that is flipped horizontally is of the other hand, and an upside-down letter may be
    another letter.
    """

    flip_horizontal: bool = False
    flip_vertical: bool = False
    shift: float = 0.0
    """Largest shift along each axis, in sides of the image; edges are repeated."""
    zoom: float = 0.0
    """Largest change of the scale, as a share."""
    turn: float = 0.0
    """Largest angle about the middle, in degrees, either way."""
    shear: float = 0.0
    """Largest shear along either axis, either way."""
    brightness: float = 0.0
    """Largest change of all pixels, in 255."""
    contrast: float = 0.0
    """Largest change of the distance from the image's mean, as a share."""
    colour: float = 0.0
    """Largest change of the logarithm of a channel's gain."""
    gamma: float = 0.0
    """Largest change of the logarithm of the exponent of pixels between 0 and 1; it changes how
    deep the shadows are."""
    paste: float = 0.0
    """Share of images whose hand is cut out, rotated and sheared as above, and pasted on the
    background of another image (Dwibedi et al. 2017, Cut, Paste and Learn). Needs
    `features.cutouts`."""
    paste_shift: float = 0.25
    """Largest shift of a pasted hand along each axis, in sides of the image."""
    paste_zoom: float = 0.6
    """Largest change of the scale of a pasted hand, either way, as a share."""

    def mixed(self, batch: Batch, key: jax.Array, features: Any) -> Batch:
        """Rows that take parts of other rows, of a whole batch: where hands are pasted, half of the
        images get the background of the image before them."""
        if not self.paste:
            return batch
        if not features.cutouts:
            raise errors.BadInput("augmentation.paste needs the hands: set features.cutouts")
        ends = features.channels, 2 * features.channels
        picture_BHWC, behind_BHWC, hand_BHW1 = jnp.split(batch["image"], ends, -1)
        other_B = jax.random.bernoulli(key, shape=(len(behind_BHWC),))[:, None, None, None]
        behind_BHWC = jnp.where(other_B, jnp.roll(behind_BHWC, 1, 0), behind_BHWC)
        return batch | {"image": jnp.concatenate([picture_BHWC, behind_BHWC, hand_BHW1], -1)}

    def clips(self, batch: Batch, key: jax.Array, features: Any) -> Batch:
        """Changes each row by itself. `image` u8[B,H,W,C or, with cutouts, 2 C + 1] becomes
        f32[B,H,W,C], of 0 to 255."""
        x_BHWC = batch["image"].astype(jnp.float32)
        paste_key, place_key, warp_key, light_key = jax.random.split(key, 4)
        if self.paste:
            x_BHWC = self._pasted(paste_key, x_BHWC, features)
        x_BHWC = x_BHWC[..., : features.channels]
        if self.flip_horizontal or self.flip_vertical or self.shift or self.zoom:
            x_BHWC = self._shifted_and_zoomed(place_key, x_BHWC)
        if self.turn or self.shear:
            x_BHWC = self._rotated(warp_key, x_BHWC)
        return batch | {"image": self._relit(light_key, x_BHWC)}

    def inputs(
        self, x_BHWC: jax.Array, mask_B1: jax.Array, key: jax.Array, features: Any
    ) -> jax.Array:
        """The network's inputs, unchanged."""
        del mask_B1, key, features
        return x_BHWC

    def _shifted_and_zoomed(self, key: jax.Array, x_BHWC: jax.Array) -> jax.Array:
        rows, height, width, _ = x_BHWC.shape
        up_key, along_key, zoom_key = jax.random.split(key, 3)
        scale_B = 1 + self.zoom * jax.random.uniform(zoom_key, (rows,), minval=-1)
        up_BHH = self._axis_weights(up_key, scale_B, height, self.flip_vertical)
        along_BWW = self._axis_weights(along_key, scale_B, width, self.flip_horizontal)
        return jnp.einsum("bhi,bwj,bijc->bhwc", up_BHH, along_BWW, x_BHWC)

    def _relit(self, key: jax.Array, x_BHWC: jax.Array) -> jax.Array:
        keys = jax.random.split(key, 4)

        def drawn(key: jax.Array, most: float, channels: int = 1) -> jax.Array:
            shape = (len(x_BHWC), 1, 1, channels)
            return jax.random.uniform(key, shape, minval=-most, maxval=most)

        mean = x_BHWC.mean((1, 2), keepdims=True)
        x_BHWC = (x_BHWC - mean) * (1 + drawn(keys[0], self.contrast)) + mean
        x_BHWC = x_BHWC + 255 * drawn(keys[1], self.brightness)
        if self.colour:
            x_BHWC *= jnp.exp(drawn(keys[2], self.colour, x_BHWC.shape[-1]))
        x_BHWC = jnp.clip(x_BHWC, 0, 255)
        if self.gamma:
            x_BHWC = 255 * (x_BHWC / 255) ** jnp.exp(drawn(keys[3], self.gamma))
        return x_BHWC

    def _axis_weights(self, key: jax.Array, scale_B: jax.Array, size: int, flip: bool) -> jax.Array:
        """f32[B, size, size]: the weights of the old pixels along an axis in each new pixel."""
        flip_key, shift_key = jax.random.split(key)
        rows = len(scale_B)
        sign_B = jnp.where(flip & jax.random.bernoulli(flip_key, shape=(rows,)), -1.0, 1.0)
        shift_B = self.shift * size * jax.random.uniform(shift_key, (rows,), minval=-1)
        middle, at = (size - 1) / 2, jnp.arange(size)
        from_BS = (at - middle) * (sign_B * scale_B)[:, None] + middle + shift_B[:, None]
        from_BS = jnp.clip(from_BS, 0, size - 1)
        return jnp.maximum(0.0, 1.0 - jnp.abs(from_BS[:, :, None] - at))

    def _pasted(self, key: jax.Array, x_BHWV: jax.Array, features: Any) -> jax.Array:
        """Images whose hand was found, on the row's background; other images unchanged."""
        (rows, height, width, _), channels = x_BHWV.shape, features.channels
        keys = jax.random.split(key, (3, rows))
        picture_BHWC, behind_BHWC, hand_BHW1 = jnp.split(x_BHWV, (channels, 2 * channels), -1)
        seen_BHWC = jnp.concatenate([picture_BHWC, hand_BHW1 / 255], -1)
        size_2, grid_2HW = np.array([height, width]), np.mgrid[:height, :width]

        def one(bend_key, place_key, seen_HWC, behind_HWC) -> jax.Array:
            hand_HW = seen_HWC[..., -1]
            middle_2 = (hand_HW * grid_2HW).sum((1, 2)) / jnp.maximum(hand_HW.sum(), 1)
            way_3 = jax.random.uniform(place_key, (3,), minval=-1)
            to_2 = middle_2 + self.paste_shift * size_2 * way_3[:2]
            # Most of the hand stays in the image.
            to_2 = jnp.clip(to_2, jnp.minimum(middle_2, _INNER * size_2), size_2 * (1 - _INNER))
            scale = (1 + self.paste_zoom) ** way_3[2]
            y_HW, x_HW = self._source_places(bend_key, *(grid_2HW - to_2[:, None, None]))
            at = [scale * xy + m for xy, m in zip((y_HW, x_HW), middle_2, strict=True)]
            moved_HWC, hand_HW1 = jnp.split(_sampled(seen_HWC, at), (channels,), -1)
            return hand_HW1 * moved_HWC + (1 - hand_HW1) * behind_HWC

        pasted_BHWC = jax.vmap(one)(keys[0], keys[1], seen_BHWC, behind_BHWC)
        share_B = seen_BHWC[..., -1].mean((1, 2))
        chosen_B = jax.vmap(functools.partial(jax.random.bernoulli, p=self.paste))(keys[2])
        chosen_B &= (_FOUND[0] < share_B) & (share_B < _FOUND[1])
        return jnp.where(chosen_B[:, None, None, None], pasted_BHWC, picture_BHWC)

    def _rotated(self, key: jax.Array, x_BHWC: jax.Array) -> jax.Array:
        """Rotated and sheared about the middle. This gathers pixels: unlike a shift, it is no
        product of maps of the two axes."""
        rows, height, width, _ = x_BHWC.shape
        middle_2 = np.array([height - 1, width - 1]) / 2
        grid_2HW = np.mgrid[:height, :width] - middle_2[:, None, None]

        def one(key: jax.Array, image_HWC: jax.Array) -> jax.Array:
            bent = self._source_places(key, *grid_2HW)
            return _sampled(image_HWC, [xy + m for xy, m in zip(bent, middle_2, strict=True)])

        return jax.vmap(one)(jax.random.split(key, rows), x_BHWC)

    def _source_places(
        self, key: jax.Array, y_HW: jax.Array, x_HW: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """The places, y and x from a middle, that pixels come from when an image is rotated and
        sheared about that middle."""
        turn_key, shear_key = jax.random.split(key)
        most = math.radians(self.turn)
        angle = jax.random.uniform(turn_key, minval=-most, maxval=most)
        slope_2 = jax.random.uniform(shear_key, (2,), minval=-self.shear, maxval=self.shear)
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        y_HW, x_HW = y_HW + slope_2[0] * x_HW, x_HW + slope_2[1] * y_HW
        return cos * y_HW - sin * x_HW, sin * y_HW + cos * x_HW


_INNER = 0.15  # Of a side: the least distance of a pasted hand's middle from the edges.
_FOUND = 0.02, 0.6  # Shares of the image: less is no hand, more leaves no known background.


def _sampled(image_HWC: jax.Array, at: list[jax.Array]) -> jax.Array:
    """The image at places (y, x), interpolated. Edges are repeated, from a fiftieth within: a frame
    of one pixel, which an image may have, would fill the field."""
    sides = [(n // 50, n - 1 - n // 50) for n in image_HWC.shape[:2]]
    at = [jnp.clip(xy, *side) for xy, side in zip(at, sides, strict=True)]
    pick = functools.partial(map_coordinates, coordinates=at, order=1, mode="nearest")
    return jax.vmap(pick, -1, -1)(image_HWC)
