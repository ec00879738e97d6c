"""Logits to ids, by the functions that evaluation runs and that exported files contain.

Each decoder returns ids, the alphabet's pad after a row's end, and the probability of each id under
the softmax of the head; at pads that number means nothing. Everything here converts to TFLite's
built-in operations.
Shape suffixes: B batch, K beams, M memory, D width, T and L characters, V classes.
"""

import jax
import jax.numpy as jnp
import numpy as np

from aslx.schema import networks, vocab


def characters(tokens_BL: jax.Array, alphabet: vocab.Alphabet) -> jax.Array:
    """i32[B]: the number of characters of each text."""
    return (tokens_BL != alphabet.pad).sum(-1)


def with_end(tokens_BL: jax.Array, alphabet: vocab.Alphabet) -> jax.Array:
    """Characters, END, pads: [B, L + 1]."""
    padded_BT = jnp.pad(tokens_BL, ((0, 0), (0, 1)), constant_values=alphabet.pad)
    at_BT = jnp.arange(padded_BT.shape[1])[None, :]
    return jnp.where(at_BT == characters(tokens_BL, alphabet)[:, None], alphabet.end, padded_BT)


def with_start(tokens_BL: jax.Array, alphabet: vocab.Alphabet) -> jax.Array:
    """START, characters, pads: [B, L + 1]."""
    return jnp.pad(tokens_BL, ((0, 0), (1, 0)), constant_values=alphabet.start)


