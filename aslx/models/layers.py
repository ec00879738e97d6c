"""Layers that the networks share.

A layer holds parameters; random keys and caches are arguments of its calls.

Shape suffixes: B batch, S frames, T characters, D width, N heads, H head width, K kernel taps.
Matrices start as LeCun normal, biases and the shifts of norms at zero, unless a docstring differs.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from aslx.kernels import mode as modes

Network = TypeVar("Network")
GLOROT = nnx.initializers.glorot_uniform()
# Of the bias that ends a stem. Frames without a hand are zeros, and zeros stay zeros from block to
# block: each norm then multiplies its gradient by 1,000, and a few norms make it infinite.
AWAKE = nnx.initializers.normal(1.0)


class Frozen(nnx.Variable):
    """A weight that is not trained: no gradient, no optimiser state, no average."""


class Layer(nnx.Module):
    """A module that computes by kernels: in their plain forms, unless `bound` chose others."""

    mode = modes.PLAIN


def bound(network: Network, mode: modes.Mode) -> Network:
    """A copy of a network, or of a tree of networks, that computes in the forms of `mode`."""

    def bind(module: Any) -> Any:
        if not isinstance(module, nnx.Module):
            return module
        copy = jax.tree.map(lambda leaf: leaf, module)
        for _, part in nnx.iter_modules(copy):
            if isinstance(part, Layer):
                part.mode = mode
        return copy

    return jax.tree.map(bind, network, is_leaf=lambda x: isinstance(x, nnx.Module))


def dropout(x_BTD: jax.Array, rate: float, key: jax.Array | None) -> jax.Array:
    """Drops values while training (`key` given) and is the identity otherwise.

    Four values share a random word, so the rate is rounded to 1/256. On a CPU the random bits then
    take a thirtieth of a step, and not a seventh.
    """
    if key is None or rate == 0:
        return x_BTD
    if x_BTD.ndim == 2:  # Rows may lie on several devices, so they share no word.
        return dropout(x_BTD[:, None], rate, key)[:, 0]
    keep = round((1 - rate) * 256)
    *rows, t, d = x_BTD.shape
    words = jax.random.bits(key, (*rows, -(-t // 4), d))
    each = [(words >> s).astype(jnp.uint8) for s in (0, 8, 16, 24)]
    bytes_BTD = jnp.concatenate(each, axis=-2)
    return jnp.where(bytes_BTD[..., :t, :] < keep, x_BTD * (256 / keep), 0)


def drop_path(x_BSD: jax.Array, rate: float, key: jax.Array | None) -> jax.Array:
    """Drops whole rows while training (Huang et al. 2016, stochastic depth)."""
    if key is None or rate == 0:
        return x_BSD
    keep_B11 = jax.random.bernoulli(key, 1 - rate, (len(x_BSD), 1, 1))
    return jnp.where(keep_B11, x_BSD / (1 - rate), 0)


def split(key: jax.Array | None, n: int) -> list[jax.Array | None]:
    """`n` random keys, each None where `key` is."""
    return [None] * n if key is None else list(jax.random.split(key, n))


def masked(x_BSD: jax.Array, mask_BS: jax.Array) -> jax.Array:
    """x with zeros where the mask is false, even in place of NaN."""
    return jnp.where(mask_BS[..., None], x_BSD, 0)


def positions(length: int, dim: int) -> np.ndarray:
    """f32[length, dim] of sines, then cosines, whose wavelengths go from 2 pi to 20,000 pi (Vaswani
    et al. 2017, section 3.5, with the two halves concatenated)."""
    rates = 10000.0 ** (-np.arange(dim // 2) / (dim // 2))
    angles = np.arange(length)[:, None] * rates
    return np.concatenate([np.sin(angles), np.cos(angles)], -1).astype(np.float32)


class DepthwiseConv(Layer):
    """A convolution over time of each channel by itself; masked frames count as zeros."""

    def __init__(self, dim: int, taps: int, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        self.dtype = dtype
        self.kernel = kernel(rngs.params.normal((taps, dim)) / math.sqrt(taps), inputs=0)
        self.bias = nnx.Param(jnp.zeros(dim))

    def __call__(self, x_BSD: jax.Array, mask_BS: jax.Array) -> jax.Array:
        x_BSD = masked(x_BSD, mask_BS).astype(self.dtype)
        y_BSD = self.mode.depthwise(x_BSD, self.kernel[...].astype(self.dtype))
        return y_BSD + self.bias[...].astype(self.dtype)

    def within(self, x_BSD: jax.Array) -> jax.Array:
        """Only where all taps lie within x, which has the layer's type: [B, S - K + 1, D]."""
        y_BMD = self.mode.depthwise_within(x_BSD, self.kernel[...].astype(self.dtype))
        return y_BMD + self.bias[...].astype(self.dtype)


