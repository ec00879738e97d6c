"""The published keypoint network: stacked LSTMs over a clip, dense layers, a class.

Shape suffixes: B batch, S frames, F features, D width, C classes.
"""

import dataclasses
import itertools

import jax
from flax import nnx

from aslx.kernels import lstm
from aslx.models import layers, rnn


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """LSTMs whose activation is relu, then dense layers with relu: 596,741 parameters with 1,662
    features and 5 classes, 596,774 with 6 (ngzhili, LSTM_Keypoint_Sign_Language_Detector)."""

    units: tuple[int, ...] = (64, 128, 64)
    """Width of each LSTM."""
    dense: tuple[int, ...] = (64, 32)
    """Width of each dense layer before the classes."""
    dropout: float = 0.0
    """Rate after every layer while training; the published variants had 0.2."""

    def build(self, num_features: int, classes: int, *, rngs: nnx.Rngs) -> "KeypointLSTM":
        return KeypointLSTM(self, num_features, classes, rngs=rngs)


class KeypointLSTM(nnx.Module):
    """See `Config`."""

    def __init__(self, cfg: Config, num_features: int, classes: int, *, rngs: nnx.Rngs):
        self.rate = cfg.dropout
        pairs = itertools.pairwise((num_features, *cfg.units))
        lstms = [rnn.LSTM(a, b, activation=lstm.RELU, rngs=rngs) for a, b in pairs]
        self.lstms = nnx.List(lstms)
        self.dense = layers.dense_layers((cfg.units[-1], *cfg.dense, classes), rngs=rngs)

    def classify(
        self, features_BSF: jax.Array, mask_BS: jax.Array, key: jax.Array | None = None
    ) -> jax.Array:
        """f32[B, C] logits. All clips have the same number of frames, so the mask is ignored."""
        del mask_BS
        keys = layers.split(key, len(self.lstms) + len(self.dense) - 1)
        x_BSD = features_BSF
        for layer, k in zip(self.lstms, keys, strict=False):
            x_BSD, _ = layer(x_BSD)
            x_BSD = layers.dropout(x_BSD, self.rate, k)
        x_BD = x_BSD[:, -1]
        for dense, k in zip(self.dense[:-1], keys[len(self.lstms) :], strict=True):
            x_BD = layers.dropout(jax.nn.relu(dense(x_BD)), self.rate, k)
        return self.dense[-1](x_BD)
