"""Characters of a stream by CTC, each final once it is written.

Shape suffixes: B streams, M positions, V classes.
"""

import jax
import jax.numpy as jnp

from aslx.decode import decoding
from aslx.schema import vocab


def start(batch: int, alphabet: vocab.Alphabet) -> jax.Array:
    """The state before the first position, i32[B]: the likeliest class of the position before."""
    return jnp.full(batch, alphabet.blank, jnp.int32)


def greedy(
    last_B: jax.Array, logits_BMV: jax.Array, mask_BM: jax.Array, alphabet: vocab.Alphabet
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """[B, M] twice: the character that is written at each position, or the pad, and its
    probability there; and the state behind the last position.

    A character is written at the first position whose likeliest class it is, as in
    `decoding.ctc_greedy`. Its probability is the one at that position: later ones are not known.
    """
    path_BM, sure_BM, written_BM = decoding.ctc_path(logits_BMV, mask_BM, alphabet, last_B)
    return jnp.where(written_BM, path_BM, alphabet.pad), sure_BM, path_BM[:, -1]
