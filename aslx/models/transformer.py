"""A transformer encoder-decoder.

Shape suffixes: B batch, S frames, F features, M memory, T characters, D width, V characters.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from aslx.kernels import blocks
from aslx.models import attention, layers, recogniser


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(recogniser.Config):
    """A pre-norm transformer with rotary positions and, in each encoder block, the depthwise
    convolution of the Conformer (Gulati et al. 2020)."""

    dim: int = 192
    """Width of the residual stream."""
    num_layers: int = 4
    """Encoder blocks."""
    mlp_ratio: int = 2
    """Width of the MLPs' hidden layer, in dims."""
    kernel: int = 15
    """Positions of the memory that an encoder block's convolution spans; 0: no convolution."""
    remat: bool = False
    """Keep only a block's products with its weights, and compute the rest again in the backward
    pass: it takes a fraction of the memory, and on accelerators of the time."""

    def build(self, num_features: int, characters: int, *, rngs: nnx.Rngs) -> recogniser.Recogniser:
        encoder = Encoder(self, num_features, rngs=rngs)
        block = recogniser.DecoderBlock
        return recogniser.Recogniser(self, encoder, block, self.dtype, characters, rngs=rngs)


class Convolution(nnx.Module):
    """The Conformer's convolution module, with LayerNorm in place of BatchNorm."""

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
        self.attention = attention.Attention(cfg.dim, cfg.num_heads, dtype=dtype, rngs=rngs)
        self.convolution = Convolution(cfg, rngs=rngs) if cfg.kernel else None
        self.mlp = recogniser.MLP(cfg, rngs=rngs)

    def __call__(
        self, x_BMD: jax.Array, mask_BM: jax.Array, key: jax.Array | None = None
    ) -> jax.Array:
        keys = layers.split(key, 3)
        turns = attention.turns(x_BMD.shape[1], self.attention.head_dim)
        h_BMD = self.attention(self.norm(x_BMD), mask_BM[:, None], turns)
        x_BMD = x_BMD + layers.dropout(h_BMD, self.rate, keys[0])
        if self.convolution is not None:
            h_BMD = self.convolution(x_BMD, mask_BM)
            x_BMD = x_BMD + layers.dropout(h_BMD, self.rate, keys[1])
        return x_BMD + layers.dropout(self.mlp(x_BMD, mask_BM), self.rate, keys[2])


class Stem(nnx.Module):
    """Maps features to the network's width, and S frames to M positions."""

    def __init__(self, cfg: Any, num_features: int, *, rngs: nnx.Rngs):
        dim, dtype = cfg.dim, jnp.dtype(cfg.dtype)
        self.stride = cfg.stride
        self.project = nnx.Linear(num_features, dim, dtype=dtype, rngs=rngs)
        self.depthwise = (
            layers.DepthwiseConv(dim, 5, dtype=dtype, rngs=rngs) if cfg.kernel else None
        )
        self.reduce = nnx.Linear(
            cfg.stride * dim, dim, bias_init=layers.AWAKE, dtype=dtype, rngs=rngs
        )

    def __call__(self, features_BSF, mask_BS) -> tuple[jax.Array, jax.Array]:
        x_BSD = self.project(layers.masked(features_BSF, mask_BS))
        if self.depthwise is not None:
            x_BSD = self.depthwise(x_BSD, mask_BS)
        x_BMD, mask_BM = layers.stack_frames(jax.nn.silu(x_BSD), mask_BS, self.stride)
        return self.reduce(x_BMD), mask_BM


class Encoder(layers.Layer):
    """See `Config`. M = S / stride, rounded up."""

    def __init__(self, cfg: Config, num_features: int, *, rngs: nnx.Rngs):
        self.rate, self.remat = cfg.dropout, cfg.remat
        self.stem = Stem(cfg, num_features, rngs=rngs)
        self.blocks = blocks.stack([EncoderBlock(cfg, rngs=rngs) for _ in range(cfg.num_layers)])

    def __call__(
        self, features_BSF: jax.Array, mask_BS: jax.Array, key: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        first, rest = layers.split(key, 2)
        x_BMD, mask_BM = self.stem(features_BSF, mask_BS)
        x_BMD = layers.dropout(x_BMD, self.rate, first)

        def apply(block: EncoderBlock, x_BMD: jax.Array, key: jax.Array | None) -> jax.Array:
            return block(x_BMD, mask_BM, key)

        return self.mode.scan(self.blocks, x_BMD, rest, apply, self.remat), mask_BM
