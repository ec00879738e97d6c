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
    """Every image on its own: mirrored, moved, enlarged, turned, slanted, lit otherwise.

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
    shear: float = 0.0
    """Largest slope that either axis takes, either way."""
    brightness: float = 0.0
    """Largest change of all pixels, in 255."""
    contrast: float = 0.0
    """Largest change of the distance from the image's mean, as a share."""
    colour: float = 0.0
    """Largest change of the logarithm of a channel's gain."""
    gamma: float = 0.0
    """Largest change of the logarithm of the exponent of pixels between 0 and 1: how deep the
    shadows are."""

    def clips(self, batch: Batch, key: jax.Array, features: Any) -> Batch:
        """`image` u8[B,H,W,C] becomes f32, of 0 to 255."""
        del features
        x_BHWC = batch["image"].astype(jnp.float32)
        place_key, warp_key, light_key = jax.random.split(key, 3)
        if self.flip_horizontal or self.flip_vertical or self.shift or self.zoom:
            x_BHWC = self._placed(place_key, x_BHWC)
        if self.turn or self.shear:
            x_BHWC = self._warped(warp_key, x_BHWC)
        return batch | {"image": self._lit(light_key, x_BHWC)}

    def inputs(
        self, x_BHWC: jax.Array, mask_B1: jax.Array, key: jax.Array, features: Any
    ) -> jax.Array:
        """What the model sees stays as it is."""
        del mask_B1, key, features
        return x_BHWC

    def _placed(self, key: jax.Array, x_BHWC: jax.Array) -> jax.Array:
        rows, height, width, _ = x_BHWC.shape
        up_key, along_key, zoom_key = jax.random.split(key, 3)
        scale_B = 1 + self.zoom * jax.random.uniform(zoom_key, (rows,), minval=-1)
        up_BHH = self._moved(up_key, scale_B, height, self.flip_vertical)
        along_BWW = self._moved(along_key, scale_B, width, self.flip_horizontal)
        return jnp.einsum("bhi,bwj,bijc->bhwc", up_BHH, along_BWW, x_BHWC)

    def _lit(self, key: jax.Array, x_BHWC: jax.Array) -> jax.Array:
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

    def _warped(self, key: jax.Array, x_BHWC: jax.Array) -> jax.Array:
        """Turned and sheared about the middle. That is no product of maps of the two axes, as a
        move is: it gathers."""
        rows, height, width, _ = x_BHWC.shape
        turn_key, shear_key = jax.random.split(key)
        most = math.radians(self.turn)
        angle_B = jax.random.uniform(turn_key, (rows,), minval=-most, maxval=most)
        slope_B2 = jax.random.uniform(shear_key, (rows, 2), minval=-self.shear, maxval=self.shear)
        middle = np.array([height - 1, width - 1]) / 2
        y_HW, x_HW = np.mgrid[:height, :width] - middle[:, None, None]

        def one(image_HWC: jax.Array, angle: jax.Array, slope_2: jax.Array) -> jax.Array:
            cos, sin = jnp.cos(angle), jnp.sin(angle)
            y, x = y_HW + slope_2[0] * x_HW, x_HW + slope_2[1] * y_HW
            at = [cos * y - sin * x + middle[0], sin * y + cos * x + middle[1]]
            pick = functools.partial(map_coordinates, coordinates=at, order=1, mode="nearest")
            return jax.vmap(pick, -1, -1)(image_HWC)

        return jax.vmap(one)(x_BHWC, angle_B, slope_B2)
