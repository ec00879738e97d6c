"""An LSTM whose backward pass is its own.

The gradient of a scan adds up the weights' gradients step by step. Here the backward scan yields
the gates' gradients alone; one matrix product after it gives the recurrent kernel's, and the
input's projection is one product before the forward scan, so its gradient is one product too.

Shape suffixes: B batch, T steps, F features, D units, 4D gates in the order input, forget,
candidate, output.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

Activation = Callable[[jax.Array], jax.Array]
Carry = tuple[jax.Array, jax.Array]


def _opened(gates_B4D: jax.Array) -> jax.Array:
    """Projections -> gates from 0 to 1; the candidate stays as it is."""
    d = gates_B4D.shape[-1] // 4
    candidate_4D = np.arange(4 * d) // d == 2
    return jnp.where(candidate_4D, gates_B4D, jax.nn.sigmoid(gates_B4D))


def _cell(opened_B4D: jax.Array, c_BD: jax.Array, activation: Activation) -> Carry:
    """One step after its gates: (h, c) of these and of the old cell."""
    i, f, g, o = jnp.split(opened_B4D, 4, axis=-1)
    c_BD = f * c_BD + i * activation(g)
    return o * activation(c_BD), c_BD


def _project(h_BD: jax.Array, recurrent_D4D: jax.Array) -> jax.Array:
    return jnp.dot(
        h_BD.astype(recurrent_D4D.dtype), recurrent_D4D, preferred_element_type=jnp.float32
    )


def _forward(activation, reverse, inputs_TB4D, recurrent_D4D, mask_TB1, first):
    def step(carry, at):
        (h_BD, c_BD), (input_B4D, mask_B1) = carry, at
        opened_B4D = _opened(input_B4D + _project(h_BD, recurrent_D4D))
        h_new, c_new = _cell(opened_B4D, c_BD, activation)
        h_BD, c_BD = jnp.where(mask_B1, h_new, h_BD), jnp.where(mask_B1, c_new, c_BD)
        return (h_BD, c_BD), (h_BD, c_BD, opened_B4D)

    return jax.lax.scan(step, first, (inputs_TB4D, mask_TB1), reverse=reverse)


def _recur(
    activation: Activation,
    reverse: bool,
    inputs_TB4D: jax.Array,
    recurrent_D4D: jax.Array,
    mask_TB1: jax.Array,
    first: Carry,
) -> tuple[jax.Array, Carry]:
    """(h [T, B, D], the last carry); a masked step holds the carry and repeats its h."""
    last, (h_TBD, _, _) = _forward(activation, reverse, inputs_TB4D, recurrent_D4D, mask_TB1, first)
    return h_TBD, last


def _recur_forward(activation, reverse, inputs_TB4D, recurrent_D4D, mask_TB1, first):
    last, (h_TBD, c_TBD, opened_TB4D) = _forward(
        activation, reverse, inputs_TB4D, recurrent_D4D, mask_TB1, first
    )
    return (h_TBD, last), (recurrent_D4D, mask_TB1, first, h_TBD, c_TBD, opened_TB4D)


def _before(x_TBD: jax.Array, first_BD: jax.Array, reverse: bool) -> jax.Array:
    """What each step began with."""
    if reverse:
        return jnp.concatenate([x_TBD[1:], first_BD[None]])
    return jnp.concatenate([first_BD[None], x_TBD[:-1]])


def _slopes(activation, opened_TB4D, c_TBD):
    """Derivatives of all steps at once: of c by the gates i, f, g, of h by o, of h by c, and of c
    by the old c. They hang on nothing that the backward scan computes."""
    i, f, g, o = jnp.split(opened_TB4D, 4, axis=-1)
    a_g, slope_g = jax.jvp(activation, (g,), (jnp.ones_like(g),))
    c_new = f * c_TBD + i * a_g
    a_c, slope_c = jax.jvp(activation, (c_new,), (jnp.ones_like(c_new),))
    by_gates = (a_g * i * (1 - i), c_TBD * f * (1 - f), i * slope_g, a_c * o * (1 - o))
    return jnp.concatenate(by_gates, -1), o * slope_c, f


def _recur_backward(activation, reverse, residual, gradient):
    recurrent_D4D, mask_TB1, first, h_TBD, c_TBD, opened_TB4D = residual
    dh_TBD, (dh_last, dc_last) = gradient
    h_TBD, c_TBD = _before(h_TBD, first[0], reverse), _before(c_TBD, first[1], reverse)
    slopes = _slopes(activation, opened_TB4D, c_TBD)
    transposed_4DD = recurrent_D4D.T

    def step(carry, at):
        (dh_BD, dc_BD), (dout_BD, mask_B1, by_gates_B4D, h_by_c, c_by_c) = carry, at
        dh_BD = dh_BD + dout_BD
        dc_new = dc_BD + dh_BD * h_by_c
        dgates_B4D = jnp.concatenate([dc_new, dc_new, dc_new, dh_BD], -1) * by_gates_B4D
        dgates_B4D = jnp.where(mask_B1, dgates_B4D, 0)
        dh_old = jnp.where(mask_B1, 0, dh_BD) + _project(dgates_B4D, transposed_4DD)
        return (dh_old, jnp.where(mask_B1, dc_new * c_by_c, dc_BD)), dgates_B4D

    steps = (dh_TBD, mask_TB1, *slopes)
    dfirst, dgates_TB4D = jax.lax.scan(step, (dh_last, dc_last), steps, reverse=not reverse)
    dtype = recurrent_D4D.dtype
    # Contracted over both, and not reshaped: devices that share the batch would gather it first.
    drecurrent_D4D = jnp.einsum(
        "tbd,tbe->de",
        h_TBD.astype(dtype),
        dgates_TB4D.astype(dtype),
        preferred_element_type=jnp.float32,
    )
    return dgates_TB4D, drecurrent_D4D.astype(dtype), None, dfirst


recur = jax.custom_vjp(_recur, nondiff_argnums=(0, 1))
recur.defvjp(_recur_forward, _recur_backward)


class LSTM(nnx.Module):
    """Keras' LSTM: sigmoid gates, one bias whose forget part starts at 1, glorot uniform and
    orthogonal kernels; 4 D (F + D + 1) parameters. Gates and cells are float32 at every dtype.

    `activation` is that of candidate and cell.
    """

    def __init__(
        self,
        num_features: int,
        dim: int,
        *,
        activation: Activation = jnp.tanh,
        dtype: jnp.dtype = jnp.dtype("float32"),
        rngs: nnx.Rngs,
    ):
        self.activation, self.dtype = activation, dtype
        glorot, orthogonal = nnx.initializers.glorot_uniform(), nnx.initializers.orthogonal()
        self.kernel = nnx.Param(glorot(rngs.params(), (num_features, 4 * dim)))
        self.recurrent = nnx.Param(orthogonal(rngs.params(), (dim, 4 * dim)))
        self.bias = nnx.Param(jnp.zeros((4, dim)).at[1].set(1).reshape(-1))

    def first(self, batch: int) -> Carry:
        zero_BD = jnp.zeros((batch, self.recurrent.shape[0]))
        return zero_BD, zero_BD

    def __call__(
        self,
        x_BTF: jax.Array,
        mask_BT: jax.Array | None = None,
        first: Carry | None = None,
        *,
        reverse: bool = False,
        steps: int = 0,
    ) -> tuple[jax.Array, Carry]:
        """(h f32[B, T, D], the last carry). A masked step holds the carry and repeats its h, so
        `reverse` starts at each row's own end, and the last carry is of its last true step. With
        `steps`, one input x [B, 1, F] is that of so many steps."""
        b, t, _ = x_BTF.shape
        t = steps or t
        mask_BT = jnp.ones((b, t), bool) if mask_BT is None else mask_BT
        inputs_TB4D = jnp.moveaxis(self._inputs(x_BTF), 1, 0)
        inputs_TB4D = jnp.broadcast_to(inputs_TB4D, (t, *inputs_TB4D.shape[1:]))
        h_TBD, last = recur(
            self.activation,
            reverse,
            inputs_TB4D,
            self.recurrent[...].astype(self.dtype),
            mask_BT.T[..., None],
            self.first(b) if first is None else first,
        )
        return jnp.moveaxis(h_TBD, 0, 1), last

    def advance(self, x_BF: jax.Array, carry: Carry) -> Carry:
        """One step; the new h is the first of the carry."""
        h_BD, c_BD = carry
        gates_B4D = self._inputs(x_BF) + _project(h_BD, self.recurrent[...].astype(self.dtype))
        return _cell(_opened(gates_B4D), c_BD, self.activation)

    def _inputs(self, x: jax.Array) -> jax.Array:
        gates = _project(x, self.kernel[...].astype(self.dtype))
        return gates + self.bias[...]
