"""The network of the isolated-sign competition's first place (hoyso48, 2023), with LayerNorm.

Convolutions over time and transformer blocks take turns, and their mean is classified. The original
has BatchNorm.

Shape suffixes: B batch, S frames, F features, D width, C classes.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from aslx.models import attention, layers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """1.8 M parameters with 708 features and 250 classes."""

    dim: int = 192
    """Width of the residual stream."""
    stages: int = 2
    """How often three convolutions and a transformer block follow each other."""
    kernel: int = 17
    """Frames that a convolution spans."""
    num_heads: int = 4
    """Heads of a transformer block's attention."""
    expand: int = 2
    """Width inside the blocks, in dims."""
    dropout: float = 0.2
    """Rate at which whole residual branches are dropped while training."""
    head_dropout: float = 0.8
    """Rate before the classes while training."""

    def build(self, num_features: int, classes: int, *, rngs: nnx.Rngs) -> "SignNetwork":
        return SignNetwork(self, num_features, classes, rngs=rngs)


def _mean(x_BSD: jax.Array, mask_BS: jax.Array) -> jax.Array:
    """f32[B, D]: the mean over real frames; 0 where there is none."""
    total_BD = layers.masked(x_BSD, mask_BS).sum(1)
    return total_BD / jnp.maximum(mask_BS.sum(1, keepdims=True), 1)


class ConvBlock(layers.Layer):
    """A depthwise convolution at a larger width, with channel attention (Wang et al. 2020, ECA)."""

    def __init__(self, cfg: Config, *, rngs: nnx.Rngs):
        wide, f32 = cfg.expand * cfg.dim, jnp.dtype("float32")
        self.rate = cfg.dropout
        self.up = nnx.Linear(cfg.dim, wide, rngs=rngs)
        self.depthwise = layers.DepthwiseConv(wide, cfg.kernel, dtype=f32, rngs=rngs)
        self.norm = nnx.LayerNorm(wide, rngs=rngs)
        self.channels = nnx.Param(rngs.params.normal((5, 1)) / 5)
        self.down = nnx.Linear(wide, cfg.dim, rngs=rngs)

    def __call__(self, x_BSD: jax.Array, mask_BS: jax.Array, key=None) -> jax.Array:
        h_BSD = self.norm(self.depthwise(jax.nn.silu(self.up(x_BSD)), mask_BS))
        near_BD1 = self.mode.depthwise(_mean(h_BSD, mask_BS)[..., None], self.channels[...])
        h_BSD = h_BSD * jax.nn.sigmoid(near_BD1[:, None, :, 0])
        return x_BSD + layers.drop_path(self.down(h_BSD), self.rate, key)


class TransformerBlock(nnx.Module):
    def __init__(self, cfg: Config, *, rngs: nnx.Rngs):
        dim, f32 = cfg.dim, jnp.dtype("float32")
        self.rate = cfg.dropout
        self.norm_attention, self.norm_mlp = (nnx.LayerNorm(dim, rngs=rngs) for _ in range(2))
        self.attention = attention.Attention(dim, cfg.num_heads, dtype=f32, rngs=rngs)
        self.up = nnx.Linear(dim, cfg.expand * dim, rngs=rngs)
        self.down = nnx.Linear(cfg.expand * dim, dim, rngs=rngs)

    def __call__(self, x_BSD: jax.Array, mask_BS: jax.Array, key=None) -> jax.Array:
        keys = layers.split(key, 2)
        h_BSD = self.attention(self.norm_attention(x_BSD), mask_BS[:, None])
        x_BSD = x_BSD + layers.drop_path(h_BSD, self.rate, keys[0])
        h_BSD = self.down(jax.nn.silu(self.up(self.norm_mlp(x_BSD))))
        return x_BSD + layers.drop_path(h_BSD, self.rate, keys[1])


class SignNetwork(nnx.Module):
    """See `Config`."""

    def __init__(self, cfg: Config, num_features: int, classes: int, *, rngs: nnx.Rngs):
        self.rate = cfg.head_dropout
        self.stem = nnx.Linear(num_features, cfg.dim, use_bias=False, rngs=rngs)
        self.norm = nnx.LayerNorm(cfg.dim, rngs=rngs)
        kinds = [ConvBlock, ConvBlock, ConvBlock, TransformerBlock] * cfg.stages
        self.blocks = nnx.List([kind(cfg, rngs=rngs) for kind in kinds])
        self.top = nnx.Linear(cfg.dim, 2 * cfg.dim, rngs=rngs)
        self.head = nnx.Linear(2 * cfg.dim, classes, rngs=rngs)

    def classify(
        self, features_BSF: jax.Array, mask_BS: jax.Array, key: jax.Array | None = None
    ) -> jax.Array:
        """f32[B, C] logits."""
        first, *keys = layers.split(key, 1 + len(self.blocks))
        x_BSD = self.norm(self.stem(features_BSF))
        for block, k in zip(self.blocks, keys, strict=True):
            x_BSD = block(x_BSD, mask_BS, k)
        x_BD = _mean(self.top(x_BSD), mask_BS)
        return self.head(layers.dropout(x_BD, self.rate, first))
