"""The published ASL-alphabet baseline's small network: two residual separable blocks.

Shape suffixes: B batch, H and W pixels, C channels, D width.
"""

import dataclasses
import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from aslx import errors
from aslx.kernels import depthwise
from aslx.models import layers

_WIDE, _NARROW = 64, 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """656,733 parameters with 100 x 100 x 3 and 29 classes."""

    dropout: float = 0.3
    """Rate after each residual block while training."""
    margin: int = 0
    """Cells, of four pixels, by which the edges of the last map are extended. The dense layer then
    reads every window of the wider map, so that the hand may stand anywhere. A class's probability
    is its sum over all windows, under one softmax: a window without the hand may say nothing
    (log-sum-exp pooling: Pinheiro & Collobert 2015, From Image-level to Pixel-level Labeling)."""
    stride: int = 1
    """Cells from one window to the next in a training step. The first window is drawn for each
    microbatch, so that all windows are learned. An answer always reads all windows."""
    scales: tuple[float, ...] = (1.0,)
    """Factors by which an answer resizes the image to find the hand; the windows of all sizes share
    the softmax. A training step sees the image as it is."""

    def __post_init__(self):
        if self.margin < 0 or self.stride < 1:
            raise errors.BadInput(
                f"margin {self.margin} is below 0, or stride {self.stride} below 1"
            )
        if not self.scales or min(self.scales) <= 0:
            raise errors.BadInput(f"scales {self.scales}: name one or more above 0")

    def build(self, num_features: tuple, classes: int, *, rngs: nnx.Rngs) -> "ResidualCNN":
        return ResidualCNN(self, num_features, classes, rngs=rngs)


def _scaled(image_BHWC: jax.Array, scale: float) -> jax.Array:
    """The image resized bilinearly about its middle in a frame of the same size; edges repeat."""
    if scale == 1:
        return image_BHWC

    def along(axis: int, x_BHWC: jax.Array) -> jax.Array:
        size = x_BHWC.shape[axis]
        middle, at = (size - 1) / 2, np.arange(size)
        from_S = np.clip((at - middle) / scale + middle, 0, size - 1)
        weight_SS = np.maximum(0, 1 - np.abs(from_S[:, None] - at)).astype(np.float32)
        # A matrix product can be exported.
        rows = x_BHWC.reshape(math.prod(x_BHWC.shape[:axis]), size, -1)
        moved = jnp.matmul(weight_SS, rows, precision=jax.lax.Precision.HIGHEST)
        return moved.reshape(x_BHWC.shape)

    return along(2, along(1, image_BHWC))


def _extended(x_BHWC: jax.Array, by: int, axis: int) -> jax.Array:
    """x with its first and its last slice along an axis repeated. jnp.pad slices along the other
    axes too, which moves data between devices that share a batch."""
    if not by:
        return x_BHWC
    last = x_BHWC.shape[axis] - 1
    before, after = (
        jnp.repeat(jax.lax.slice_in_dim(x_BHWC, i, i + 1, axis=axis), by, axis) for i in (0, last)
    )
    return jnp.concatenate([before, x_BHWC, after], axis)


class SeparableConv(layers.Layer):
    """3 x 3 taps for each channel by itself, then a product over the channels."""

    def __init__(self, wide: int, narrow: int, *, rngs: nnx.Rngs):
        # Keras counts all channels as inputs of each one; larger taps kill the dense layer's relu.
        limit = math.sqrt(6 / (9 * wide + 9))
        self.taps = nnx.Param(limit * rngs.params.uniform((9, wide), minval=-1))
        self.pointwise = layers.Linear(wide, narrow, kernel_init=layers.GLOROT, rngs=rngs)

    def __call__(self, x_BHWC: jax.Array) -> jax.Array:
        return self.pointwise(self.mode.depthwise(x_BHWC, self.taps[...].reshape(3, 3, -1)))


