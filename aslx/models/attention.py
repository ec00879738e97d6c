"""Multi-head attention, rotary positions, and a decoder's cache.

Shape suffixes: B batch, T and S positions, D width, N heads, H head width, L cached positions.
Matrices start as LeCun normal and biases at zero.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from aslx import errors
from aslx.models import layers

Turns = jax.Array | np.ndarray | None


def turns(length: int, dim: int) -> np.ndarray:
    """f32[length, 2, dim / 2]: cosines and sines of the angles by which rotary positions turn heads
    of width `dim` (Su et al. 2021). A NumPy array is a constant of the program."""
    half = dim // 2
    angles = np.arange(length)[:, None] * 10000.0 ** (-np.arange(half) / half)
    return np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)


def rotate(x_BTNH: jax.Array, turns_T2H: jax.Array | np.ndarray) -> jax.Array:
    """Heads turned by the angles of their positions."""
    cos, sin = (turns_T2H[:, None, i].astype(x_BTNH.dtype) for i in (0, 1))
    a, b = jnp.split(x_BTNH, 2, -1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


class Attention(layers.Layer):
    """Multi-head attention, whose keys and values a decoder can keep.

    With `turns`, queries and keys carry rotary positions. A query that sees nothing averages all
    values: its result is finite, and the caller masks it.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        head_dim: int | None = None,
        *,
        kernel_init: nnx.Initializer = nnx.initializers.lecun_normal(),
        out_init: nnx.Initializer = nnx.initializers.lecun_normal(),
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        if dim % (2 * num_heads):
            raise errors.BadInput(
                f"dim {dim} does not split into {num_heads} heads of an even width"
            )
        self.head_dim = head_dim or dim // num_heads
        heads = (num_heads, self.head_dim)
        make = functools.partial(layers.Linear, dtype=dtype, rngs=rngs)
        self.q, self.k, self.v = (make(dim, heads, kernel_init=kernel_init) for _ in range(3))
        self.out = make(heads, dim, kernel_init=out_init)

    def keys_values(self, x_BSD: jax.Array, turns: Turns = None) -> tuple[jax.Array, ...]:
        """Two arrays [B, S, N, H]."""
        k_BSNH = self.k(x_BSD)
        return (k_BSNH if turns is None else rotate(k_BSNH, turns)), self.v(x_BSD)

    def attend(
        self,
        x_BTD: jax.Array,
        keys_values: tuple[jax.Array, ...],
        mask_BTS: jax.Array,
        turns: Turns = None,
    ) -> jax.Array:
        """[B, T, D]: what each position of x reads from the keys and values that `mask_BTS` shows
        it; the mask may have 1 for B or T."""
        k_BSNH, v_BSNH = keys_values
        return self.out(self._mix(x_BTD, k_BSNH, v_BSNH, mask_BTS, turns))

    def _mix(self, x_BTD, k_BSNH, v_BSNH, mask_BTS, turns: Turns = None) -> jax.Array:
        q_BTNH = self.q(x_BTD)
        q_BTNH = q_BTNH if turns is None else rotate(q_BTNH, turns)
        return self.mode.attention(q_BTNH, k_BSNH, v_BSNH, mask_BTS)

    def shares(self, x_BTD: jax.Array, k_BSNH: jax.Array, mask_BTS: jax.Array) -> jax.Array:
        """f32[B, T, S]: the share of its attention that each of T positions gives to each of S, as
        the mean over the heads.

        The values mixed here are one in one place and zero elsewhere, for as many places at a time
        as a head is wide. So these are the shares by which `attend` mixes."""
        s, h = k_BSNH.shape[1], self.head_dim
        one_CSH = jnp.eye(s, s + -s % h, dtype=k_BSNH.dtype).reshape(s, -1, h).transpose(1, 0, 2)
        mixed = [
            self._mix(x_BTD, k_BSNH, jnp.broadcast_to(one_SH[:, None], k_BSNH.shape), mask_BTS)
            for one_SH in one_CSH
        ]
        return jnp.concatenate(mixed, -1)[..., :s].astype(jnp.float32).mean(2)

    def __call__(self, x_BTD: jax.Array, mask_BTT: jax.Array, turns: Turns = None) -> jax.Array:
        """Self-attention."""
        return self.attend(x_BTD, self.keys_values(x_BTD, turns), mask_BTT, turns)


def write(cache: tuple[jax.Array, ...], new: tuple[jax.Array, ...], index: jax.Array):
    """Puts one step's keys and values (B, 1, N, H) into a cache (B, L, N, H) at `index`."""
    return tuple(
        jax.lax.dynamic_update_slice_in_dim(c, n.astype(c.dtype), index, 1)
        for c, n in zip(cache, new, strict=True)
    )


def causal(length: int) -> jax.Array:
    """bool[1, T, T]: each position sees itself and the positions before it."""
    return jnp.tril(jnp.ones((1, length, length), bool))
