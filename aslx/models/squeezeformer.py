"""The Squeezeformer (Kim et al. 2022) as the fingerspelling competition's first place had it
(Henkel and Hanley 2023): with rotary attention, without a return to the full rate, and with a stem
for each group of landmarks.

Shape suffixes: B batch, S frames, F features, M memory, D width.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from aslx import errors
from aslx.kernels import blocks
from aslx.models import attention, layers, recogniser, transformer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(recogniser.Config):
    """Pre-norm blocks of attention, MLP, convolution, MLP, at half the rate from the middle on."""

    num_layers: int = 12
    """Encoder blocks."""
    mlp_ratio: int = 2
    """Width of the MLPs' hidden layer, in dims."""
    kernel: int = 31
    """Frames that a block's convolution spans."""
    stride: int = 1
    """Frames that the stem joins into one position: 1, 2 or 4."""
    halve_after: int = 6
    """Blocks after which two positions become one; 0: never."""
    groups: tuple[int, ...] = ()
    """Widths of the groups of features, in their order; (): one group."""
    drop_path: float = 0.1
    """Rate at which whole residual branches are dropped (Huang et al. 2016, stochastic depth)."""
    remat: bool = False
    """Keep only a block's products with its weights, and compute the rest again in the backward
    pass: it takes a fraction of the memory, and on accelerators of the time."""

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.halve_after < self.num_layers:
            raise errors.BadInput(
                f"halve_after {self.halve_after} is not below {self.num_layers} layers"
            )

    def build(self, num_features: int, characters: int, *, rngs: nnx.Rngs) -> recogniser.Recogniser:
        if self.groups and sum(self.groups) != num_features:
            raise errors.BadInput(
                f"groups of {sum(self.groups)} values, and {num_features} features"
            )
        encoder = Encoder(self, num_features, rngs=rngs)
        block = recogniser.DecoderBlock
        return recogniser.Recogniser(self, encoder, block, self.dtype, characters, rngs=rngs)


class Groups(nnx.Module):
    """Maps each of n groups of features to half the network's width: [B, S, n D / 2]."""

    def __init__(self, groups: tuple[int, ...], dim: int, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        half = dim // 2
        self.ends = np.cumsum(groups)[:-1].tolist()
        self.linears = nnx.List([nnx.Linear(n, half, dtype=dtype, rngs=rngs) for n in groups])
        self.norms = nnx.List([nnx.LayerNorm(half, dtype=dtype, rngs=rngs) for _ in groups])

    def __call__(self, features_BSF: jax.Array) -> jax.Array:
        parts = jnp.split(features_BSF, self.ends, -1)
        each = zip(self.norms, self.linears, parts, strict=True)
        return jnp.concatenate([jax.nn.silu(norm(linear(part))) for norm, linear, part in each], -1)


class Block(nnx.Module):
    """A pre-norm block, which learns from the first step on; the paper's is post-norm."""

    def __init__(self, cfg: Config, *, rngs: nnx.Rngs):
        dim, dtype = cfg.dim, jnp.dtype(cfg.dtype)
        self.rate, self.drop_path = cfg.dropout, cfg.drop_path
        self.attention = attention.Attention(dim, cfg.num_heads, dtype=dtype, rngs=rngs)
        self.convolution = Convolution(cfg, rngs=rngs)
        wide = cfg.mlp_ratio * dim
        self.mlps = nnx.List([MLP(dim, wide, dtype=dtype, rngs=rngs) for _ in range(2)])
        self.norms = nnx.List([nnx.LayerNorm(dim, dtype=dtype, rngs=rngs) for _ in range(4)])

    def __call__(
        self, x_BMD: jax.Array, mask_BM: jax.Array, key: jax.Array | None = None
    ) -> jax.Array:
        turns = attention.turns(x_BMD.shape[1], self.attention.head_dim)
        branches = (
            lambda h: self.attention(h, mask_BM[:, None], turns),
            self.mlps[0],
            lambda h: self.convolution(h, mask_BM),
            self.mlps[1],
        )
        for i, (branch, k) in enumerate(zip(branches, layers.split(key, 4), strict=True)):
            inner, whole = layers.split(k, 2)
            h_BMD = layers.dropout(branch(self.norms[i](x_BMD)), self.rate, inner)
            x_BMD = x_BMD + layers.drop_path(h_BMD, self.drop_path, whole)
        return x_BMD


class MLP(nnx.Module):
    def __init__(self, dim: int, wide: int, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        self.up = nnx.Linear(dim, wide, dtype=dtype, rngs=rngs)
        self.down = nnx.Linear(wide, dim, dtype=dtype, rngs=rngs)

    def __call__(self, x_BMD: jax.Array) -> jax.Array:
        return self.down(jax.nn.silu(self.up(x_BMD)))


class Convolution(nnx.Module):
    """A depthwise convolution over time between pointwise ones, with LayerNorm in place of
    BatchNorm."""

    def __init__(self, cfg: Config, *, rngs: nnx.Rngs):
        dim, dtype = cfg.dim, jnp.dtype(cfg.dtype)
        self.up = nnx.Linear(dim, dim, dtype=dtype, rngs=rngs)
        self.depthwise = layers.DepthwiseConv(dim, cfg.kernel, dtype=dtype, rngs=rngs)
        self.norm = nnx.LayerNorm(dim, dtype=dtype, rngs=rngs)
        self.down = nnx.Linear(dim, dim, dtype=dtype, rngs=rngs)

    def __call__(self, x_BMD: jax.Array, mask_BM: jax.Array) -> jax.Array:
        h_BMD = self.depthwise(jax.nn.silu(self.up(x_BMD)), mask_BM)
        return self.down(jax.nn.silu(self.norm(h_BMD)))


class Encoder(layers.Layer):
    """See `Config`. M = S / stride, and half of that where `halve_after` is set, rounded up."""

    def __init__(self, cfg: Config, num_features: int, *, rngs: nnx.Rngs):
        groups, first = cfg.groups or (num_features,), cfg.halve_after
        self.remat = cfg.remat
        dtype = jnp.dtype(cfg.dtype)
        self.groups = Groups(groups, cfg.dim, dtype=dtype, rngs=rngs)
        self.stem = transformer.Stem(cfg, len(groups) * (cfg.dim // 2), rngs=rngs)
        each = [Block(cfg, rngs=rngs) for _ in range(cfg.num_layers)]
        self.fast = blocks.stack(each[:first]) if first else None
        self.slow = blocks.stack(each[first:])
        dtype = jnp.dtype(cfg.dtype)
        self.halve = nnx.Linear(2 * cfg.dim, cfg.dim, dtype=dtype, rngs=rngs) if first else None

    def __call__(
        self, features_BSF: jax.Array, mask_BS: jax.Array, key: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        keys = layers.split(key, 2)
        features_BSF = layers.masked(features_BSF, mask_BS)
        x_BMD, mask_BM = self.stem(self.groups(features_BSF), mask_BS)
        if self.fast is not None and self.halve is not None:
            x_BMD = self._run(self.fast, x_BMD, mask_BM, keys[0])
            x_BMD, mask_BM = layers.stack_frames(x_BMD, mask_BM, 2)
            x_BMD = self.halve(x_BMD)
        return self._run(self.slow, x_BMD, mask_BM, keys[1]), mask_BM

    def _run(self, stack: Block, x_BMD: jax.Array, mask_BM: jax.Array, key: jax.Array | None):
        def apply(block: Block, x_BMD: jax.Array, key: jax.Array | None) -> jax.Array:
            return block(x_BMD, mask_BM, key)

        return self.mode.scan(stack, x_BMD, key, apply, self.remat)
