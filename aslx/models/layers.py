"""Layers that the networks share: parameters and arithmetic; keys and caches are arguments.

Shape suffixes: B batch, S frames, T characters, D width, N heads, H head width, K kernel taps.
Matrices start as LeCun normal, biases and the shifts of norms at zero, unless said otherwise.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from aslx.kernels import mode as modes


class Frozen(nnx.Variable):
    """A weight that is not trained: no gradient, no optimiser state, no average."""


def _is_variable(x: Any) -> bool:
    return isinstance(x, nnx.Variable)


class Layer(nnx.Module):
    """What computes by kernels: in their plain forms, unless `bound` gives it others."""

    mode = modes.PLAIN


def bound(network: Any, mode: modes.Mode) -> Any:
    """The network, or networks, computing in the forms of `mode`; the one given stays as it is."""

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

    Four values share a random word, so the rate is rounded to 1/256: on a CPU the random bits were
    a seventh of a step before, a thirtieth now.
    """
    if key is None or rate == 0:
        return x_BTD
    if x_BTD.ndim == 2:  # Words that rows share would be passed between the rows' devices.
        return dropout(x_BTD[:, None], rate, key)[:, 0]
    keep = round((1 - rate) * 256)
    *rows, t, d = x_BTD.shape
    words = jax.random.bits(key, (*rows, -(-t // 4), d))
    bytes_BTD = jnp.concatenate([(words >> s) & 255 for s in (0, 8, 16, 24)], axis=-2)
    return jnp.where(bytes_BTD[..., :t, :] < keep, x_BTD * (256 / keep), 0)


def drop_path(x_BSD: jax.Array, rate: float, key: jax.Array | None) -> jax.Array:
    """Drops whole rows while training (Huang et al. 2016, stochastic depth)."""
    if key is None or rate == 0:
        return x_BSD
    keep_B11 = jax.random.bernoulli(key, 1 - rate, (len(x_BSD), 1, 1))
    return jnp.where(keep_B11, x_BSD / (1 - rate), 0)


def split(key: jax.Array | None, n: int) -> list[jax.Array | None]:
    return [None] * n if key is None else list(jax.random.split(key, n))


def masked(x_BSD: jax.Array, mask_BS: jax.Array) -> jax.Array:
    """Zero where the mask is false, whatever stood there: NaN too."""
    return jnp.where(mask_BS[..., None], x_BSD, 0)


def positions(length: int, dim: int) -> np.ndarray:
    """f32[length, dim]: sines in the first half, cosines in the second, wavelengths from 2 pi up to
    20,000 pi (Vaswani et al. 2017, section 3.5, with the halves concatenated)."""
    rates = 10000.0 ** (-np.arange(dim // 2) / (dim // 2))
    angles = np.arange(length)[:, None] * rates
    return np.concatenate([np.sin(angles), np.cos(angles)], -1).astype(np.float32)


class DepthwiseConv(Layer):
    """A convolution over time of each channel on its own; masked frames count as zeros."""

    def __init__(self, dim: int, taps: int, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        self.dtype = dtype
        self.kernel = kernel(rngs.params.normal((taps, dim)) / math.sqrt(taps), inputs=0)
        self.bias = nnx.Param(jnp.zeros(dim))

    def __call__(self, x_BSD: jax.Array, mask_BS: jax.Array) -> jax.Array:
        x_BSD = masked(x_BSD, mask_BS).astype(self.dtype)
        y_BSD = self.mode.depthwise(x_BSD, self.kernel[...].astype(self.dtype))
        return y_BSD + self.bias[...].astype(self.dtype)


class Linear(Layer):
    """A linear map of the last axes, `into`, to the axes `out`, as nnx.LinearGeneral."""

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


def shift(x_BSD: jax.Array, mask_BS: jax.Array) -> jax.Array:
    """A quarter of the channels from the frame before, a quarter from the one after: a convolution
    over time that costs nothing (Lin et al. 2019, the temporal shift module)."""
    x_BSD = masked(x_BSD, mask_BS)
    quarter = x_BSD.shape[-1] // 4
    before = jnp.pad(x_BSD[:, :-1, :quarter], ((0, 0), (1, 0), (0, 0)))
    after = jnp.pad(x_BSD[:, 1:, quarter : 2 * quarter], ((0, 0), (0, 1), (0, 0)))
    return jnp.concatenate([before, after, x_BSD[..., 2 * quarter :]], -1)


def stack_frames(x_BSD: jax.Array, mask_BS: jax.Array, stride: int) -> tuple[jax.Array, jax.Array]:
    """Joins `stride` neighbouring frames: (B, M, stride * D) and a mask bool[B, M], true where any
    of them was; M = S / stride, rounded up. Missing frames are zeros."""
    b, s, d = x_BSD.shape
    x_BSD, more = masked(x_BSD, mask_BS), -s % stride
    x_BSD = jnp.pad(x_BSD, ((0, 0), (0, more), (0, 0)))
    mask_BS = jnp.pad(mask_BS, ((0, 0), (0, more)))
    m = (s + more) // stride
    return x_BSD.reshape(b, m, stride * d), mask_BS.reshape(b, m, stride).any(-1)


def kernel(value: jax.Array, inputs: int, kind: type = nnx.Param) -> Any:
    """A parameter by which a layer maps its inputs: as many first axes are those of the inputs,
    the others those of the outputs, so that an optimiser knows the matrix that it is. With 0 it is
    none: each output has weights of its own, as a depthwise convolution's."""
    return kind(value, inputs=inputs)


def stack(blocks: list) -> Any:
    """Blocks of one shape as one block whose parameters have a leading axis of layers; each notes
    that it has."""
    whole = jax.tree.map(lambda *leaves: jnp.stack(leaves), *blocks)
    for leaf in jax.tree.leaves(whole, is_leaf=_is_variable):
        leaf.set_metadata(stacked=leaf.get_metadata().get("stacked", 0) + 1)
    return whole
