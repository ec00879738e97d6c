"""An LSTM encoder-decoder with attention.

Shape suffixes: B batch, S frames, F features, M memory, T characters, D width, V characters.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from aslx import errors
from aslx.kernels import lstm
from aslx.models import attention, layers, recogniser, rnn


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(recogniser.Config):
    """Stacked LSTMs with pre-norm residuals read the clip. LSTMs that attend to it, a CTC head, or
    both write the text. Gates and cells are float32 at every `dtype`."""

    num_layers: int = 3
    """Encoder layers."""
    bidirectional: bool = True
    """Whether the encoder also reads each clip backwards from its own end. Then each direction has
    half the width."""
    decoder_layers: int = 2
    """Decoder layers; 0: no decoder, CTC alone. The state of the second layer and later ones knows
    what was attended to before."""

    def __post_init__(self):
        super().__post_init__()
        if self.bidirectional and self.dim % 2:
            raise errors.BadInput(f"dim {self.dim} has no half for each direction; make it even")

    def build(self, num_features: int, characters: int, *, rngs: nnx.Rngs) -> recogniser.Recogniser:
        encoder = Encoder(self, num_features, rngs=rngs)
        return recogniser.Recogniser(self, encoder, DecoderLayer, "float32", characters, rngs=rngs)


class EncoderLayer(nnx.Module):
    def __init__(self, cfg: Config, *, rngs: nnx.Rngs):
        dim, dtype = cfg.dim, jnp.dtype(cfg.dtype)
        self.rate = cfg.dropout
        self.norm = nnx.LayerNorm(dim, rngs=rngs)
        width = dim // 2 if cfg.bidirectional else dim
        self.forward = rnn.LSTM(dim, width, dtype=dtype, rngs=rngs)
        self.backward = rnn.LSTM(dim, width, dtype=dtype, rngs=rngs) if cfg.bidirectional else None

    def __call__(self, x_BMD, mask_BM, key=None) -> jax.Array:
        h_BMD = self.norm(x_BMD)
        y_BMD, _ = self.forward(h_BMD, mask_BM)
        if self.backward is not None:
            back_BMD, _ = self.backward(h_BMD, mask_BM, reverse=True)
            y_BMD = jnp.concatenate([y_BMD, back_BMD], -1)
        return x_BMD + layers.dropout(y_BMD, self.rate, key)


class DecoderLayer(nnx.Module):
    """An LSTM over the characters, then attention to the memory by its state."""

    def __init__(self, cfg: Config, *, rngs: nnx.Rngs):
        dim, dtype = cfg.dim, jnp.dtype(cfg.dtype)
        self.rate = cfg.dropout
        self.norm_lstm = nnx.LayerNorm(dim, rngs=rngs)
        self.lstm = rnn.LSTM(dim, dim, dtype=dtype, rngs=rngs)
        self.norm_attention = nnx.LayerNorm(dim, rngs=rngs)
        self.cross_attention = attention.Attention(dim, cfg.num_heads, dtype=dtype, rngs=rngs)

    def __call__(self, x_BTD, cross, mask_BM, key=None) -> jax.Array:
        keys = layers.split(key, 2)
        h_BTD, _ = self.lstm(self.norm_lstm(x_BTD))
        return self._attend(x_BTD, h_BTD, cross, mask_BM, keys)

    def shares(self, x_BTD, cross, mask_BM) -> jax.Array:
        """f32[B, T, M]: the shares of the attention to the memory."""
        h_BTD, _ = self.lstm(self.norm_lstm(x_BTD))
        x_BTD = self.norm_attention(x_BTD + h_BTD)
        return self.cross_attention.shares(x_BTD, cross[0], mask_BM[:, None])

    def first(self, cross, max_tokens: int) -> lstm.Carry:
        """The state before the first character; its size does not depend on `max_tokens`."""
        del max_tokens
        return self.lstm.first(len(cross[0]))

    def advance(self, x_B1D, carry, index, cross, mask_BM) -> tuple[jax.Array, lstm.Carry]:
        del index
        carry = self.lstm.advance(self.norm_lstm(x_B1D[:, 0]), carry)
        return self._attend(x_B1D, carry[0][:, None], cross, mask_BM, [None] * 2), carry

    def _attend(self, x_BTD, h_BTD, cross, mask_BM, keys):
        x_BTD = x_BTD + layers.dropout(h_BTD, self.rate, keys[0])
        y_BTD = self.cross_attention.attend(self.norm_attention(x_BTD), cross, mask_BM[:, None])
        return x_BTD + layers.dropout(y_BTD, self.rate, keys[1])


class Encoder(nnx.Module):
    """See `Config`. f32[B, M, D] with M = S / stride, rounded up."""

    def __init__(self, cfg: Config, num_features: int, *, rngs: nnx.Rngs):
        self.rate, self.stride, dtype = cfg.dropout, cfg.stride, jnp.dtype(cfg.dtype)
        stacked = cfg.stride * num_features
        self.stem = nnx.Linear(stacked, cfg.dim, bias_init=layers.AWAKE, dtype=dtype, rngs=rngs)
        self.layers = nnx.List([EncoderLayer(cfg, rngs=rngs) for _ in range(cfg.num_layers)])

    def __call__(
        self, features_BSF: jax.Array, mask_BS: jax.Array, key: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        first, *keys = layers.split(key, 1 + len(self.layers))
        stacked_BMF, mask_BM = layers.stack_frames(features_BSF, mask_BS, self.stride)
        x_BMD = self.stem(stacked_BMF).astype(jnp.float32)
        x_BMD = layers.dropout(x_BMD, self.rate, first)
        for layer, k in zip(self.layers, keys, strict=True):
            x_BMD = layer(x_BMD, mask_BM, k)
        return x_BMD, mask_BM
