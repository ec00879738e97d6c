"""Logits to ids: what evaluation runs and what export puts into the file.

Everything here converts to TFLite's built-in operations. Rows answer `vocab.PAD` after their end.
Shape suffixes: B batch, S frames, F features, M memory, T characters, V classes.
"""

from typing import Any

import jax
import jax.numpy as jnp

from aslx import vocab


def greedy(model: Any, features_BSF: jax.Array, mask_BS: jax.Array, max_tokens: int) -> jax.Array:
    """i32[B, max_tokens]: the likeliest character after those before it, up to and with END.

    Stops when every row has ended; a row that never ends fills its `max_tokens`.
    """
    memory, memory_mask = model.encode(features_BSF, mask_BS)
    b = memory.shape[0]
    at_T = jnp.arange(max_tokens)

    def unfinished(state):
        t, _, _, ended_B, _ = state
        return (t < max_tokens) & ~ended_B.all()

    def step(state):
        t, tokens_B, text_BT, ended_B, cache = state
        logits_BV, cache = model.advance(tokens_B, cache)
        tokens_B = jnp.argmax(logits_BV, -1).astype(jnp.int32)
        tokens_B = jnp.where(ended_B, vocab.PAD, tokens_B)
        text_BT = jnp.where(at_T == t, tokens_B[:, None], text_BT)
        return t + 1, tokens_B, text_BT, ended_B | (tokens_B == vocab.END), cache

    start_B = jnp.full(b, vocab.START, jnp.int32)
    empty_BT = jnp.full((b, max_tokens), vocab.PAD, jnp.int32)
    first = (jnp.int32(0), start_B, empty_BT, jnp.zeros(b, bool))
    cache = model.start(memory, memory_mask, max_tokens)
    return jax.lax.while_loop(unfinished, step, (*first, cache))[2]


def ctc_greedy(logits_BMV: jax.Array, mask_BM: jax.Array) -> jax.Array:
    """i32[B, M]: the likeliest path without its repeats and blanks, moved to the left.

    The move is a product with a permutation: a scatter converts to an operation that older
    runtimes lack, a sort does not convert.
    """
    m = logits_BMV.shape[1]
    path_BM = jnp.argmax(logits_BMV, -1).astype(jnp.int32)
    path_BM = jnp.where(mask_BM, path_BM, vocab.BLANK)
    before_BM = jnp.pad(path_BM, ((0, 0), (1, 0)), constant_values=vocab.BLANK)[:, :m]
    keep_BM = (path_BM != before_BM) & (path_BM != vocab.BLANK)
    at_BM = jnp.cumsum(keep_BM, 1) - 1
    move_BMM = (at_BM[:, :, None] == jnp.arange(m)) & keep_BM[:, :, None]
    # Ids from the pad's, so that an empty place (zero) is a pad; exact in float32.
    ids_BM = jnp.einsum("bm,bmn->bn", (path_BM - vocab.PAD).astype(jnp.float32), move_BMM * 1.0)
    return ids_BM.astype(jnp.int32) + vocab.PAD


def positions_greedy(logits_BTV: jax.Array) -> jax.Array:
    """i32[B, T]: the likeliest character of each position by itself, pads after the first END."""
    tokens_BT = jnp.argmax(logits_BTV, -1).astype(jnp.int32)
    end_BT = tokens_BT == vocab.END
    return jnp.where(jnp.cumsum(end_BT, 1) > end_BT, vocab.PAD, tokens_BT)
