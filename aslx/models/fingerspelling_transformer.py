"""The published fingerspelling transformer (coriegee, ASLRecognitionModel, 2023).

It masks no frame: it reads the zeros after a clip's end, and attends to them, like other frames.
Both embeddings are multiplied by the root of the width before their positions are added, as in the
published text's TokenEmbedding and LandmarkEmbedding. Initial values are Keras'.

Shape suffixes: B batch, S frames, F features, T characters, D width, V characters.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from aslx.models import attention, layers
from aslx.schema import vocab

Cache = dict[str, Any]

_DIM, _HEADS, _HIDDEN, _TAPS = 200, 4, 400, 11
_CONVOLUTIONS, _ENCODER_LAYERS = 3, 2
_DROPOUT, _SELF_DROPOUT = 0.1, 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Three convolutions, two encoder layers and one decoder layer, post-norm, 200 wide; 4,132,062
    parameters with 78 features and 59 characters."""

    def build(self, num_features: int, characters: int, *, rngs: nnx.Rngs) -> "Transformer":
        return Transformer(num_features, characters, rngs=rngs)


def _uniform(limit: float) -> nnx.Initializer:
    return lambda key, shape, dtype=jnp.float32, out_sharding=None: jax.random.uniform(
        key, shape, dtype, -limit, limit
    )


def _attention(rngs: nnx.Rngs) -> attention.Attention:
    """Keras' MultiHeadAttention(4, key_dim=200). Keras takes its kernels for those of convolutions:
    [200, 4, 200] has a fan-in of 200 * 4 and a fan-out of 200 * 200, [4, 200, 200] 4 * 200 both."""
    return attention.Attention(
        _DIM,
        _HEADS,
        _DIM,
        kernel_init=_uniform(math.sqrt(6 / (_DIM * _HEADS + _DIM * _DIM))),
        out_init=_uniform(math.sqrt(6 / (2 * _HEADS * _DIM))),
        dtype=jnp.dtype("float32"),
        rngs=rngs,
    )


class Convolution(layers.Layer):
    """A convolution over time."""

    def __init__(self, wide: int, rngs: nnx.Rngs):
        self.kernel = layers.kernel(layers.GLOROT(rngs.params(), (_TAPS, wide, _DIM)), inputs=2)
        self.bias = nnx.Param(jnp.zeros(_DIM))

    def __call__(self, x_BSC: jax.Array) -> jax.Array:
        return self.mode.convolution(x_BSC, self.kernel[...]) + self.bias[...]


def _norm(rngs: nnx.Rngs) -> nnx.LayerNorm:
    return nnx.LayerNorm(_DIM, epsilon=1e-6, rngs=rngs)


