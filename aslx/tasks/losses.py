"""What the losses of transcribers are made of; shapes as in decoding.py."""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from aslx.decode import decoding
from aslx.kernels import random_streams
from aslx.models import layers
from aslx.schema import vocab

Array = jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class LateDropout:
    """Drops values of what an encoder gives its heads, late in training, when the network begins to
    learn clips by heart: as the isolated-sign competition's first place did (Kim 2023)."""

    rate: float = 0.0
    """Share that is dropped; 0: none."""
    start: float = 0.2
    """Share of all steps before the first that drops any."""

    def __call__(self, memory_BMD: Array, batch: dict, key: Array | None) -> Array:
        if key is None or not self.rate:
            return memory_BMD
        key = random_streams.named(key, "late_dropout")
        less_BMD = layers.dropout(memory_BMD, self.rate, key)
        late_B = batch["progress"] >= self.start
        return jnp.where(late_B[:, None, None], less_BMD, memory_BMD)


def backwards(tokens_BL: Array) -> Array:
    """Each row's characters from the last to the first, then its pads."""
    last_B1, at_L = decoding.characters(tokens_BL)[:, None] - 1, jnp.arange(tokens_BL.shape[1])
    return jnp.take_along_axis(tokens_BL, (last_B1 - at_L) % len(at_L), axis=1)


def cross_entropy(logits_BTV: Array, target_BT: Array, smoothing: float) -> Array:
    """f32[B,T], with the targets' labels smoothed."""
    target_BTV = jax.nn.one_hot(target_BT, logits_BTV.shape[-1])
    return optax.softmax_cross_entropy(logits_BTV, optax.smooth_labels(target_BTV, smoothing))


def hits(logits_BTV: Array, target_BT: Array, weight_BT: Array) -> tuple[Array, Array]:
    """The weight of the characters that are the likeliest, and of all."""
    # argmax as two plain reductions: a CPU vectorises them, and not the one of pairs.
    id_V = jnp.arange(logits_BTV.shape[-1])
    best_BTV = logits_BTV == logits_BTV.max(-1, keepdims=True)
    guess_BT = jnp.where(best_BTV, id_V, len(id_V)).min(-1)
    hit_BT = (guess_BT == target_BT) * weight_BT
    return hit_BT.sum(), weight_BT.sum()


def ctc(
    logits_BMV: Array, mask_BM: Array, batch: dict
) -> tuple[Array, Array, dict[str, tuple[Array, Array]]]:
    """Summed over the clips in which the phrase fits; the count is of characters and ends.

    Beside them `unaligned`, of how many clips it does not fit: a sum, so it is counted over nothing
    and no mean is taken.
    """
    tokens_BL = batch["tokens"]
    pads_BL = (tokens_BL == vocab.PAD).astype(jnp.float32)
    loss_B = optax.ctc_loss(
        logits_BMV, 1.0 - mask_BM.astype(jnp.float32), tokens_BL, pads_BL, blank_id=vocab.BLANK
    )
    repeats_B = ((tokens_BL[:, 1:] == tokens_BL[:, :-1]) & (tokens_BL[:, 1:] != vocab.PAD)).sum(-1)
    length_B = decoding.characters(tokens_BL)
    # With fewer frames than characters and blanks between twins there is no alignment.
    fits_B = mask_BM.sum(-1) >= length_B + repeats_B
    weight_B = batch["weight"] * fits_B
    total = jnp.where(weight_B > 0, loss_B * weight_B, 0.0).sum()
    unaligned = (batch["weight"] * ~fits_B).sum()
    sums = {"unaligned": (unaligned, jnp.zeros_like(unaligned))}
    return total, (weight_B * (length_B + 1)).sum(), sums