class Linear(Layer):
    """A linear map of the last axes, of sizes `into`, to axes of sizes `out`: nnx.LinearGeneral
    that computes by kernels."""

    def __init__(
        self,
        into: int | tuple[int, ...],
        out: int | tuple[int, ...],
        *,
        kernel_init: nnx.Initializer,
        dtype: jnp.dtype = jnp.dtype("float32"),
        rngs: nnx.Rngs,
    ):
        into, out = (n if isinstance(n, tuple) else (n,) for n in (into, out))
        self.axes, self.dtype = len(into), dtype
        value = kernel_init(rngs.params(), (math.prod(into), math.prod(out)))
        self.kernel = kernel(value.reshape(*into, *out), inputs=len(into))
        self.bias = nnx.Param(jnp.zeros(out))

    def __call__(self, x: jax.Array) -> jax.Array:
        rows = x.shape[: x.ndim - self.axes]
        kernel = self.kernel[...].astype(self.dtype).reshape(-1, self.bias.size)
        y = self.mode.linear(x.astype(self.dtype).reshape(*rows, -1), kernel)
        y = y + self.bias[...].astype(self.dtype).reshape(-1)
        return y.reshape(*rows, *self.bias.shape)


def dense_layers(widths: Sequence[int], *, rngs: nnx.Rngs) -> nnx.List:
    """Linear layers from each width to the next, glorot uniform as in Keras."""
    pairs = itertools.pairwise(widths)
    return nnx.List([Linear(a, b, kernel_init=GLOROT, rngs=rngs) for a, b in pairs])


def shift(x_BSD: jax.Array, mask_BS: jax.Array) -> jax.Array:
    """Takes a quarter of the channels from the previous frame and a quarter from the next one: a
    convolution over time that costs nothing (Lin et al. 2019, the temporal shift module)."""
    x_BSD = masked(x_BSD, mask_BS)
    quarter = x_BSD.shape[-1] // 4
    before = jnp.pad(x_BSD[:, :-1, :quarter], ((0, 0), (1, 0), (0, 0)))
    after = jnp.pad(x_BSD[:, 1:, quarter : 2 * quarter], ((0, 0), (0, 1), (0, 0)))
    return jnp.concatenate([before, after, x_BSD[..., 2 * quarter :]], -1)


def stack_frames(x_BSD: jax.Array, mask_BS: jax.Array, stride: int) -> tuple[jax.Array, jax.Array]:
    """Joins `stride` neighbouring frames: [B, M, stride * D] with M = S / stride, rounded up, and a
    mask bool[B, M] that is true where any of the frames was real. Missing frames are zeros."""
    b, s, d = x_BSD.shape
    more = (0, -s % stride)
    x_BSD = jnp.pad(masked(x_BSD, mask_BS), ((0, 0), more, (0, 0)))
    mask_BS = jnp.pad(mask_BS, ((0, 0), more))
    return x_BSD.reshape(b, -1, stride * d), mask_BS.reshape(b, -1, stride).any(-1)


def kernel(value: jax.Array, inputs: int, kind: type = nnx.Param) -> Any:
    """A layer's weights, with a note for the optimiser: the first `inputs` axes are those of the
    layer's inputs, the other axes those of its outputs. 0 says that the weights are no matrix, as
    those of a depthwise convolution, where each channel has its own."""
    return kind(value, inputs=inputs)
