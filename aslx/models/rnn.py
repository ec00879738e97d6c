"""Keras' LSTM.

Shape suffixes: B batch, T steps, F features, D units, 4D gates in the order input, forget,
candidate, output.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from aslx.kernels import lstm
from aslx.models import layers


class LSTM(layers.Layer):
    """Keras' LSTM: sigmoid gates, one bias, 4 D (F + D + 1) parameters.

    The kernels start glorot uniform and orthogonal, the bias of the forget gate at 1. `activation`
    is that of candidate and cell. Gates and cells are float32 whatever `dtype` is.
    """

    def __init__(
        self,
        num_features: int,
        dim: int,
        *,
        activation: lstm.Activation = lstm.TANH,
        dtype: jnp.dtype = jnp.dtype("float32"),
        rngs: nnx.Rngs,
    ):
        self.activation, self.dtype = activation, dtype
        orthogonal = nnx.initializers.orthogonal()
        self.kernel = nnx.Param(layers.GLOROT(rngs.params(), (num_features, 4 * dim)))
        self.recurrent = layers.kernel(orthogonal(rngs.params(), (dim, 4 * dim)), inputs=1)
        self.bias = nnx.Param(jnp.zeros((4, dim)).at[1].set(1).reshape(-1))

    def first(self, batch: int) -> lstm.Carry:
        """The carry (h, c) before the first step: zeros."""
        zero_BD = jnp.zeros((batch, self.recurrent.shape[0]))
        return zero_BD, zero_BD

    def __call__(
        self,
        x_BTF: jax.Array,
        mask_BT: jax.Array | None = None,
        first: lstm.Carry | None = None,
        *,
        reverse: bool = False,
        steps: int = 0,
    ) -> tuple[jax.Array, lstm.Carry]:
        """(h f32[B, T, D], the last carry). A masked step keeps the carry and repeats its h. So
        `reverse` starts at each row's own end, and the last carry is that of its last real step.
        With `steps`, the one input x [B, 1, F] is repeated so many times."""
        h_TBD, last = self.mode.recur(
            self.activation,
            reverse,
            steps,
            x_BTF,
            self.kernel[...].astype(self.dtype),
            self.bias[...],
            self.recurrent[...].astype(self.dtype),
            None if mask_BT is None else mask_BT.T[..., None],
            self.first(len(x_BTF)) if first is None else first,
        )
        return jnp.moveaxis(h_TBD, 0, 1), last

    def advance(self, x_BF: jax.Array, carry: lstm.Carry) -> lstm.Carry:
        """The carry (h, c) after one more step."""
        h_BD, c_BD = carry
        gates_B4D = lstm.project(x_BF, self.kernel[...].astype(self.dtype)) + self.bias[...]
        gates_B4D = gates_B4D + lstm.project(h_BD, self.recurrent[...].astype(self.dtype))
        return lstm.cell(self.activation, gates_B4D, c_BD)
