"""An encoder under the heads that read it: CTC, an autoregressive decoder, or both.

An encoder is a module that takes f32[B,S,F] and bool[B,S] and answers the memory [B,M,D] and its
mask. Shape suffixes: B batch, S frames, F features, M memory, T characters, D width, V characters.
"""

from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import nnx

from aslx import errors
from aslx.models import attention, layers
from aslx.schema import vocab

Cache = dict[str, Any]


class Config(Protocol):
    """What the configs of networks of this shape have."""

    @property
    def dim(self) -> int: ...
    @property
    def decoder_layers(self) -> int: ...
    @property
    def ctc(self) -> bool: ...
    @property
    def reverse(self) -> bool: ...
    @property
    def dropout(self) -> float: ...
    @property
    def dtype(self) -> str: ...


class MLP(nnx.Module):
    def __init__(self, cfg: Any, *, rngs: nnx.Rngs):
        dtype = jnp.dtype(cfg.dtype)
        self.norm = nnx.LayerNorm(cfg.dim, dtype=dtype, rngs=rngs)
        self.up = nnx.Linear(cfg.dim, cfg.mlp_ratio * cfg.dim, dtype=dtype, rngs=rngs)
        self.down = nnx.Linear(cfg.mlp_ratio * cfg.dim, cfg.dim, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """With a mask (of an encoder), neighbours in time share a half of their inputs."""
        h = self.norm(x)
        if mask is not None:
            h = layers.shift(h, mask)
        return self.down(jax.nn.silu(self.up(h)))


class DecoderBlock(nnx.Module):
    """Of a transformer, pre-norm."""

    def __init__(self, cfg: Any, *, rngs: nnx.Rngs):
        dim, heads, dtype = cfg.dim, cfg.num_heads, jnp.dtype(cfg.dtype)
        self.rate = cfg.dropout
        self.norm_self = nnx.LayerNorm(dim, dtype=dtype, rngs=rngs)
        self.self_attention = attention.Attention(dim, heads, dtype=dtype, rngs=rngs)
        self.norm_cross = nnx.LayerNorm(dim, dtype=dtype, rngs=rngs)
        self.cross_attention = attention.Attention(dim, heads, dtype=dtype, rngs=rngs)
        self.mlp = MLP(cfg, rngs=rngs)

    def __call__(self, x_BTD, cross, mask_BM, key=None) -> jax.Array:
        """Teacher forcing. `cross`: the memory's keys and values."""
        return self._rest(x_BTD, self._before(x_BTD), cross, mask_BM, layers.split(key, 3))

    def shares(self, x_BTD, cross, mask_BM) -> jax.Array:
        """f32[B, T, M]: of the attention to the memory."""
        x_BTD = self.norm_cross(x_BTD + self._before(x_BTD))
        return self.cross_attention.shares(x_BTD, cross[0], mask_BM[:, None])

    def _before(self, x_BTD) -> jax.Array:
        t = x_BTD.shape[1]
        turns = attention.turns(t, self.self_attention.head_dim)
        return self.self_attention(self.norm_self(x_BTD), attention.causal(t), turns)

    def first(self, cross, max_tokens: int) -> tuple[jax.Array, ...]:
        """Keys and values of no character, with room for `max_tokens`."""
        k_BMNH, _ = cross
        b, _, *heads = k_BMNH.shape
        empty = jnp.zeros((b, max_tokens, *heads), k_BMNH.dtype)
        return empty, empty

    def advance(self, x_B1D, past, index, cross, mask_BM):
        """One character: `past` holds keys and values of those before it."""
        length = past[0].shape[1]
        turns = jnp.asarray(attention.turns(length, self.self_attention.head_dim))
        turns = jax.lax.dynamic_slice_in_dim(turns, index, 1)
        h_B1D = self.norm_self(x_B1D)
        past = attention.write(past, self.self_attention.keys_values(h_B1D, turns), index)
        seen_11L = (jnp.arange(length) <= index)[None, None]
        h_B1D = self.self_attention.attend(h_B1D, past, seen_11L, turns)
        return self._rest(x_B1D, h_B1D, cross, mask_BM, [None] * 3), past

    def _rest(self, x_BTD, h_BTD, cross, mask_BM, keys):
        x_BTD = x_BTD + layers.dropout(h_BTD, self.rate, keys[0])
        h_BTD = self.cross_attention.attend(self.norm_cross(x_BTD), cross, mask_BM[:, None])
        x_BTD = x_BTD + layers.dropout(h_BTD, self.rate, keys[1])
        return x_BTD + layers.dropout(self.mlp(x_BTD), self.rate, keys[2])


class Recogniser(nnx.Module):
    """Memory is [B, M, D] in the type of the residual stream.

    `block` is the type of the decoder's blocks: `DecoderBlock`, or what has the same functions.
    """

    def __init__(self, cfg: Config, encoder: Any, block: Any, stream: str, *, rngs: nnx.Rngs):
        if not cfg.decoder_layers and not cfg.ctc:
            raise errors.BadInput(
                "decoder_layers=0 leaves no head; set ctc=True or decoder_layers=1"
            )
        if cfg.reverse and not cfg.decoder_layers:
            raise errors.BadInput(
                "reverse=True and decoder_layers=0: there is no decoder to reverse"
            )
        dim, dtype, wide = cfg.dim, jnp.dtype(cfg.dtype), jnp.dtype(stream)
        self.rate, self.encoder = cfg.dropout, encoder
        self.norm_memory = nnx.LayerNorm(dim, dtype=wide, rngs=rngs)
        if cfg.ctc:
            self.ctc_head = nnx.Linear(dim, vocab.BLANK + 1, dtype=dtype, rngs=rngs)
        if cfg.decoder_layers:
            self.embed = nnx.Embed(vocab.SIZE, dim, dtype=wide, rngs=rngs)
            self.decoder = nnx.List([block(cfg, rngs=rngs) for _ in range(cfg.decoder_layers)])
            self.norm_out = nnx.LayerNorm(dim, dtype=wide, rngs=rngs)
            self.head = nnx.Linear(dim, vocab.SIZE, dtype=dtype, rngs=rngs)
        if cfg.reverse:  # Last: the others' first weights stay what they are without it.
            blocks = [block(cfg, rngs=rngs) for _ in range(cfg.decoder_layers)]
            self.reverse_decoder = nnx.List(blocks)

    def encode(
        self, features_BSF: jax.Array, mask_BS: jax.Array, key: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        x_BMD, mask_BM = self.encoder(features_BSF, mask_BS, key)
        return layers.masked(self.norm_memory(x_BMD), mask_BM), mask_BM

    def ctc(self, memory_BMD: jax.Array) -> jax.Array:
        """f32[B, M, 60] logits; the blank is `vocab.BLANK`."""
        return self.ctc_head(memory_BMD).astype(jnp.float32)

    def decode(self, tokens_BT, memory_BMD, mask_BM, key=None) -> jax.Array:
        """f32[B, T, 62]: logits for the character after each token, given those up to it."""
        return self._decode(self.decoder, tokens_BT, memory_BMD, mask_BM, key)

    def decode_backwards(self, tokens_BT, memory_BMD, mask_BM, key=None) -> jax.Array:
        """`decode` of texts from their last character to the first, by blocks of its own between
        the same embedding and head: both directions teach those, and the encoder."""
        return self._decode(self.reverse_decoder, tokens_BT, memory_BMD, mask_BM, key)

    def _decode(self, blocks, tokens_BT, memory_BMD, mask_BM, key) -> jax.Array:
        first, *keys = layers.split(key, 1 + len(blocks))
        y_BTD = layers.dropout(self.embed(tokens_BT), self.rate, first)
        for block, cross, k in zip(blocks, _cross(blocks, memory_BMD), keys, strict=True):
            y_BTD = block(y_BTD, cross, mask_BM, k)
        return self.head(self.norm_out(y_BTD)).astype(jnp.float32)

    def attention(self, tokens_BT, memory_BMD, mask_BM) -> jax.Array:
        """f32[B, T, M]: what share of its attention the decoder gave to each position of the memory
        for the character after each token; the blocks' mean."""
        y_BTD, shares = self.embed(tokens_BT), []
        for block, cross in zip(self.decoder, _cross(self.decoder, memory_BMD), strict=True):
            shares.append(block.shares(y_BTD, cross, mask_BM))
            y_BTD = block(y_BTD, cross, mask_BM)
        return jnp.stack(shares).mean(0)

    def start(self, memory_BMD: jax.Array, mask_BM: jax.Array, max_tokens: int) -> Cache:
        """The state before the first token, for at most `max_tokens` calls of `advance`."""
        cross = _cross(self.decoder, memory_BMD)
        past = [b.first(kv, max_tokens) for b, kv in zip(self.decoder, cross, strict=True)]
        return {"index": jnp.zeros((), jnp.int32), "past": past, "cross": cross, "mask": mask_BM}

    def advance(self, tokens_B: jax.Array, cache: Cache) -> tuple[jax.Array, Cache]:
        """f32[B, 62]: logits for the character after `tokens_B`."""
        y_B1D, past = self.embed(tokens_B[:, None]), []
        for block, old, cross in zip(self.decoder, cache["past"], cache["cross"], strict=True):
            y_B1D, new = block.advance(y_B1D, old, cache["index"], cross, cache["mask"])
            past.append(new)
        logits_BV = self.head(self.norm_out(y_B1D))[:, 0].astype(jnp.float32)
        return logits_BV, cache | {"index": cache["index"] + 1, "past": past}


def _cross(blocks: Any, memory_BMD: jax.Array) -> list[tuple[jax.Array, ...]]:
    # Content alone does not say which of two like letters comes next: absolute positions do.
    _, m, d = memory_BMD.shape
    placed_BMD = memory_BMD + layers.positions(m, d).astype(memory_BMD.dtype)
    return [block.cross_attention.keys_values(placed_BMD) for block in blocks]


class FrameGuesser(nnx.Module):
    """A recogniser's encoder under a guess of every frame's code, instead of the heads: what it has
    keeps its name, so that a recogniser can begin from it."""

    def __init__(self, network: Any, num_features: int, codes: int, *, rngs: nnx.Rngs):
        self.encoder, self.norm_memory = network.encoder, network.norm_memory
        frames = 64
        _, mask = jax.eval_shape(
            network.encode, jnp.zeros((1, frames, num_features)), jnp.ones((1, frames), bool)
        )
        self.stride = frames // mask.shape[1]  # A position stands for so many frames.
        self.guess = nnx.Linear(self.norm_memory.num_features, self.stride * codes, rngs=rngs)

    def __call__(
        self, features_BSF: jax.Array, mask_BS: jax.Array, key: jax.Array | None = None
    ) -> jax.Array:
        """f32[B, S, codes] logits."""
        s = features_BSF.shape[1]
        x_BMD, mask_BM = self.encoder(features_BSF, mask_BS, key)
        x_BMD = layers.masked(self.norm_memory(x_BMD), mask_BM)
        b, m, _ = x_BMD.shape
        guess_BSC = self.guess(x_BMD).astype(jnp.float32).reshape(b, m * self.stride, -1)
        return guess_BSC[:, :s]
