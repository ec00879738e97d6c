"""The published fingerspelling LSTM (adish007, ASL-Fingerspelling-using-LSTM, 2023).

Shape suffixes: B batch, S frames, F features, T characters, D width.
"""

import dataclasses

import jax
from flax import nnx

from aslx.models import layers, rnn
from aslx.schema import vocab

_READ_UNITS, _WRITE_UNITS, _FRAMES, _CHARACTERS = 75, 50, 128, 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """LSTM(75), its last state 128 times, LSTM(50), a dense layer, every second position: 74,562
    parameters with 78 features and 59 characters."""

    def build(self, num_features: int, characters: int, *, rngs: nnx.Rngs) -> "PositionsLSTM":
        return PositionsLSTM(num_features, characters, rngs=rngs)


class PositionsLSTM(nnx.Module):
    """See `Config`. It predicts each character from its position and the clip's last state, without
    the other characters."""

    def __init__(self, num_features: int, characters: int, *, rngs: nnx.Rngs):
        self.read = rnn.LSTM(num_features, _READ_UNITS, rngs=rngs)
        self.write = rnn.LSTM(_READ_UNITS, _WRITE_UNITS, rngs=rngs)
        ids = characters + vocab.MARKS
        self.head = nnx.Linear(_WRITE_UNITS, ids, kernel_init=layers.GLOROT, rngs=rngs)

    def positions(
        self, features_BSF: jax.Array, mask_BS: jax.Array, key: jax.Array | None = None
    ) -> jax.Array:
        """f32[B, 64, V] logits. The published network has no mask and no dropout: it reads the
        zeros after a clip's end, so `mask_BS` and `key` are ignored."""
        del mask_BS, key
        _, (state_BD, _) = self.read(features_BSF)
        y_BTD, _ = self.write(state_BD[:, None], steps=_FRAMES)
        return self.head(y_BTD[:, :: _FRAMES // _CHARACTERS])
