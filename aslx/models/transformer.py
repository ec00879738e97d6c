"""Transformer encoder-decoders: the modern one here, seed 004 in transformer_seed.py.

Shape suffixes: B batch, S frames, F features, M memory, T characters, D width, V characters.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from aslx import vocab
from aslx.models import layers, transformer_seed

Cache = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seed:
    """Seed 004: three convolutions, two encoder layers and one decoder layer, post-norm, 200 wide;
    4,132,062 parameters with 78 features."""

    def build(self, num_features: int, *, rngs: nnx.Rngs) -> transformer_seed.Transformer:
        return transformer_seed.Transformer(num_features, rngs=rngs)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """A pre-norm transformer: rotary positions, a depthwise convolution in each encoder block (the
    Conformer's, Gulati et al. 2020), an autoregressive decoder, a CTC head, or both."""

    dim: int = 192
    """Width of the residual stream."""
    num_layers: int = 4
    """Encoder blocks."""
    decoder_layers: int = 1
    """Decoder blocks; 0: no decoder, CTC alone."""
    num_heads: int = 4
    """Attention heads; each is dim / num_heads wide."""
    mlp_ratio: int = 2
    """Width of the MLPs' hidden layer, in dims."""
    kernel: int = 15
    """Frames that an encoder block's convolution spans, after the reduction of time; 0: none."""
    stride: int = 2
    """Frames that become one position of the memory: 1, 2 or 4."""
    dropout: float = 0.1
    """Rate in every residual branch while training."""
    ctc: bool = True
    """Whether the encoder has a CTC head."""
    dtype: str = "float32"
    """Type of the arithmetic, "float32" or "bfloat16"; parameters and logits are float32."""

    def __post_init__(self):
        if self.stride not in (1, 2, 4):
            raise ValueError(f"stride {self.stride} is not 1, 2 or 4")
        if not self.decoder_layers and not self.ctc:
            raise ValueError("decoder_layers=0 leaves no head; set ctc=True or decoder_layers=1")

    def build(self, num_features: int, *, rngs: nnx.Rngs) -> "Transformer":
        return Transformer(self, num_features, rngs=rngs)


class MLP(nnx.Module):
    def __init__(self, cfg: Config, *, rngs: nnx.Rngs):
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


class Convolution(nnx.Module):
    """The Conformer's module with a LayerNorm where it has a BatchNorm."""

    def __init__(self, cfg: Config, *, rngs: nnx.Rngs):
        dim, dtype = cfg.dim, jnp.dtype(cfg.dtype)
        self.norm = nnx.LayerNorm(dim, dtype=dtype, rngs=rngs)
        self.gate = nnx.Linear(dim, 2 * dim, dtype=dtype, rngs=rngs)
        self.depthwise = layers.DepthwiseConv(dim, cfg.kernel, dtype=dtype, rngs=rngs)
        self.inner = nnx.LayerNorm(dim, dtype=dtype, rngs=rngs)
        self.out = nnx.Linear(dim, dim, dtype=dtype, rngs=rngs)

    def __call__(self, x_BMD: jax.Array, mask_BM: jax.Array) -> jax.Array:
        h_BMD = self.depthwise(jax.nn.glu(self.gate(self.norm(x_BMD))), mask_BM)
        return self.out(jax.nn.silu(self.inner(h_BMD)))


class EncoderBlock(nnx.Module):
    def __init__(self, cfg: Config, *, rngs: nnx.Rngs):
        dtype = jnp.dtype(cfg.dtype)
        self.rate = cfg.dropout
        self.norm = nnx.LayerNorm(cfg.dim, dtype=dtype, rngs=rngs)
        self.attention = layers.Attention(cfg.dim, cfg.num_heads, dtype=dtype, rngs=rngs)
        self.convolution = Convolution(cfg, rngs=rngs) if cfg.kernel else None
        self.mlp = MLP(cfg, rngs=rngs)

    def __call__(
        self, x_BMD: jax.Array, mask_BM: jax.Array, key: jax.Array | None = None
    ) -> jax.Array:
        keys = layers.split(key, 3)
        turns = layers.turns(x_BMD.shape[1], self.attention.head_dim)
        h_BMD = self.attention(self.norm(x_BMD), mask_BM[:, None], turns)
        x_BMD = x_BMD + layers.dropout(h_BMD, self.rate, keys[0])
        if self.convolution is not None:
            h_BMD = self.convolution(x_BMD, mask_BM)
            x_BMD = x_BMD + layers.dropout(h_BMD, self.rate, keys[1])
        return x_BMD + layers.dropout(self.mlp(x_BMD, mask_BM), self.rate, keys[2])


class DecoderBlock(nnx.Module):
    def __init__(self, cfg: Config, *, rngs: nnx.Rngs):
        dim, heads, dtype = cfg.dim, cfg.num_heads, jnp.dtype(cfg.dtype)
        self.rate = cfg.dropout
        self.norm_self = nnx.LayerNorm(dim, dtype=dtype, rngs=rngs)
        self.self_attention = layers.Attention(dim, heads, dtype=dtype, rngs=rngs)
        self.norm_cross = nnx.LayerNorm(dim, dtype=dtype, rngs=rngs)
        self.cross_attention = layers.Attention(dim, heads, dtype=dtype, rngs=rngs)
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
        turns = layers.turns(t, self.self_attention.head_dim)
        return self.self_attention(self.norm_self(x_BTD), layers.causal(t), turns)

    def advance(self, x_B1D, past, index, cross, mask_BM):
        """One character: `past` holds keys and values of those before it."""
        length = past[0].shape[1]
        turns = jnp.asarray(layers.turns(length, self.self_attention.head_dim))
        turns = jax.lax.dynamic_slice_in_dim(turns, index, 1)
        h_B1D = self.norm_self(x_B1D)
        past = layers.write(past, self.self_attention.keys_values(h_B1D, turns), index)
        seen_11L = (jnp.arange(length) <= index)[None, None]
        h_B1D = self.self_attention.attend(h_B1D, past, seen_11L, turns)
        return self._rest(x_B1D, h_B1D, cross, mask_BM, [None] * 3), past

    def _rest(self, x_BTD, h_BTD, cross, mask_BM, keys):
        x_BTD = x_BTD + layers.dropout(h_BTD, self.rate, keys[0])
        h_BTD = self.cross_attention.attend(self.norm_cross(x_BTD), cross, mask_BM[:, None])
        x_BTD = x_BTD + layers.dropout(h_BTD, self.rate, keys[1])
        return x_BTD + layers.dropout(self.mlp(x_BTD), self.rate, keys[2])


class Stem(nnx.Module):
    """Features to the width of the network, and S frames to M positions."""

    def __init__(self, cfg: Config, num_features: int, *, rngs: nnx.Rngs):
        dim, dtype = cfg.dim, jnp.dtype(cfg.dtype)
        self.stride = cfg.stride
        self.project = nnx.Linear(num_features, dim, dtype=dtype, rngs=rngs)
        self.depthwise = (
            layers.DepthwiseConv(dim, 5, dtype=dtype, rngs=rngs) if cfg.kernel else None
        )
        self.reduce = nnx.Linear(cfg.stride * dim, dim, dtype=dtype, rngs=rngs)

    def __call__(self, features_BSF, mask_BS) -> tuple[jax.Array, jax.Array]:
        x_BSD = self.project(layers.masked(features_BSF, mask_BS))
        if self.depthwise is not None:
            x_BSD = self.depthwise(x_BSD, mask_BS)
        x_BMD, mask_BM = layers.stack_frames(jax.nn.silu(x_BSD), mask_BS, self.stride)
        return self.reduce(x_BMD), mask_BM


class Transformer(nnx.Module):
    """See `Config`. Memory is [B, M, D] in the compute type, M = S / stride rounded up."""

    def __init__(self, cfg: Config, num_features: int, *, rngs: nnx.Rngs):
        dim, dtype = cfg.dim, jnp.dtype(cfg.dtype)
        self.rate = cfg.dropout
        self.stem = Stem(cfg, num_features, rngs=rngs)
        self.encoder = layers.stack([EncoderBlock(cfg, rngs=rngs) for _ in range(cfg.num_layers)])
        self.norm_memory = nnx.LayerNorm(dim, dtype=dtype, rngs=rngs)
        if cfg.ctc:
            self.ctc_head = nnx.Linear(dim, vocab.BLANK + 1, dtype=dtype, rngs=rngs)
        if cfg.decoder_layers:
            self.embed = nnx.Embed(vocab.SIZE, dim, dtype=dtype, rngs=rngs)
            self.decoder = nnx.List(
                [DecoderBlock(cfg, rngs=rngs) for _ in range(cfg.decoder_layers)]
            )
            self.norm_out = nnx.LayerNorm(dim, dtype=dtype, rngs=rngs)
            self.head = nnx.Linear(dim, vocab.SIZE, dtype=dtype, rngs=rngs)

    def encode(
        self, features_BSF: jax.Array, mask_BS: jax.Array, key: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        first, rest = layers.split(key, 2)
        x_BMD, mask_BM = self.stem(features_BSF, mask_BS)
        x_BMD = layers.dropout(x_BMD, self.rate, first)
        x_BMD = layers.scan(self.encoder, x_BMD, rest, lambda block, x, k: block(x, mask_BM, k))
        return layers.masked(self.norm_memory(x_BMD), mask_BM), mask_BM

    def ctc(self, memory_BMD: jax.Array) -> jax.Array:
        """f32[B, M, 60] logits; the blank is `vocab.BLANK`."""
        return self.ctc_head(memory_BMD).astype(jnp.float32)

    def decode(self, tokens_BT, memory_BMD, mask_BM, key=None) -> jax.Array:
        """f32[B, T, 62]: logits for the character after each token, given those up to it."""
        first, *keys = layers.split(key, 1 + len(self.decoder))
        y_BTD = layers.dropout(self.embed(tokens_BT), self.rate, first)
        for block, cross, k in zip(self.decoder, self._cross(memory_BMD), keys, strict=True):
            y_BTD = block(y_BTD, cross, mask_BM, k)
        return self.head(self.norm_out(y_BTD)).astype(jnp.float32)

    def attention(self, tokens_BT, memory_BMD, mask_BM) -> jax.Array:
        """f32[B, T, M]: what share of its attention the decoder gave to each position of the memory
        for the character after each token; the blocks' mean."""
        y_BTD, shares = self.embed(tokens_BT), []
        for block, cross in zip(self.decoder, self._cross(memory_BMD), strict=True):
            shares.append(block.shares(y_BTD, cross, mask_BM))
            y_BTD = block(y_BTD, cross, mask_BM)
        return jnp.stack(shares).mean(0)

    def start(self, memory_BMD: jax.Array, mask_BM: jax.Array, max_tokens: int) -> Cache:
        """The state before the first token, for at most `max_tokens` calls of `advance`."""
        cross = self._cross(memory_BMD)
        k_BMNH = cross[0][0]
        b, _, *heads = k_BMNH.shape
        empty = jnp.zeros((b, max_tokens, *heads), k_BMNH.dtype)
        past = [(empty, empty) for _ in cross]
        return {"index": jnp.zeros((), jnp.int32), "past": past, "cross": cross, "mask": mask_BM}

    def advance(self, tokens_B: jax.Array, cache: Cache) -> tuple[jax.Array, Cache]:
        """f32[B, 62]: logits for the character after `tokens_B`."""
        y_B1D, past = self.embed(tokens_B[:, None]), []
        for block, old, cross in zip(self.decoder, cache["past"], cache["cross"], strict=True):
            y_B1D, new = block.advance(y_B1D, old, cache["index"], cross, cache["mask"])
            past.append(new)
        logits_BV = self.head(self.norm_out(y_B1D))[:, 0].astype(jnp.float32)
        return logits_BV, cache | {"index": cache["index"] + 1, "past": past}

    def _cross(self, memory_BMD: jax.Array) -> list[tuple[jax.Array, ...]]:
        # Content alone does not say which of two like letters comes next: absolute positions do.
        _, m, d = memory_BMD.shape
        placed_BMD = memory_BMD + layers.positions(m, d).astype(memory_BMD.dtype)
        return [block.cross_attention.keys_values(placed_BMD) for block in self.decoder]
