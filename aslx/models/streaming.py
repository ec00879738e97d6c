"""An encoder that reads a clip chunk by chunk, and keeps a state between chunks.

A chunk's positions see each other, and a bounded past; convolutions see the past alone. So an
output waits for at most a chunk less one frame, the work of a frame does not grow with the clip,
and a whole clip, read at once by masks, has exactly the outputs of its chunks: both are one
function, `Encoder.advance`, of any number of chunks.

The blocks are the Squeezeformer's (Kim et al. 2022); attention over chunks with a bounded past
follows Chen et al. 2021 ("Developing real-time streaming transformer transducer"), section 3.

Shape suffixes: B batch, S frames, F features, M positions, P positions of the past, D width,
K taps, N heads, H head width.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from aslx import errors
from aslx.models import attention, layers, recogniser, squeezeformer, transducer

Array = jax.Array
State = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(recogniser.Config):
    """Pre-norm blocks of attention, MLP, convolution, MLP, under a CTC head and, with a `context`,
    a transducer's."""

    decoder_layers: int = 0
    """There is no decoder: it would read the whole clip."""
    num_layers: int = 6
    """Encoder blocks."""
    mlp_ratio: int = 2
    """Width of the MLPs' hidden layer, in dims."""
    kernel: int = 15
    """Positions that a block's convolution spans, the last of which is its own."""
    chunk: int = 8
    """Frames that are read at once: an output waits for at most `chunk` - 1 later frames."""
    past: int = 64
    """Frames before its chunk to which a position attends."""
    context: int = 0
    """Characters before it that a transducer's next character depends on; 0: CTC alone."""
    groups: tuple[int, ...] = ()
    """Widths of the groups of features, in their order; (): one group."""
    drop_path: float = 0.1
    """Rate at which whole residual branches are dropped (Huang et al. 2016, stochastic depth)."""

    def __post_init__(self):
        super().__post_init__()
        if self.decoder_layers or not self.ctc or self.reverse:
            raise errors.BadInput("a streaming network has a CTC head alone: leave out the others")
        if self.context < 0:
            raise errors.BadInput(f"context {self.context}: give 0 or more characters")
        if self.chunk < 1 or self.chunk % self.stride or self.past % self.chunk or self.past < 0:
            raise errors.BadInput(
                f"chunk {self.chunk} must be a multiple of stride {self.stride}, "
                f"and past {self.past} one of chunk {self.chunk}"
            )

    def build(self, num_features: int, characters: int, *, rngs: nnx.Rngs) -> "Network":
        if self.groups and sum(self.groups) != num_features:
            raise errors.BadInput(
                f"groups of {sum(self.groups)} values, and {num_features} features"
            )
        encoder = Encoder(self, num_features, rngs=rngs)
        return Network(self, encoder, characters, rngs=rngs)


