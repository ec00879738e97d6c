"""An encoder under the heads that read its memory: CTC, an autoregressive decoder, or both.

An encoder is a module that maps features f32[B, S, F] and a mask bool[B, S] to the memory [B, M, D]
and its mask. Shape suffixes: B batch, S frames, F features, M memory, T characters, D width, V
characters.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from aslx import errors
from aslx.models import attention, layers
from aslx.schema import vocab

Cache = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """What the configs of all networks with these heads have."""

    dim: int = 256
    """Width of the residual stream."""
    decoder_layers: int = 1
    """Decoder blocks; 0: no decoder, CTC alone."""
    num_heads: int = 4
    """Attention heads; each is dim / num_heads wide. Accelerators compute fastest with 64."""
    stride: int = 2
    """Frames that become one position of the memory: 1, 2 or 4."""
    dropout: float = 0.1
    """Rate in every residual branch while training."""
    ctc: bool = True
    """Whether the encoder has a CTC head."""
    reverse: bool = False
    """Whether a second decoder reads the phrase backwards, in training alone."""
    dtype: str = "float32"
    """Type of the arithmetic, "float32" or "bfloat16"; parameters and logits are float32."""

    def __post_init__(self):
        if self.stride not in (1, 2, 4):
            raise errors.BadInput(f"stride {self.stride} is not 1, 2 or 4")


class MLP(nnx.Module):
    def __init__(self, cfg: Any, *, rngs: nnx.Rngs):
        dtype = jnp.dtype(cfg.dtype)
        self.norm = nnx.LayerNorm(cfg.dim, dtype=dtype, rngs=rngs)
        self.up = nnx.Linear(cfg.dim, cfg.mlp_ratio * cfg.dim, dtype=dtype, rngs=rngs)
        self.down = nnx.Linear(cfg.mlp_ratio * cfg.dim, cfg.dim, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """With a mask, as in an encoder, half of the inputs come from neighbouring frames."""
        h = self.norm(x)
        if mask is not None:
            h = layers.shift(h, mask)
        return self.down(jax.nn.silu(self.up(h)))


class DecoderBlock(nnx.Module):
    """A block of a pre-norm transformer decoder."""

    def __init__(self, cfg: Any, *, rngs: nnx.Rngs):
        dim, heads, dtype = cfg.dim, cfg.num_heads, jnp.dtype(cfg.dtype)
        self.rate = cfg.dropout
        self.norm_self = nnx.LayerNorm(dim, dtype=dtype, rngs=rngs)
        self.self_attention = attention.Attention(dim, heads, dtype=dtype, rngs=rngs)
        self.norm_cross = nnx.LayerNorm(dim, dtype=dtype, rngs=rngs)
        self.cross_attention = attention.Attention(dim, heads, dtype=dtype, rngs=rngs)
        self.mlp = MLP(cfg, rngs=rngs)

    def __call__(self, x_BTD, cross, mask_BM, key=None) -> jax.Array:
        """Teacher forcing. `cross` holds the memory's keys and values."""
        h_BTD = self._attend_to_text(x_BTD)
        return self._rest(x_BTD, h_BTD, cross, mask_BM, layers.split(key, 3))

    def shares(self, x_BTD, cross, mask_BM) -> jax.Array:
        """f32[B, T, M]: the shares of the attention to the memory."""
        x_BTD = self.norm_cross(x_BTD + self._attend_to_text(x_BTD))
        return self.cross_attention.shares(x_BTD, cross[0], mask_BM[:, None])

    def _attend_to_text(self, x_BTD) -> jax.Array:
        t = x_BTD.shape[1]
        turns = attention.turns(t, self.self_attention.head_dim)
        return self.self_attention(self.norm_self(x_BTD), attention.causal(t), turns)

    def first(self, cross, max_tokens: int) -> tuple[jax.Array, ...]:
        """An empty cache of keys and values for `max_tokens` characters."""
        b, _, *heads = cross[0].shape
        empty = jnp.zeros((b, max_tokens, *heads), cross[0].dtype)
        return empty, empty

    def advance(self, x_B1D, past, index, cross, mask_BM):
        """One character. `past` holds the keys and values of the characters before it."""
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