class MLP(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.up = layers.Linear(_DIM, _HIDDEN, kernel_init=layers.GLOROT, rngs=rngs)
        self.down = layers.Linear(_HIDDEN, _DIM, kernel_init=layers.GLOROT, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.down(jax.nn.relu(self.up(x)))


class EncoderLayer(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.attention, self.norm_attention = _attention(rngs), _norm(rngs)
        self.mlp, self.norm_mlp = MLP(rngs), _norm(rngs)

    def __call__(self, x_BSD: jax.Array, key: jax.Array | None) -> jax.Array:
        keys = layers.split(key, 2)
        h_BSD = self.attention(x_BSD, jnp.ones((1, 1, x_BSD.shape[1]), bool))
        x_BSD = self.norm_attention(x_BSD + layers.dropout(h_BSD, _DROPOUT, keys[0]))
        return self.norm_mlp(x_BSD + layers.dropout(self.mlp(x_BSD), _DROPOUT, keys[1]))


class DecoderLayer(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.self_attention, self.norm_self = _attention(rngs), _norm(rngs)
        self.cross_attention, self.norm_cross = _attention(rngs), _norm(rngs)
        self.mlp, self.norm_mlp = MLP(rngs), _norm(rngs)

    def __call__(self, x_BTD, cross, mask_BS, key) -> jax.Array:
        h_BTD = self.self_attention(x_BTD, attention.causal(x_BTD.shape[1]))
        return self._rest(x_BTD, h_BTD, cross, mask_BS, layers.split(key, 3))

    def shares(self, x_BTD, cross, mask_BS) -> jax.Array:
        """f32[B, T, S]: the shares of the attention to the memory."""
        h_BTD = self.self_attention(x_BTD, attention.causal(x_BTD.shape[1]))
        x_BTD = self.norm_self(x_BTD + h_BTD)
        return self.cross_attention.shares(x_BTD, cross[0], mask_BS[:, None])

    def advance(self, x_B1D, past, index, cross, mask_BS):
        past = attention.write(past, self.self_attention.keys_values(x_B1D), index)
        seen_11L = (jnp.arange(past[0].shape[1]) <= index)[None, None]
        h_B1D = self.self_attention.attend(x_B1D, past, seen_11L)
        return self._rest(x_B1D, h_B1D, cross, mask_BS, [None] * 3), past

    def _rest(self, x_BTD, h_BTD, cross, mask_BS, keys):
        x_BTD = self.norm_self(x_BTD + layers.dropout(h_BTD, _SELF_DROPOUT, keys[0]))
        h_BTD = self.cross_attention.attend(x_BTD, cross, mask_BS[:, None])
        x_BTD = self.norm_cross(x_BTD + layers.dropout(h_BTD, _DROPOUT, keys[1]))
        return self.norm_mlp(x_BTD + layers.dropout(self.mlp(x_BTD), _DROPOUT, keys[2]))


class Transformer(nnx.Module):
    """It has the methods of `recogniser.Recogniser` but for CTC; the memory is f32[B, S, 200]."""

    def __init__(self, num_features: int, characters: int, *, rngs: nnx.Rngs):
        ids = characters + vocab.MARKS
        widths = [num_features] + [_DIM] * (_CONVOLUTIONS - 1)
        self.stem = nnx.List([Convolution(w, rngs) for w in widths])
        self.encoder = nnx.List([EncoderLayer(rngs) for _ in range(_ENCODER_LAYERS)])
        self.embed = nnx.Embed(ids, _DIM, embedding_init=_uniform(0.05), rngs=rngs)
        self.decoder = DecoderLayer(rngs)
        self.head = nnx.Linear(_DIM, ids, kernel_init=layers.GLOROT, rngs=rngs)

    def encode(
        self, features_BSF: jax.Array, mask_BS: jax.Array, key: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """The memory and its mask, which is true everywhere: as published, `mask_BS` is ignored."""
        x_BSD = features_BSF
        for convolution in self.stem:
            x_BSD = jax.nn.relu(convolution(x_BSD))
        x_BSD = x_BSD * math.sqrt(_DIM) + layers.positions(x_BSD.shape[1], _DIM)
        for layer, k in zip(self.encoder, layers.split(key, _ENCODER_LAYERS), strict=True):
            x_BSD = layer(x_BSD, k)
        return x_BSD, jnp.ones_like(mask_BS)

    def decode(self, tokens_BT, memory_BSD, mask_BS, key=None) -> jax.Array:
        """f32[B, T, V]: logits of the character after each token, given the tokens up to it."""
        cross = self.decoder.cross_attention.keys_values(memory_BSD)
        return self.head(self.decoder(self._with_positions(tokens_BT), cross, mask_BS, key))

    def attention(self, tokens_BT, memory_BSD, mask_BS) -> jax.Array:
        """f32[B, T, S]: the share of its attention that the decoder gives to each position of the
        memory for the character after each token."""
        cross = self.decoder.cross_attention.keys_values(memory_BSD)
        return self.decoder.shares(self._with_positions(tokens_BT), cross, mask_BS)

    def start(self, memory_BSD: jax.Array, mask_BS: jax.Array, max_tokens: int) -> Cache:
        """The state before the first token, for at most `max_tokens` calls of `advance`."""
        cross = self.decoder.cross_attention.keys_values(memory_BSD)
        empty = jnp.zeros((len(memory_BSD), max_tokens, _HEADS, _DIM))
        return {
            "index": jnp.zeros((), jnp.int32),
            "places": jnp.asarray(layers.positions(max_tokens, _DIM)),
            "past": (empty, empty),
            "cross": cross,
            "mask": mask_BS,
        }

    def advance(self, tokens_B: jax.Array, cache: Cache) -> tuple[jax.Array, Cache]:
        """f32[B, V]: logits of the character after `tokens_B`, and the next cache."""
        index = cache["index"]
        place_1D = jax.lax.dynamic_slice_in_dim(cache["places"], index, 1)
        y_B1D = self._embed(tokens_B[:, None]) + place_1D
        y_B1D, past = self.decoder.advance(
            y_B1D, cache["past"], index, cache["cross"], cache["mask"]
        )
        return self.head(y_B1D)[:, 0], cache | {"index": index + 1, "past": past}

    def _with_positions(self, tokens_BT: jax.Array) -> jax.Array:
        return self._embed(tokens_BT) + layers.positions(tokens_BT.shape[1], _DIM)

    def _embed(self, tokens: jax.Array) -> jax.Array:
        return self.embed(tokens) * math.sqrt(_DIM)
