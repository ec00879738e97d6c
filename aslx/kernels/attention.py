"""Attention without its projections: values mixed by the softmax of queries times keys.

Shape suffixes: B batch, T and S positions, N heads, H head width, R rows of a part.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from aslx.kernels import storing

_MANY_LOGITS = 2**20  # 4 MB, which the caches of a few cores hold.
_ROWS = 8  # Rows of a part: at least one for each of eight devices.


def plain(q_BTNH, k_BSNH, v_BSNH, mask_BTS) -> jax.Array:
    """[B, T, N, H]. The mask may have 1 for B or T. A row that sees nothing averages all values."""
    return jax.nn.dot_product_attention(q_BTNH, k_BSNH, v_BSNH, mask=mask_BTS[:, None])


def cpu(q_BTNH, k_BSNH, v_BSNH, mask_BTS) -> jax.Array:
    """Many float32 logits are computed in parts, a few rows of one head each, of which only the
    result leaves a core's cache. To write logits and transposed heads to memory and read them again
    takes as long as the products."""
    b, t, n, _ = q_BTNH.shape
    if b * t * n * k_BSNH.shape[1] < _MANY_LOGITS or q_BTNH.dtype != jnp.float32:
        return plain(q_BTNH, k_BSNH, v_BSNH, mask_BTS)
    return _in_parts(q_BTNH, k_BSNH, v_BSNH, mask_BTS)


@jax.custom_vjp
def _in_parts(q_BTNH, k_BSNH, v_BSNH, mask_BTS) -> jax.Array:
    parts = _Parts(q_BTNH, mask_BTS)

    def add(out, i):
        q, k, v = (parts.take(x, i) for x in (q_BTNH, k_BSNH, v_BSNH))
        return parts.put(out, _shares(q, k, parts.mask(i)) @ v, i)

    return parts.loop(add, parts.zeros(q_BTNH)).reshape(q_BTNH.shape)


def _backward(arrays, g_BTNH):
    *qkv, mask_BTS = arrays
    parts = _Parts(g_BTNH, mask_BTS)

    def add(grads, i):
        mask, (q, k, v, g) = parts.mask(i), (parts.take(x, i) for x in (*qkv, g_BTNH))
        p = storing.cpu(_shares(q, k, mask))
        dp = g @ v.swapaxes(1, 2)
        ds = p * (dp - (dp * p).sum(-1, keepdims=True)) / math.sqrt(q.shape[-1])
        ds = storing.cpu(jnp.where(mask, ds, 0))
        new = ds @ k, ds.swapaxes(1, 2) @ q, p.swapaxes(1, 2) @ g
        return tuple(parts.put(to, x, i) for to, x in zip(grads, new, strict=True))

    grads = parts.loop(add, tuple(parts.zeros(x) for x in qkv))
    return *(d.reshape(x.shape) for d, x in zip(grads, qkv, strict=True)), None


_in_parts.defvjp(lambda *arrays: (_in_parts(*arrays), arrays), _backward)


def _shares(q_RTH: jax.Array, k_RSH: jax.Array, mask_RTS: jax.Array) -> jax.Array:
    """[R, T, S]: the softmax, which is finite for rows that see nothing too."""
    logits_RTS = q_RTH @ k_RSH.swapaxes(1, 2) / math.sqrt(q_RTH.shape[-1])
    return jax.nn.softmax(jnp.where(mask_RTS, logits_RTS, jnp.finfo(q_RTH.dtype).min))


class _Parts:
    """Parts of one head and R rows each. The rows of a part lie far apart in the batch, so that
    every device that shares the batch has some of them."""

    def __init__(self, x_BTNH: jax.Array, mask_BTS: jax.Array):
        batch, _, self.heads, _ = x_BTNH.shape
        self.rows, self.mask_BTS = math.gcd(batch, _ROWS), mask_BTS
        self.count = batch // self.rows * self.heads

    def loop(self, add: Callable, out: Any) -> Any:
        return jax.lax.scan(lambda o, i: (add(o, i), None), out, jnp.arange(self.count))[0]

    def zeros(self, x_BTNH: jax.Array) -> jax.Array:
        return jnp.zeros_like(self._by_part(x_BTNH))

    def take(self, x_BTNH: jax.Array, i: jax.Array) -> jax.Array:
        x_RTNH = jax.lax.dynamic_index_in_dim(self._by_part(x_BTNH), i // self.heads, 1, False)
        return storing.cpu(jax.lax.dynamic_index_in_dim(x_RTNH, i % self.heads, 2, False))

    def put(self, out: jax.Array, x_RTH: jax.Array, i: jax.Array) -> jax.Array:
        at = 0, i // self.heads, 0, i % self.heads, 0
        return jax.lax.dynamic_update_slice(out, storing.cpu(x_RTH)[:, None, :, None], at)

    def mask(self, i: jax.Array) -> jax.Array:
        if len(self.mask_BTS) == 1:
            return self.mask_BTS
        return jax.lax.dynamic_index_in_dim(self._by_part(self.mask_BTS), i // self.heads, 1, False)

    def _by_part(self, x: jax.Array) -> jax.Array:
        return x.reshape(self.rows, -1, *x.shape[1:])