class Recogniser(layers.Layer):
    """An encoder under a CTC head, a decoder, or both.

    `block` is the class of the decoder's blocks: `DecoderBlock` or one with the same functions.
    `stream` is the type of the residual stream, and of the memory [B, M, D]; `characters` are those
    of the alphabet.
    """

    def __init__(
        self,
        cfg: Config,
        encoder: Any,
        block: Any,
        stream: str,
        characters: int,
        *,
        rngs: nnx.Rngs,
    ):
        if not cfg.decoder_layers and not cfg.ctc:
            raise errors.BadInput(
                "decoder_layers=0 leaves no head; set ctc=True or decoder_layers=1"
            )
        if cfg.reverse and not cfg.decoder_layers:
            raise errors.BadInput(
                "reverse=True and decoder_layers=0: there is no decoder to reverse"
            )
        ids = characters + vocab.MARKS
        dim, dtype, wide = cfg.dim, jnp.dtype(cfg.dtype), jnp.dtype(stream)
        self.rate, self.encoder = cfg.dropout, encoder
        self.norm_memory = nnx.LayerNorm(dim, dtype=wide, rngs=rngs)
        if cfg.ctc:
            self.ctc_head = nnx.Linear(dim, characters + 1, dtype=dtype, rngs=rngs)
        if cfg.decoder_layers:
            self.embed = nnx.Embed(ids, dim, dtype=wide, rngs=rngs)
            self.decoder = nnx.List([block(cfg, rngs=rngs) for _ in range(cfg.decoder_layers)])
            self.norm_out = nnx.LayerNorm(dim, dtype=wide, rngs=rngs)
            self.head = nnx.Linear(dim, ids, dtype=dtype, rngs=rngs)
        if cfg.reverse:  # Comes last, so that it changes no other initial weight.
            blocks = [block(cfg, rngs=rngs) for _ in range(cfg.decoder_layers)]
            self.reverse_decoder = nnx.List(blocks)

    def encode(
        self, features_BSF: jax.Array, mask_BS: jax.Array, key: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """The memory [B, M, D] and its mask bool[B, M]."""
        x_BMD, mask_BM = self.encoder(features_BSF, mask_BS, key)
        return layers.masked(self.norm_memory(x_BMD), mask_BM), mask_BM

    def ctc(self, memory_BMD: jax.Array) -> jax.Array:
        """f32[B, M, V] logits of the characters and, last, the blank."""
        return self.ctc_head(memory_BMD).astype(jnp.float32)

    def decode(self, tokens_BT, memory_BMD, mask_BM, key=None) -> jax.Array:
        """f32[B, T, V]: logits of the character after each token, given the tokens up to it."""
        return self._decode(self.decoder, tokens_BT, memory_BMD, mask_BM, key)

    def decode_backwards(self, tokens_BT, memory_BMD, mask_BM, key=None) -> jax.Array:
        """`decode` of texts from their last character to the first. It has its own blocks, and
        shares the embedding, the head and the encoder, which both directions train."""
        return self._decode(self.reverse_decoder, tokens_BT, memory_BMD, mask_BM, key)

    def _decode(self, blocks, tokens_BT, memory_BMD, mask_BM, key) -> jax.Array:
        first, *keys = layers.split(key, 1 + len(blocks))
        y_BTD = layers.dropout(self.embed(tokens_BT), self.rate, first)
        for block, cross, k in zip(blocks, _cross(blocks, memory_BMD), keys, strict=True):
            y_BTD = block(y_BTD, cross, mask_BM, k)
        return self.head(self.norm_out(y_BTD)).astype(jnp.float32)

    def attention(self, tokens_BT, memory_BMD, mask_BM) -> jax.Array:
        """f32[B, T, M]: the share of its attention that the decoder gives to each position of the
        memory for the character after each token, as the mean over the blocks."""
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
        """f32[B, V]: logits of the character after `tokens_B`, and the next cache."""
        y_B1D, past = self.embed(tokens_B[:, None]), []
        for block, old, cross in zip(self.decoder, cache["past"], cache["cross"], strict=True):
            y_B1D, new = block.advance(y_B1D, old, cache["index"], cross, cache["mask"])
            past.append(new)
        logits_BV = self.head(self.norm_out(y_B1D))[:, 0].astype(jnp.float32)
        return logits_BV, cache | {"index": cache["index"] + 1, "past": past}


def _cross(blocks: Any, memory_BMD: jax.Array) -> list[tuple[jax.Array, ...]]:
    """The keys and values of a memory for each block."""
    # Content alone does not say which of two like letters comes next; absolute positions do.
    memory_BMD += layers.positions(*memory_BMD.shape[1:]).astype(memory_BMD.dtype)
    return [block.cross_attention.keys_values(memory_BMD) for block in blocks]


class FrameGuesser(nnx.Module):
    """A recogniser's encoder under a head that guesses every frame's code, for pretraining. Its
    parameters keep their names, so that a recogniser can begin from them."""

    def __init__(
        self,
        network: nnx.Module,
        num_features: int | tuple[int, ...],
        codes: int,
        *,
        rngs: nnx.Rngs,
    ):
        if not isinstance(network, Recogniser):
            raise errors.BadInput(
                f"{type(network).__name__} has no encoder that can be pretrained without its head"
            )
        self.encoder, self.norm_memory = network.encoder, network.norm_memory
        frames = 64
        _, mask = jax.eval_shape(
            network.encode, jnp.zeros((1, frames, num_features)), jnp.ones((1, frames), bool)
        )
        self.stride = frames // mask.shape[1]  # Frames of a position of the memory.
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
