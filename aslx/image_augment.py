"""Images shown in another way: on the device, keyed; clips are in augment.py."""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates

Batch = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Images:
    """Every image on its own: mirrored, moved, enlarged, turned, lit otherwise.

    A mirrored letter is another hand, and an upside-down one may be another letter.
    """

    flip_horizontal: bool = False
    flip_vertical: bool = False
    shift: float = 0.0
    """Largest way along each axis, in sides of the image; edges are repeated."""
    zoom: float = 0.0
    """Largest change of the scale, as a share."""
    turn: float = 0.0
    """Largest angle about the middle, in degrees, either way."""
    brightness: float = 0.0
    """Largest change of all pixels, in 255."""
    contrast: float = 0.0
    """Largest change of the distance from the image's mean, as a share."""

    def clips(self, batch: Batch, key: jax.Array, features: Any) -> Batch:
        """`image` u8[B,H,W,C] becomes f32, of 0 to 255."""
        del features
        x_BHWC = batch["image"].astype(jnp.float32)
        rows, height, width, _ = x_BHWC.shape
        keys = jax.random.split(key, 6)
        if self.flip_horizontal or self.flip_vertical or self.shift or self.zoom:
            scale_B = 1 + self.zoom * jax.random.uniform(keys[5], (rows,), minval=-1)
            up_BHH = self._moved(keys[0], scale_B, height, self.flip_vertical)
            along_BWW = self._moved(keys[1], scale_B, width, self.flip_horizontal)
            x_BHWC = jnp.einsum("bhi,bwj,bijc->bhwc", up_BHH, along_BWW, x_BHWC)
        if self.turn:
            x_BHWC = self._turned(keys[4], x_BHWC)
        shape = (rows, 1, 1, 1)
        stretch = jax.random.uniform(keys[2], shape, minval=-self.contrast, maxval=self.contrast)
        light = jax.random.uniform(keys[3], shape, minval=-self.brightness, maxval=self.brightness)
        mean = x_BHWC.mean((1, 2), keepdims=True)
        x_BHWC = (x_BHWC - mean) * (1 + stretch) + mean + 255 * light
        return batch | {"image": jnp.clip(x_BHWC, 0, 255)}

    def inputs(
        self, x_BHWC: jax.Array, mask_B1: jax.Array, key: jax.Array, features: Any
    ) -> jax.Array:
        """What the model sees stays as it is."""
        del mask_B1, key, features
        return x_BHWC

    def _moved(self, key: jax.Array, scale_B: jax.Array, size: int, flip: bool) -> jax.Array:
        """f32[B, size, size]: the weights with which pixels along an axis make up new ones."""
        flip_key, shift_key = jax.random.split(key)
        rows = len(scale_B)
        sign_B = jnp.where(flip & jax.random.bernoulli(flip_key, shape=(rows,)), -1.0, 1.0)
        shift_B = self.shift * size * jax.random.uniform(shift_key, (rows,), minval=-1)
        middle, at = (size - 1) / 2, jnp.arange(size)
        from_BS = (at - middle) * (sign_B * scale_B)[:, None] + middle + shift_B[:, None]
        from_BS = jnp.clip(from_BS, 0, size - 1)
        return jnp.maximum(0.0, 1.0 - jnp.abs(from_BS[:, :, None] - at))

    def _turned(self, key: jax.Array, x_BHWC: jax.Array) -> jax.Array:
        """A turned image is no product of maps of its two axes, as a moved one is: it gathers."""
        rows, height, width, _ = x_BHWC.shape
        most = math.radians(self.turn)
        angle_B = jax.random.uniform(key, (rows,), minval=-most, maxval=most)
        middle = np.array([height - 1, width - 1]) / 2
        y_HW, x_HW = np.mgrid[:height, :width] - middle[:, None, None]

        def one(image_HWC: jax.Array, angle: jax.Array) -> jax.Array:
            cos, sin = jnp.cos(angle), jnp.sin(angle)
            at = [cos * y_HW - sin * x_HW + middle[0], sin * y_HW + cos * x_HW + middle[1]]
            pick = functools.partial(map_coordinates, coordinates=at, order=1, mode="nearest")
            return jax.vmap(pick, -1, -1)(image_HWC)

        return jax.vmap(one)(x_BHWC, angle_B)
