"""Layers that the networks share: parameters and arithmetic; keys and caches are arguments.

Shape suffixes: B batch, S frames, T characters, D width, N heads, H head width, K kernel taps.
Matrices start as LeCun normal, biases and the shifts of norms at zero, unless said otherwise.
"""

import contextlib
import contextvars
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

KEPT = "product"  # The name of results that `scan` keeps beside those of plain products.
_exporting = contextvars.ContextVar("exporting", default=False)


@contextlib.contextmanager
def exporting() -> Iterator[None]:
    """Within it the blocks of a network are traced one after another, each with its weights as
    constants: TFLite packs and quantises those, and none that a loop slices."""
    token = _exporting.set(True)
    try:
        yield
    finally:
        _exporting.reset(token)


def is_exporting() -> bool:
    return _exporting.get()


class Frozen(nnx.Variable):
    """A weight that is not trained: no gradient, no optimiser state, no average."""


def _is_variable(x: Any) -> bool:
    return isinstance(x, nnx.Variable)


def parted(model: Any) -> tuple[Any, Any]:
    """The model without its `Frozen` leaves, and with these alone; None stands for the others."""

    def pick(frozen: bool) -> Any:
        def keep(x: Any) -> Any:
            return x if isinstance(x, Frozen) == frozen else None

        return jax.tree.map(keep, model, is_leaf=_is_variable)

    return pick(False), pick(True)


def joined(model: Any, frozen: Any) -> Any:
    """The whole that `parted` took apart."""

    def either(a: Any, b: Any) -> Any:
        return b if a is None else a

    return jax.tree.map(either, model, frozen, is_leaf=lambda x: x is None or _is_variable(x))


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


def _window(x_BSD: jax.Array, taps: int) -> jax.Array:
    return jnp.pad(x_BSD, ((0, 0), (taps // 2, taps - 1 - taps // 2), (0, 0)))


@jax.custom_vjp
def depthwise(x_BSD: jax.Array, kernel_KD: jax.Array) -> jax.Array:
    """A convolution over time, each channel on its own, zeros beyond both ends.

    Shifted multiplies: of f32[32,96,192] with 15 taps a tenth of the time of a grouped convolution,
    backward too (7 and 70 ms on two cores); in TFLite half of that of its DEPTHWISE_CONV_2D.
    """
    taps, s = len(kernel_KD), x_BSD.shape[1]
    padded = _window(x_BSD, taps)
    return sum(padded[:, i : i + s] * kernel_KD[i] for i in range(taps))  # pyright: ignore


def _depthwise_forward(x_BSD, kernel_KD):
    return depthwise(x_BSD, kernel_KD), (x_BSD, kernel_KD)


def _depthwise_backward(residual, g_BSD):
    x_BSD, kernel_KD = residual
    (b, s, d), taps = x_BSD.shape, len(kernel_KD)
    padded = _window(x_BSD, taps)
    flipped = jnp.pad(g_BSD, ((0, 0), (taps - 1 - taps // 2, taps // 2), (0, 0)))
    dx_BSD = sum(flipped[:, taps - 1 - i : taps - 1 - i + s] * kernel_KD[i] for i in range(taps))

    def add(total_BKD, at):
        here = jax.lax.dynamic_slice_in_dim(padded, at, taps, 1)
        g_B1D = jax.lax.dynamic_slice_in_dim(g_BSD, at, 1, 1)
        return total_BKD + (here * g_B1D).astype(jnp.float32), None

    # Time outermost keeps the sums in cache and in vector registers: a third of the time of one
    # reduction for each tap.
    zero_BKD = jnp.zeros((b, taps, d))
    total_BKD, _ = jax.lax.scan(add, zero_BKD, jnp.arange(s), unroll=8)
    return dx_BSD, total_BKD.sum(0).astype(kernel_KD.dtype)


depthwise.defvjp(_depthwise_forward, _depthwise_backward)


class DepthwiseConv(nnx.Module):
    """`depthwise` with a bias; masked frames count as zeros."""

    def __init__(self, dim: int, taps: int, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        self.dtype = dtype
        self.kernel = kernel(rngs.params.normal((taps, dim)) / math.sqrt(taps), inputs=0)
        self.bias = nnx.Param(jnp.zeros(dim))

    def __call__(self, x_BSD: jax.Array, mask_BS: jax.Array) -> jax.Array:
        x_BSD = masked(x_BSD, mask_BS).astype(self.dtype)
        y_BSD = depthwise(x_BSD, self.kernel[...].astype(self.dtype))
        return y_BSD + self.bias[...].astype(self.dtype)


def materialised(x: Any) -> Any:
    """The same arrays; on a CPU computed once and stored, whoever reads them, where XLA would
    rather compute them again inside each reader (see `sharding.compiler_options`)."""
    if is_exporting():
        return x
    barrier = jax.lax.optimization_barrier
    return jax.lax.platform_dependent(x, cpu=barrier, default=lambda x: x)


@jax.custom_vjp
def product(x_C: jax.Array, w_CD: jax.Array) -> jax.Array:
    """x @ w of any axes and two. Autodiff transposes the gradient of w after its product; XLA's CPU
    compiler makes one of both, in an order that its fast kernels lack."""
    return x_C @ w_CD


def _product_backward(residual, g_D):
    x_C, w_CD = residual
    x_RC, g_RD = (a.reshape(-1, a.shape[-1]) for a in (x_C, g_D))
    return g_D @ w_CD.T, materialised(x_RC.T) @ g_RD


product.defvjp(lambda x, w: (product(x, w), (x, w)), _product_backward)


class Linear(nnx.Module):
    """nnx.Linear by `product`, in float32."""

    def __init__(self, wide: int, narrow: int, *, kernel_init: nnx.Initializer, rngs: nnx.Rngs):
        self.kernel = nnx.Param(kernel_init(rngs.params(), (wide, narrow)))
        self.bias = nnx.Param(jnp.zeros(narrow))

    def __call__(self, x: jax.Array) -> jax.Array:
        return product(x, self.kernel[...]) + self.bias[...]


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


def scan(
    stacked: Any,
    x: jax.Array,
    key: jax.Array | None,
    apply: Callable[[Any, jax.Array, jax.Array | None], jax.Array],
    remat: bool = False,
) -> jax.Array:
    """`apply(block, x, key)` of each stacked block in turn: compiled once, whatever the depth, but
    while `exporting`, where there are no keys. With `remat` the results of a block's products with
    its weights are kept for the backward pass, and all else is computed again."""
    depth = len(jax.tree.leaves(stacked)[0])
    if _exporting.get():
        for i in range(depth):
            with jax.ensure_compile_time_eval():
                block = jax.tree.map(lambda leaf, i=i: leaf[i], stacked)
            x = apply(block, x, None)
        return x
    keys = None if key is None else jax.random.split(key, depth)
    if remat:  # In a loop's body no other pass can undo it: prevent_cse would cost copies.
        policies = jax.checkpoint_policies
        keep = policies.save_from_both_policies(
            policies.dots_with_no_batch_dims_saveable, policies.save_only_these_names(KEPT)
        )
        apply = jax.checkpoint(apply, policy=keep, prevent_cse=False)
    return jax.lax.scan(lambda x, part: (apply(part[0], x, part[1]), None), x, (stacked, keys))[0]
