"""What beam searches share: hypotheses side by side in a row, and a prior's part in their scores.

Shape suffixes as in beam_search.py.
"""

import jax
import jax.numpy as jnp

from aslx.decode import ngrams

NEVER = -jnp.inf


def rows(x: jax.Array, beams: int) -> jax.Array:
    """Each row repeated `beams` times: [B, ...] -> [B K, ...]."""
    return jnp.repeat(x, beams, 0)


def take(x_BK: jax.Array, parent_BK: jax.Array) -> jax.Array:
    """The parents' values, [B, K, ...]."""
    index = parent_BK.reshape(*parent_BK.shape, *(1,) * (x_BK.ndim - 2))
    return jnp.take_along_axis(x_BK, index, 1)


def likeliest(score_BN: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    """The k largest and their places, f32 and i32 [B, K]. `top_k` could not be exported."""
    at_N, values, places = jnp.arange(score_BN.shape[1]), [], []
    for _ in range(k):
        values.append(score_BN.max(1))
        places.append(jnp.argmax(score_BN, 1).astype(jnp.int32))
        score_BN = jnp.where(at_N == places[-1][:, None], NEVER, score_BN)
    return jnp.stack(values, 1), jnp.stack(places, 1)


def with_character(text_BKL: jax.Array, at_BK: jax.Array, character_BK: jax.Array) -> jax.Array:
    """The texts with one more character, in place `at`; where that is L, nothing changes."""
    here_BKL = jnp.arange(text_BKL.shape[-1]) == at_BK[..., None]
    return jnp.where(here_BKL, character_BK[..., None], text_BKL)


def prior_logp(prior: ngrams.Prior, state_BK: jax.Array) -> jax.Array:
    """f32[B, K, N + 1]: the prior's log-probability of each character, and of the end."""
    return jnp.asarray(prior.logp)[state_BK]


def next_state(prior: ngrams.Prior | None, state_BK: jax.Array, id_BK: jax.Array) -> jax.Array:
    """The prior's states after a character; after an end they mean nothing."""
    if prior is None:
        return state_BK
    symbol_BK = jnp.minimum(id_BK, prior.end)
    return jnp.asarray(prior.after).reshape(-1)[state_BK * (prior.end + 1) + symbol_BK]
