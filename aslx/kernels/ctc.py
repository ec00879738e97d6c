"""Connectionist temporal classification (Graves et al. 2006), with a gradient of its own.

Shape suffixes: B batch, T frames, N labels, K classes, E the batch, or [2, B]: every row in both
directions. On several devices the two lie beside each other, and nothing is sent.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

_NEVER = -1e5  # The logarithm of a probability of 0; sums of it stay finite.
_EXACT = jax.lax.Precision.HIGHEST


def plain(
    logits_BTK: jax.Array, mask_BT: jax.Array, labels_BN: jax.Array, real_BN: jax.Array, blank: int
) -> jax.Array:
    """f32[B]: minus the logarithm of the probability of all alignments of the labels, those of
    which are `real` first, with the frames that the mask shows. A row with too few frames gets a
    loss of about 1e5 and a gradient without meaning."""
    paddings = 1.0 - mask_BT.astype(jnp.float32), 1.0 - real_BN.astype(jnp.float32)
    return optax.ctc_loss(
        logits_BTK, paddings[0], labels_BN, paddings[1], blank_id=blank, log_epsilon=_NEVER
    )


def cpu(logits_BTK, mask_BT, labels_BN, real_BN, blank: int) -> jax.Array:
    """Frame by frame: of several frames together XLA computes the first again for each other."""
    return _loss(1, logits_BTK, mask_BT, labels_BN, real_BN, blank)


def accelerator(logits_BTK, mask_BT, labels_BN, real_BN, blank: int) -> jax.Array:
    """Four frames a trip of the loop, of two kernels each on a GPU."""
    return _loss(4, logits_BTK, mask_BT, labels_BN, real_BN, blank)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 5))
def _loss(unroll: int, logits_BTK, mask_BT, labels_BN, real_BN, blank: int) -> jax.Array:
    """`plain`. Autodiff of its loop is a second loop, and both write many small arrays at each
    frame. Here one loop goes from both ends of a clip at once, and keeps one array."""
    log_BTK = jax.nn.log_softmax(logits_BTK)
    emitted_BTN = _emitted(log_BTK, labels_BN)
    rows = _Rows(emitted_BTN, log_BTK[..., blank], mask_BT, labels_BN, real_BN.sum(1))
    return -rows.walk(unroll, keep=False)[0]


def _forward(unroll, logits_BTK, mask_BT, labels_BN, real_BN, blank):
    log_BTK, count_B = jax.nn.log_softmax(logits_BTK), real_BN.sum(1)
    emitted_BTN = _emitted(log_BTK, labels_BN)

    def both(x: jax.Array, back: jax.Array) -> jax.Array:
        """The rows, and the same rows from their last frame and label to their first."""
        return jnp.stack([x, back])

    turned_BTN = emitted_BTN[:, ::-1, ::-1]
    rows = _Rows(
        both(emitted_BTN, turned_BTN),
        both(log_BTK[..., blank], log_BTK[:, ::-1, blank]),
        both(mask_BT, mask_BT[:, ::-1]),
        both(labels_BN, labels_BN[:, ::-1]),
        both(count_B, count_B),
        start_E=both(jnp.zeros_like(count_B), labels_BN.shape[1] - count_B),
    )
    (total_B, _), reached_TEN = rows.walk(unroll, keep=True)
    to_TBN, from_TBN = reached_TEN.swapaxes(0, 1)
    # Both ways have passed the frame that they meet in.
    met_BTN = (to_TBN + from_TBN[::-1, :, ::-1]).swapaxes(0, 1) - emitted_BTN
    share_BTN = jnp.exp(met_BTN - total_B[:, None, None]) * real_BN[:, None]
    return -total_B, (log_BTK, mask_BT, labels_BN, share_BTN)


def _backward(unroll, blank, residual, g_B):
    del unroll
    log_BTK, mask_BT, labels_BN, share_BTN = residual
    classes = log_BTK.shape[-1]
    # Every alignment shows one class at each frame: what is no label is the blank.
    blank_BT1 = 1 - share_BTN.sum(-1, keepdims=True)
    is_BNK = jax.nn.one_hot(labels_BN, classes)
    shown_BTK = jnp.einsum("btn,bnk->btk", share_BTN, is_BNK, precision=_EXACT)
    shown_BTK += blank_BT1 * jax.nn.one_hot(blank, classes)
    grad_BTK = jnp.where(mask_BT[..., None], jnp.exp(log_BTK) - shown_BTK, 0)
    return (grad_BTK * g_B[:, None, None]).astype(log_BTK.dtype), None, None, None


_loss.defvjp(_forward, _backward)


def _emitted(log_BTK: jax.Array, labels_BN: jax.Array) -> jax.Array:
    """f32[B,T,N]: the logarithm of each label's probability at each frame; a product with zeros and
    ones, because accelerators take single values slowly."""
    is_BNK = jax.nn.one_hot(labels_BN, log_BTK.shape[-1])
    return jnp.einsum("btk,bnk->btn", log_BTK, is_BNK, precision=_EXACT)


class _Rows:
    """The sum over alignments, frame by frame: probabilities, as logarithms, that the frames so far
    end in a label, or in the blank before or after it."""

    def __init__(self, emitted_ETN, blank_ET, mask_ET, labels_EN, count_E, start_E=None):
        by_frame = emitted_ETN, blank_ET[..., None], mask_ET[..., None]
        self.frames = tuple(jnp.moveaxis(x, -2, 0) for x in by_frame)
        self.count_E = count_E
        self.start_E = jnp.zeros_like(count_E) if start_E is None else start_E
        # Between equal labels lies a blank.
        self.skips_EN = _after(False, labels_EN[..., 1:] != labels_EN[..., :-1])

    def walk(self, unroll: int, keep: bool) -> tuple[jax.Array, Any]:
        """f32[E], of all alignments; with `keep`, f32[T,E,N], of all that are in a label."""
        at = jnp.arange(self.skips_EN.shape[-1] + 1)
        blanks = jnp.where(at == self.start_E[..., None], 0.0, _NEVER)
        first = blanks, jnp.full(self.skips_EN.shape, _NEVER)

        def add(carry, frame):
            (blanks, inside), (emitted, blank, real) = carry, frame
            before = _after(_NEVER, inside)
            skipped = jnp.where(self.skips_EN, before[..., :-1], _NEVER)
            entered = jnp.logaddexp(jnp.logaddexp(inside, blanks[..., :-1]), skipped)
            new = jnp.logaddexp(blanks, before) + blank, entered + emitted
            carry = tuple(jnp.where(real, a, b) for a, b in zip(new, carry, strict=True))
            return carry, carry[1] if keep else None

        (blanks, inside), reached = jax.lax.scan(add, first, self.frames, unroll=unroll)
        # A phrase ends in its last label, or in the blank after it.
        ends = at == (self.start_E + self.count_E)[..., None]
        return jnp.where(ends, jnp.logaddexp(blanks, _after(_NEVER, inside)), 0).sum(-1), reached


def _after(first: float, x: jax.Array) -> jax.Array:
    """x with one more value before the others of its last axis."""
    return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(1, 0)], constant_values=first)
