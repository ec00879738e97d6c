"""The part of a transducer (Graves 2012) that knows the text: a character or a blank, given a
position of the memory and the last few characters.

Without a recurrent state, as in Ghodsi et al. 2020 ("RNN-transducer with stateless prediction
network"): the last characters are all that a search has to keep of a text.
Shape suffixes: D width, C characters of the context, V classes.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx


class Joint(nnx.Module):
    """`context` is the number of last characters that the next one depends on; `characters` are
    those of the alphabet, and the id after them stands for what is before the text."""

    def __init__(
        self, dim: int, context: int, characters: int, *, dtype: jnp.dtype, rngs: nnx.Rngs
    ):
        self.embed = nnx.Embed(characters + 1, dim, dtype=dtype, rngs=rngs)
        self.mix = nnx.Linear(context * dim, dim, dtype=dtype, rngs=rngs)
        self.head = nnx.Linear(dim, characters + 1, dtype=dtype, rngs=rngs)

    def predicted(self, last: jax.Array) -> jax.Array:
        """[..., D] of the last characters i32[..., C]."""
        each: Any = self.embed(last)
        return self.mix(each.reshape(*last.shape[:-1], -1))

    def joined(self, memory: jax.Array, predicted: jax.Array) -> jax.Array:
        """f32[..., V] of both [..., D]: logits of the characters and, last, the blank."""
        return self.head(jnp.tanh(memory + predicted)).astype(jnp.float32)
