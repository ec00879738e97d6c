"""What the losses of transcribers are made of; shapes as in decoding.py."""

import jax
import jax.numpy as jnp
import optax

from aslx import decoding, vocab

Array = jax.Array


def cross_entropy(logits_BTV: Array, target_BT: Array, smoothing: float) -> Array:
    """f32[B,T], with the targets' labels smoothed."""
    target_BTV = jax.nn.one_hot(target_BT, logits_BTV.shape[-1])
    return optax.softmax_cross_entropy(logits_BTV, optax.smooth_labels(target_BTV, smoothing))


def hits(logits_BTV: Array, target_BT: Array, weight_BT: Array) -> tuple[Array, Array]:
    """The weight of the characters that are the likeliest, and of all."""
    hit_BT = (logits_BTV.argmax(-1) == target_BT) * weight_BT
    return hit_BT.sum(), weight_BT.sum()


def ctc(logits_BMV: Array, mask_BM: Array, batch: dict) -> tuple[Array, Array]:
    """Summed over the clips in which the phrase fits; the count is of characters and ends."""
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
    return jnp.where(weight_B > 0, loss_B * weight_B, 0.0).sum(), (weight_B * (length_B + 1)).sum()