def likeliest(logits_V: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The likeliest class along the last axis, i32[...], and its probability, f32[...]."""
    sure = jax.nn.softmax(logits_V.astype(jnp.float32)).max(-1)
    return jnp.argmax(logits_V, -1).astype(jnp.int32), sure


def greedy(
    model: networks.Decoder,
    memory_BMD: jax.Array,
    mask_BM: jax.Array,
    alphabet: vocab.Alphabet,
    max_tokens: int,
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
        tokens_B, sure_B = likeliest(logits_BV)
        tokens_B = jnp.where(ended_B, alphabet.pad, tokens_B)
        text_BT = jnp.where(at_T == t, tokens_B[:, None], text_BT)
        sure_BT = jnp.where(at_T == t, sure_B[:, None], sure_BT)
        return t + 1, tokens_B, text_BT, sure_BT, ended_B | (tokens_B == alphabet.end), cache

    start_B = jnp.full(b, alphabet.start, jnp.int32)
    empty_BT = jnp.full((b, max_tokens), alphabet.pad, jnp.int32)
    unsure_BT = jnp.zeros((b, max_tokens), jnp.float32)
    first = (jnp.int32(0), start_B, empty_BT, unsure_BT, jnp.zeros(b, bool))
    cache = model.start(memory_BMD, mask_BM, max_tokens)
    _, _, text_BT, sure_BT, _, _ = jax.lax.while_loop(unfinished, step, (*first, cache))
    return text_BT, sure_BT


def ctc_path(
    logits_BMV: jax.Array,
    mask_BM: jax.Array,
    alphabet: vocab.Alphabet,
    last_B: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """[B, M] each: the likeliest character or blank of a frame, its probability, and whether the
    frame begins a character of the text. `last_B` is the path's value at the frame before the
    first; a blank where there is none."""
    path_BM, sure_BM = likeliest(logits_BMV)
    path_BM = jnp.where(mask_BM, path_BM, alphabet.blank)
    before_BM = jnp.pad(path_BM, ((0, 0), (1, 0)), constant_values=alphabet.blank)[:, :-1]
    if last_B is not None:
        before_BM = jnp.concatenate([last_B[:, None], before_BM[:, 1:]], 1)
    return path_BM, sure_BM, (path_BM != before_BM) & (path_BM != alphabet.blank)


def ctc_greedy(
    logits_BMV: jax.Array, mask_BM: jax.Array, alphabet: vocab.Alphabet
) -> tuple[jax.Array, jax.Array]:
    """[B, M]: the likeliest path without repeats and blanks, moved to the left. A character's
    probability is the mean over its frames.

    The move is a product with a permutation, because a sort does not convert, and a scatter
    converts to an operation that older runtimes lack.
    """
    m = logits_BMV.shape[1]
    path_BM, sure_BM, keep_BM = ctc_path(logits_BMV, mask_BM, alphabet)
    at_BM = jnp.cumsum(keep_BM, 1) - 1
    # True at the frames of the n-th character, of which the first is kept.
    run_BMM = (at_BM[:, :, None] == jnp.arange(m)) & (path_BM != alphabet.blank)[:, :, None]
    move_BMM = run_BMM & keep_BM[:, :, None]
    # Counted from the pad's id, so that zero, an empty place, is a pad. Exact in float32.
    ids_BM = jnp.einsum("bm,bmn->bn", (path_BM - alphabet.pad).astype(jnp.float32), move_BMM * 1.0)
    total_BM = jnp.einsum("bm,bmn->bn", sure_BM, run_BMM * 1.0)
    frames_BM = jnp.maximum((run_BMM * 1.0).sum(1), 1.0)
    return ids_BM.astype(jnp.int32) + alphabet.pad, total_BM / frames_BM


def positions_greedy(
    logits_BTV: jax.Array, alphabet: vocab.Alphabet
) -> tuple[jax.Array, jax.Array]:
    """[B, T]: the likeliest character of each position by itself, with pads after the first END."""
    tokens_BT, sure_BT = likeliest(logits_BTV)
    end_BT = tokens_BT == alphabet.end
    return jnp.where(jnp.cumsum(end_BT, 1) > end_BT, alphabet.pad, tokens_BT), sure_BT


def packed(
    tokens_BL: jax.Array, sure_BL: jax.Array, alphabet: vocab.Alphabet, length: int
) -> tuple[jax.Array, jax.Array]:
    """[B, length] twice: the characters in their order, moved to the left over the pads between
    them, with their probabilities; what does not fit is left out. A product, as in `ctc_greedy`."""
    keep_BL = tokens_BL != alphabet.pad
    at_BL = jnp.cumsum(keep_BL, 1) - 1
    move_BLN = ((at_BL[:, :, None] == jnp.arange(length)) & keep_BL[:, :, None]) * 1.0
    ids_BN = jnp.einsum("bl,bln->bn", (tokens_BL - alphabet.pad).astype(jnp.float32), move_BLN)
    return ids_BN.astype(jnp.int32) + alphabet.pad, jnp.einsum("bl,bln->bn", sure_BL, move_BLN)


def fallback(
    tokens_BL: jax.Array,
    sure_BL: jax.Array,
    mask_BS: jax.Array,
    alphabet: vocab.Alphabet,
    ids: np.ndarray,
    below: float,
) -> tuple[jax.Array, jax.Array]:
    """The decoded texts, with the text `ids` i[P] in place of those whose confidence is lower than
    `below`. The confidence is the mean over a text's characters, and 0 for a clip without a real
    frame; the new text keeps it. L grows to P where it is smaller."""
    real_BL = tokens_BL < alphabet.pad
    sure_B = jnp.where(real_BL, sure_BL, 0.0).sum(1) / jnp.maximum(real_BL.sum(1), 1)
    sure_B1 = jnp.where(mask_BS.any(1), sure_B, 0.0)[:, None]
    width = max(tokens_BL.shape[1], len(ids))
    wider = ((0, 0), (0, width - tokens_BL.shape[1]))
    tokens_BL = jnp.pad(tokens_BL, wider, constant_values=alphabet.pad)
    text_L = np.full(width, alphabet.pad, np.int32)
    text_L[: len(ids)] = ids
    unsure_B1 = sure_B1 < below
    return (
        jnp.where(unsure_B1, text_L, tokens_BL),
        jnp.where(unsure_B1, sure_B1, jnp.pad(sure_BL, wider)),
    )


def agreed(text_BKL: jax.Array, share_BK: jax.Array, alphabet: vocab.Alphabet) -> jax.Array:
    """f32[B, L]: the confidence in each character of the first text: the share of the texts that
    agree with it from their beginning up to the character, or from their end down to it. So a text
    that differs in one character, or has one more or one less, lowers the confidence there alone.
    K texts are searched, with the shares `share`."""
    best_B1L, at_L = text_BKL[:, :1], jnp.arange(text_BKL.shape[2])
    size_BK = characters(text_BKL, alphabet)
    before_BKL = jnp.cumsum(text_BKL != best_B1L, 2)
    at_BKL = at_L + (size_BK - size_BK[:, :1])[..., None]
    from_end_BKL = jnp.take_along_axis(text_BKL, jnp.clip(at_BKL, 0, len(at_L) - 1), 2)
    differ_BKL = ((from_end_BKL != best_B1L) | (at_BKL < 0)) & (at_L < size_BK[:, :1, None])
    after_BKL = differ_BKL.sum(2, keepdims=True) - jnp.cumsum(differ_BKL, 2) + differ_BKL
    same_BKL = (before_BKL == 0) | (after_BKL == 0)
    return (same_BKL * share_BK[..., None]).sum(1)


def answers(tokens_BL: jax.Array, sure_BL: jax.Array, alphabet: vocab.Alphabet) -> jax.Array:
    """f32[B, 2, L]: characters, pads after the last, and their probabilities. None of these is
    0: in an exported row the largest value marks the character."""
    character_BL = jnp.minimum(tokens_BL, alphabet.pad)
    value_BL = jnp.where(character_BL < alphabet.pad, jnp.maximum(sure_BL, 1e-6), 1.0)
    return jnp.stack([character_BL.astype(jnp.float32), value_BL], axis=1)


def rows(answers_B2L: jax.Array, alphabet: vocab.Alphabet) -> jax.Array:
    """f32[B, L, N + 1] of N characters: a row for each place, with the probability of its character
    in that column and zeros elsewhere. The last column, the pad's, is not in Kaggle's map."""
    character_BL, value_BL = answers_B2L[:, 0], answers_B2L[:, 1]
    here_BLV = character_BL[..., None] == jnp.arange(alphabet.pad + 1)
    return jnp.where(here_BLV, value_BL[..., None], 0.0)