class Block(layers.Layer):
    """A separable convolution at half the size, with a shortcut of every other pixel."""

    def __init__(self, dim: int, *, rngs: nnx.Rngs):
        self.conv = SeparableConv(dim, dim, rngs=rngs)
        self.shortcut = layers.Linear(dim, dim, kernel_init=layers.GLOROT, rngs=rngs)

    def __call__(self, x_BHWD: jax.Array) -> jax.Array:
        # The relu of the largest is the largest of the relus, for a quarter of the pixels.
        y_BHWD = jax.nn.relu(self.mode.halve_image(self.conv(x_BHWD)))
        return y_BHWD + self.shortcut(x_BHWD[:, ::2, ::2])


class ResidualCNN(nnx.Module):
    """See `Config`."""

    def __init__(self, cfg: Config, num_features: tuple, classes: int, *, rngs: nnx.Rngs):
        height, width, channels = num_features
        linear = functools.partial(layers.Linear, kernel_init=layers.GLOROT, rngs=rngs)
        self.rate, self.margin, self.stride = cfg.dropout, cfg.margin, cfg.stride
        self.scales, self.window = cfg.scales, (-(-height // 4), -(-width // 4))
        self.stem = linear(9 * channels, _WIDE)
        self.first = Block(_WIDE, rngs=rngs)
        self.narrow = SeparableConv(_WIDE, _NARROW, rngs=rngs)
        self.second = Block(_NARROW, rngs=rngs)
        self.dense = linear(math.prod(self.window) * _NARROW, _NARROW)
        self.head = linear(_NARROW, classes)

    def classify(
        self, image_BHWC: jax.Array, mask: jax.Array, key: jax.Array | None = None
    ) -> jax.Array:
        """f32[B, classes] logits."""
        del mask
        *drops, windows_key = layers.split(key, 3)
        hidden = [
            self._windows(self._map(_scaled(image_BHWC, scale), drops), windows_key)
            for scale in (self.scales if key is None else (1.0,))
        ]
        return jax.nn.logsumexp(self.head(jax.nn.relu(jnp.concatenate(hidden, 1))), 1)

    def _map(self, image_BHWC: jax.Array, keys: list[jax.Array | None]) -> jax.Array:
        """The last map, a quarter as high and as wide as the image, with the margin around it."""
        x = jax.nn.relu(self.stem(jnp.concatenate(depthwise.neighbours(image_BHWC, (3, 3)), -1)))
        x = layers.dropout(self.first(x), self.rate, keys[0])
        x = layers.dropout(self.second(jax.nn.relu(self.narrow(x))), self.rate, keys[1])
        return _extended(_extended(x, self.margin, 1), self.margin, 2)

    def _windows(self, map_BHWC: jax.Array, key: jax.Array | None) -> jax.Array:
        """f32[B, V, D]: the dense layer's output for every window, or for some while training."""
        if not self.margin:
            return self.dense(map_BHWC.reshape(len(map_BHWC), 1, -1))
        if key is None or self.stride == 1:
            return self._every_window(map_BHWC)
        return self._some_windows(map_BHWC, key)

    def _every_window(self, map_BHWC: jax.Array) -> jax.Array:
        """The dense layer as a convolution."""
        kernel = self.dense.kernel[...].reshape(*self.window, map_BHWC.shape[-1], -1)
        hidden_BHWD = jax.lax.conv_general_dilated(
            map_BHWC, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        hidden_BHWD = hidden_BHWD + self.dense.bias[...]
        return hidden_BHWD.reshape(len(map_BHWC), -1, hidden_BHWD.shape[-1])

    def _some_windows(self, map_BHWC: jax.Array, key: jax.Array) -> jax.Array:
        """Windows `stride` apart, at the same places in all images."""
        rows, *_, channels = map_BHWC.shape
        places = 2 * self.margin + 1
        count = max(1, places // self.stride)
        first_2 = jax.random.randint(key, (2,), 0, places - (count - 1) * self.stride)
        # Slices, because the gradient of a gather would add up single values.
        size = (rows, *self.window, channels)
        steps = itertools.product(range(0, count * self.stride, self.stride), repeat=2)
        corners = [(0, first_2[0] + up, first_2[1] + along, 0) for up, along in steps]
        windows = jnp.stack([jax.lax.dynamic_slice(map_BHWC, c, size) for c in corners], 1)
        return self.dense(windows.reshape(rows, len(corners), -1))
