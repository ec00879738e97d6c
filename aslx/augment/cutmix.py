"""Clips that take the end of another clip of the same signer.

Shape suffixes: B clips, T frames of the clip, N points, L characters.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from aslx.schema import vocab

Batch = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CutMix:
    """Joins the beginning of a clip and the end of another clip of the same signer, which is in the
    row before or after (`plan.Train` sorts rows by signer). The phrases are cut at the same shares,
    as if every character took the same time."""

    rate: float = 0.0
    margin: float = 0.2
    """Least share that is kept of either clip."""

    def apply(self, batch: Batch, key: jax.Array, features: Any) -> Batch:
        del features
        x_BTN3, length_B, tokens = batch["landmarks"], batch["length"], batch["tokens"]
        count_B = (tokens != vocab.PAD).sum(1)
        signer_B = jnp.where(batch["weight"] > 0, batch["signer"], -1)
        fits = (signer_B >= 0) & (signer_B == jnp.roll(signer_B, 1))
        before_B, after_B = fits, jnp.roll(fits, -1)
        cut_key, coin_key = jax.random.split(key)
        before_B &= ~after_B | jax.random.bernoulli(coin_key, shape=fits.shape)

        def beside(x: jax.Array) -> jax.Array:
            # Of a roll only the edge rows travel between devices; of a gather all rows would.
            return where(before_B, jnp.roll(x, 1, 0), where(after_B, jnp.roll(x, -1, 0), x))

        cut_B = jax.random.uniform(cut_key, fits.shape, minval=self.margin, maxval=1 - self.margin)
        x_BTN3, length_B = _joined(x_BTN3, length_B, beside(x_BTN3), beside(length_B), cut_B)
        tokens, count_B = _joined(tokens, count_B, beside(tokens), beside(count_B), cut_B)
        tokens = jnp.where(jnp.arange(tokens.shape[1]) < count_B[:, None], tokens, vocab.PAD)
        return batch | {"landmarks": x_BTN3, "length": length_B, "tokens": tokens}


def where(which_B: jax.Array, x: jax.Array, other: jax.Array) -> jax.Array:
    """Rows of `x` where `which_B`, else rows of `other`."""
    return jnp.where(which_B.reshape(-1, *(1,) * (x.ndim - 1)), x, other)


def _joined(
    x_BT: jax.Array,
    length_B: jax.Array,
    other_BT: jax.Array,
    other_length_B: jax.Array,
    cut_B: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Each row up to its cut, then the other row from its cut on; and the new length, which is at
    most the longer of the two."""
    end_B = jnp.round(cut_B * length_B).astype(jnp.int32)
    start_B = jnp.round(cut_B * other_length_B).astype(jnp.int32)
    at_T = jnp.arange(x_BT.shape[1])
    from_BT = jnp.clip(at_T - (end_B - start_B)[:, None], 0, x_BT.shape[1] - 1)
    column = (..., *(None,) * (x_BT.ndim - 2))
    theirs = jnp.take_along_axis(other_BT, from_BT[column], 1)
    joined = jnp.where((at_T < end_B[:, None])[column], x_BT, theirs)
    return joined, end_B + other_length_B - start_B