class CausalConv(layers.Layer):
    """A convolution over time of each channel by itself, whose last tap is the frame's own."""

    def __init__(self, dim: int, taps: int, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        self.convolution = layers.DepthwiseConv(dim, taps, dtype=dtype, rngs=rngs)
        self.dim, self.taps, self.dtype = dim, taps, dtype

    def empty(self, batch: int) -> Array:
        """The tail before the first frame, [B, K - 1, D]."""
        return jnp.zeros((batch, self.taps - 1, self.dim), self.dtype)

    def __call__(self, tail: Array, x_BSD: Array, mask_BS: Array) -> tuple[Array, Array]:
        """The result [B, S, D], and the last frames, which are the tail of the next call."""
        x_BSD = layers.masked(x_BSD, mask_BS).astype(self.dtype)
        x_BSD = jnp.concatenate([tail, x_BSD], 1)
        return self.convolution.within(x_BSD), x_BSD[:, x_BSD.shape[1] - self.taps + 1 :]


class Block(nnx.Module):
    def __init__(self, cfg: Config, *, rngs: nnx.Rngs):
        dim, dtype = cfg.dim, jnp.dtype(cfg.dtype)
        self.rate, self.drop_path = cfg.dropout, cfg.drop_path
        self.attention = attention.Attention(dim, cfg.num_heads, dtype=dtype, rngs=rngs)
        self.up = nnx.Linear(dim, dim, dtype=dtype, rngs=rngs)
        self.convolution = CausalConv(dim, cfg.kernel, dtype=dtype, rngs=rngs)
        self.inner = nnx.LayerNorm(dim, dtype=dtype, rngs=rngs)
        self.down = nnx.Linear(dim, dim, dtype=dtype, rngs=rngs)
        wide = cfg.mlp_ratio * dim
        self.mlps = nnx.List(
            [squeezeformer.MLP(dim, wide, dtype=dtype, rngs=rngs) for _ in range(2)]
        )
        self.norms = nnx.List([nnx.LayerNorm(dim, dtype=dtype, rngs=rngs) for _ in range(4)])

    def __call__(
        self, state: State, x_BMD: Array, sees: "Sees", key: Array | None
    ) -> tuple[Array, State]:
        keys, after = layers.split(key, 4), {}

        def attend(h_BMD: Array) -> Array:
            h_BMD, after["past"] = self._attend(state["past"], h_BMD, sees)
            return h_BMD

        def convolve(h_BMD: Array) -> Array:
            h_BMD = jax.nn.silu(self.up(h_BMD))
            h_BMD, after["tail"] = self.convolution(state["tail"], h_BMD, sees.mask)
            return self.down(jax.nn.silu(self.inner(h_BMD)))

        branches = (attend, self.mlps[0], convolve, self.mlps[1])
        for norm, branch, k in zip(self.norms, branches, keys, strict=True):
            inner, whole = layers.split(k, 2)
            h_BMD = layers.dropout(branch(norm(x_BMD)), self.rate, inner)
            x_BMD = x_BMD + layers.drop_path(h_BMD, self.drop_path, whole)
        return x_BMD, after

    def _attend(
        self, past: tuple[Array, ...], x_BMD: Array, sees: "Sees"
    ) -> tuple[Array, tuple[Array, ...]]:
        # Keys are kept as they are and turned when they are read: rotary positions tell distances
        # alone, and those from the oldest key on stay small however long the stream is.
        new = self.attention.keys_values(x_BMD)
        k, v = (jnp.concatenate(pair, 1) for pair in zip(past, new, strict=True))
        length, count = k.shape[1], past[0].shape[1]
        turns = attention.turns(length, self.attention.head_dim)
        turned = attention.rotate(k, turns), v
        h_BMD = self.attention.attend(x_BMD, turned, sees.shown, turns[count:])
        return h_BMD, (k[:, length - count :], v[:, length - count :])


@dataclasses.dataclass(frozen=True)
class Sees:
    """Which of the new positions are real, bool[B, M], and which keys, those of the past before
    the new ones, each of them sees, bool[B, M, P + M]."""

    mask: Array
    shown: Array

    @classmethod
    def of(cls, known_BP: Array, mask_BM: Array, chunk: int, past: int) -> "Sees":
        kept, new = known_BP.shape[1], mask_BM.shape[1]
        at_M, key_L = np.arange(new)[:, None], np.arange(kept + new)[None] - kept
        begin_M = at_M // chunk * chunk
        near = (key_L < begin_M + chunk) & (key_L >= begin_M - past)
        real_BL = jnp.concatenate([known_BP, mask_BM], 1)
        return cls(mask_BM, jnp.asarray(near)[None] & real_BL[:, None])


class Encoder(layers.Layer):
    """See `Config`. M = S / stride."""

    def __init__(self, cfg: Config, num_features: int, *, rngs: nnx.Rngs):
        groups, dtype = cfg.groups or (num_features,), jnp.dtype(cfg.dtype)
        self.stride, self.dtype = cfg.stride, dtype
        self.chunk, self.past = cfg.chunk // cfg.stride, cfg.past // cfg.stride
        self.heads = cfg.num_heads, cfg.dim // cfg.num_heads
        self.groups = squeezeformer.Groups(groups, cfg.dim, dtype=dtype, rngs=rngs)
        self.project = nnx.Linear(len(groups) * (cfg.dim // 2), cfg.dim, dtype=dtype, rngs=rngs)
        self.convolution = CausalConv(cfg.dim, 5, dtype=dtype, rngs=rngs)
        self.reduce = nnx.Linear(
            cfg.stride * cfg.dim, cfg.dim, bias_init=layers.AWAKE, dtype=dtype, rngs=rngs
        )
        self.blocks = nnx.List([Block(cfg, rngs=rngs) for _ in range(cfg.num_layers)])

    def start(self, batch: int, past: int | None = None) -> State:
        """The state before the first frame; without a `past` for one call with a whole clip."""
        past = self.past if past is None else past
        empty = jnp.zeros((batch, past, *self.heads), self.dtype)
        each = [
            {"past": (empty, empty), "tail": block.convolution.empty(batch)}
            for block in self.blocks
        ]
        known = jnp.zeros((batch, past), bool)
        return {"known": known, "stem": self.convolution.empty(batch), "blocks": each}

    def advance(
        self, state: State, features_BSF: Array, mask_BS: Array, key: Array | None = None
    ) -> tuple[Array, Array, State]:
        """[B, M, D] and bool[B, M] of the next frames, S of them, and the state behind them. S is a
        multiple of the chunk, except in a clip's last call."""
        features_BSF = layers.masked(features_BSF, mask_BS)
        x_BSD = self.project(self.groups(features_BSF))
        x_BSD, stem = self.convolution(state["stem"], x_BSD, mask_BS)
        x_BMD, mask_BM = layers.stack_frames(jax.nn.silu(x_BSD), mask_BS, self.stride)
        x_BMD = self.reduce(x_BMD)
        sees, after = Sees.of(state["known"], mask_BM, self.chunk, self.past), []
        keys = layers.split(key, len(self.blocks))
        for block, old, k in zip(self.blocks, state["blocks"], keys, strict=True):
            x_BMD, new = block(old, x_BMD, sees, k)
            after.append(new)
        known = jnp.concatenate([state["known"], mask_BM], 1)[:, mask_BM.shape[1] :]
        return x_BMD, mask_BM, {"known": known, "stem": stem, "blocks": after}

    def __call__(
        self, features_BSF: Array, mask_BS: Array, key: Array | None = None
    ) -> tuple[Array, Array]:
        """A whole clip at once."""
        return self.advance(self.start(len(mask_BS), past=0), features_BSF, mask_BS, key)[:2]


class Network(recogniser.Recogniser):
    """An `Encoder` under a CTC head."""

    encoder: Encoder

    def __init__(self, cfg: Config, encoder: Encoder, characters: int, *, rngs: nnx.Rngs):
        super().__init__(cfg, encoder, None, cfg.dtype, characters, rngs=rngs)
        self.context = cfg.context
        if cfg.context:
            sizes = cfg.dim, cfg.context, characters
            self.joint = transducer.Joint(*sizes, dtype=jnp.dtype(cfg.dtype), rngs=rngs)

    def init_state(self, batch: int) -> State:
        """The state before the first frame of `batch` streams."""
        return self.encoder.start(batch)

    def listen(
        self, state: State, features_BSF: Array, mask_BS: Array
    ) -> tuple[Array, Array, State]:
        """The memory [B, M, D] of the next frames, bool[B, M] where it is of a real frame, and the
        state behind them."""
        x_BMD, mask_BM, state = self.encoder.advance(state, features_BSF, mask_BS)
        return layers.masked(self.norm_memory(x_BMD), mask_BM), mask_BM, state

    def step(self, state: State, features_BSF: Array, mask_BS: Array) -> tuple[Array, Array, State]:
        """`listen`, with CTC's logits f32[B, M, V] in place of the memory."""
        memory_BMD, mask_BM, state = self.listen(state, features_BSF, mask_BS)
        return self.ctc(memory_BMD), mask_BM, state

    def predicted(self, last: Array) -> Array:
        """See `transducer.Joint`; BadInput where the config has no `context`."""
        if not self.context:
            raise errors.BadInput(
                "context 0: a transducer's head needs the last characters: pass --model.context 2"
            )
        return self.joint.predicted(last)

    def joined(self, memory: Array, predicted: Array) -> Array:
        """See `transducer.Joint`."""
        return self.joint.joined(memory, predicted)
