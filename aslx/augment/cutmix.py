"""Clips that take the end of another clip of the same signer.

Shape suffixes: B clips, T frames of the clip, N points, L characters.
"""

import dataclasses

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

    def apply(self, batch: Batch, happens_B: jax.Array, key: jax.Array) -> Batch:
        """The rows that happen to be joined, as text, and as which frames follow one another:
        `landmarks` becomes [B,2T,N,3], the row's own frames and those of the row beside it, and
        `frames` i32[B,T] is added."""
        x_BTN3, length_B, tokens = batch["landmarks"], batch["length"], batch["tokens"]
        count_B = (tokens != vocab.NONE).sum(1)
        signer_B = jnp.where(batch["weight"] > 0, batch["signer"], -1)
        fits = (signer_B >= 0) & (signer_B == jnp.roll(signer_B, 1))
        before_B, after_B = fits, jnp.roll(fits, -1)
        cut_key, coin_key = jax.random.split(key)
        before_B &= ~after_B | jax.random.bernoulli(coin_key, shape=fits.shape)
        before_B, after_B = before_B & happens_B, after_B & happens_B

        def beside(x: jax.Array) -> jax.Array:
            """The rows to join with; a row that is not joined, with itself."""
            # Of a roll only the edge rows travel between devices; of a gather all rows would.
            return where(before_B, jnp.roll(x, 1, 0), where(after_B, jnp.roll(x, -1, 0), x))

        cut_B = jax.random.uniform(cut_key, fits.shape, minval=self.margin, maxval=1 - self.margin)
        frames_BT, length_B = _joined(x_BTN3.shape[1], length_B, beside(length_B), cut_B)
        from_BL, count_B = _joined(tokens.shape[1], count_B, beside(count_B), cut_B)
        tokens = jnp.take_along_axis(jnp.concatenate([tokens, beside(tokens)], 1), from_BL, 1)
        tokens = jnp.where(jnp.arange(tokens.shape[1]) < count_B[:, None], tokens, vocab.NONE)
        both = jnp.concatenate([x_BTN3, beside(x_BTN3)], 1)
        joined = {"landmarks": both, "frames": frames_BT, "length": length_B, "tokens": tokens}
        return batch | joined


def where(which_B: jax.Array, x: jax.Array, other: jax.Array) -> jax.Array:
    """Rows of `x` where `which_B`, else rows of `other`."""
    return jnp.where(which_B.reshape(-1, *(1,) * (x.ndim - 1)), x, other)


def _joined(
    size: int, length_B: jax.Array, other_length_B: jax.Array, cut_B: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Where each place of a joined row lies in its own `size` places and those of the other row
    behind them: its own up to its cut, then the other's from its cut on. And the new length, which
    is at most the longer of the two."""
    end_B = jnp.round(cut_B * length_B).astype(jnp.int32)
    start_B = jnp.round(cut_B * other_length_B).astype(jnp.int32)
    at_T = jnp.arange(size)
    theirs_BT = size + jnp.clip(at_T - (end_B - start_B)[:, None], 0, size - 1)
    return jnp.where(at_T < end_B[:, None], at_T, theirs_BT), end_B + other_length_B - start_B
