"""Logits to ids, by the functions that evaluation runs and that exported files contain.

Each decoder returns ids, `vocab.PAD` after a row's end, and the probability of each id under the
softmax of the head; at pads that number means nothing. Everything here converts to TFLite's
built-in operations.
Shape suffixes: B batch, M memory, D width, T and L characters, V classes.
"""

import jax
import jax.numpy as jnp
import numpy as np

from aslx.schema import networks, vocab


def characters(tokens_BL: jax.Array) -> jax.Array:
    """i32[B]: the number of characters of each text."""
    return (tokens_BL != vocab.PAD).sum(-1)


def with_end(tokens_BL: jax.Array) -> jax.Array:
    """Characters, END, pads: [B, L + 1]."""
    padded_BT = jnp.pad(tokens_BL, ((0, 0), (0, 1)), constant_values=vocab.PAD)
    at_BT = jnp.arange(padded_BT.shape[1])[None, :]
    return jnp.where(at_BT == characters(tokens_BL)[:, None], vocab.END, padded_BT)


def with_start(tokens_BL: jax.Array) -> jax.Array:
    """START, characters, pads: [B, L + 1]."""
    return jnp.pad(tokens_BL, ((0, 0), (1, 0)), constant_values=vocab.START)


def _likeliest(logits_V: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The likeliest class along the last axis, i32[...], and its probability, f32[...]."""
    sure = jax.nn.softmax(logits_V.astype(jnp.float32)).max(-1)
    return jnp.argmax(logits_V, -1).astype(jnp.int32), sure


def greedy(
    model: networks.Decoder, memory_BMD: jax.Array, mask_BM: jax.Array, max_tokens: int
) -> tuple[jax.Array, jax.Array]:
    """[B, max_tokens]: the likeliest character after the characters before it, up to END inclusive.

    It stops when every row has ended; a row that never ends fills its `max_tokens`.
    """
    b = len(memory_BMD)
    at_T = jnp.arange(max_tokens)

    def unfinished(state):
        t, _, _, _, ended_B, _ = state
        return (t < max_tokens) & ~ended_B.all()

    def step(state):
        t, tokens_B, text_BT, sure_BT, ended_B, cache = state
        logits_BV, cache = model.advance(tokens_B, cache)
        tokens_B, sure_B = _likeliest(logits_BV)
        tokens_B = jnp.where(ended_B, vocab.PAD, tokens_B)
        text_BT = jnp.where(at_T == t, tokens_B[:, None], text_BT)
        sure_BT = jnp.where(at_T == t, sure_B[:, None], sure_BT)
        return t + 1, tokens_B, text_BT, sure_BT, ended_B | (tokens_B == vocab.END), cache

    start_B = jnp.full(b, vocab.START, jnp.int32)
    empty_BT = jnp.full((b, max_tokens), vocab.PAD, jnp.int32)
    unsure_BT = jnp.zeros((b, max_tokens), jnp.float32)
    first = (jnp.int32(0), start_B, empty_BT, unsure_BT, jnp.zeros(b, bool))
    cache = model.start(memory_BMD, mask_BM, max_tokens)
    _, _, text_BT, sure_BT, _, _ = jax.lax.while_loop(unfinished, step, (*first, cache))
    return text_BT, sure_BT


def ctc_path(logits_BMV: jax.Array, mask_BM: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """[B, M] each: the likeliest character or blank of a frame, its probability, and whether the
    frame begins a character of the text."""
    path_BM, sure_BM = _likeliest(logits_BMV)
    path_BM = jnp.where(mask_BM, path_BM, vocab.BLANK)
    before_BM = jnp.pad(path_BM, ((0, 0), (1, 0)), constant_values=vocab.BLANK)[:, :-1]
    return path_BM, sure_BM, (path_BM != before_BM) & (path_BM != vocab.BLANK)


def ctc_greedy(logits_BMV: jax.Array, mask_BM: jax.Array) -> tuple[jax.Array, jax.Array]:
    """[B, M]: the likeliest path without repeats and blanks, moved to the left. A character's
    probability is the mean over its frames.

    The move is a product with a permutation, because a sort does not convert, and a scatter
    converts to an operation that older runtimes lack.
    """
    m = logits_BMV.shape[1]
    path_BM, sure_BM, keep_BM = ctc_path(logits_BMV, mask_BM)
    at_BM = jnp.cumsum(keep_BM, 1) - 1
    # True at the frames of the n-th character, of which the first is kept.
    run_BMM = (at_BM[:, :, None] == jnp.arange(m)) & (path_BM != vocab.BLANK)[:, :, None]
    move_BMM = run_BMM & keep_BM[:, :, None]
    # Counted from the pad's id, so that zero, an empty place, is a pad. Exact in float32.
    ids_BM = jnp.einsum("bm,bmn->bn", (path_BM - vocab.PAD).astype(jnp.float32), move_BMM * 1.0)
    total_BM = jnp.einsum("bm,bmn->bn", sure_BM, run_BMM * 1.0)
    frames_BM = jnp.maximum((run_BMM * 1.0).sum(1), 1.0)
    return ids_BM.astype(jnp.int32) + vocab.PAD, total_BM / frames_BM


def positions_greedy(logits_BTV: jax.Array) -> tuple[jax.Array, jax.Array]:
    """[B, T]: the likeliest character of each position by itself, with pads after the first END."""
    tokens_BT, sure_BT = _likeliest(logits_BTV)
    end_BT = tokens_BT == vocab.END
    return jnp.where(jnp.cumsum(end_BT, 1) > end_BT, vocab.PAD, tokens_BT), sure_BT


def fallback(
    tokens_BL: jax.Array, sure_BL: jax.Array, mask_BS: jax.Array, ids: np.ndarray, below: float
) -> tuple[jax.Array, jax.Array]:
    """The decoded texts, with the text `ids` i[P] in place of those whose confidence is lower than
    `below`. The confidence is the mean over a text's characters, and 0 for a clip without a real
    frame; the new text keeps it. L grows to P where it is smaller."""
    real_BL = tokens_BL < vocab.PAD
    sure_B = jnp.where(real_BL, sure_BL, 0.0).sum(1) / jnp.maximum(real_BL.sum(1), 1)
    sure_B1 = jnp.where(mask_BS.any(1), sure_B, 0.0)[:, None]
    width = max(tokens_BL.shape[1], len(ids))
    wider = ((0, 0), (0, width - tokens_BL.shape[1]))
    tokens_BL = jnp.pad(tokens_BL, wider, constant_values=vocab.PAD)
    text_L = np.full(width, vocab.PAD, np.int32)
    text_L[: len(ids)] = ids
    unsure_B1 = sure_B1 < below
    return (
        jnp.where(unsure_B1, text_L, tokens_BL),
        jnp.where(unsure_B1, sure_B1, jnp.pad(sure_BL, wider)),
    )


def answers(tokens_BL: jax.Array, sure_BL: jax.Array) -> jax.Array:
    """f32[B, 2, L]: characters, vocab.PAD after the last, and their probabilities. None of these is
    0: in an exported row the largest value marks the character."""
    character_BL = jnp.minimum(tokens_BL, vocab.PAD)
    value_BL = jnp.where(character_BL < vocab.PAD, jnp.maximum(sure_BL, 1e-6), 1.0)
    return jnp.stack([character_BL.astype(jnp.float32), value_BL], axis=1)


def rows(answers_B2L: jax.Array) -> jax.Array:
    """f32[B, L, 60]: one row a character, with its probability in its column and zeros elsewhere.
    The column of vocab.PAD is not in Kaggle's map of characters."""
    character_BL, value_BL = answers_B2L[:, 0], answers_B2L[:, 1]
    here_BLV = character_BL[..., None] == jnp.arange(vocab.PAD + 1)
    return jnp.where(here_BLV, value_BL[..., None], 0.0)
