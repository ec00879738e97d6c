"""An LSTM whose backward pass is its own.

The gradient of a scan adds up the weights' gradients step by step. Here the backward scan yields
the gates' gradients alone, and one product after it gives each kernel's. The input's projection is
one product before the forward scan.

Shape suffixes: B batch, T steps, F features, D units, 4D gates in the order input, forget,
candidate, output.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from aslx.models import layers

Carry = tuple[jax.Array, jax.Array]

_UNITS = 8  # Their gates are 32 columns, which XLA's kernels for CPUs make at a time.


@dataclasses.dataclass(frozen=True)
class Activation:
    """A function, and its slope as a function of its value: the backward pass keeps values."""

    value: Callable[[jax.Array], jax.Array]
    slope: Callable[[jax.Array], jax.Array]

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.value(x)


TANH = Activation(jnp.tanh, lambda y: 1 - y * y)
RELU = Activation(jax.nn.relu, lambda y: (y > 0).astype(y.dtype))


def _candidate(width: int) -> np.ndarray:
    """bool[4D]: which gates are the candidate."""
    return np.arange(width) * 4 // width == 2


def _opened(activation: Activation, gates_B4D: jax.Array) -> jax.Array:
    """Projections -> gates: sigmoids, and the activation of the candidate."""
    candidate_4D = _candidate(gates_B4D.shape[-1])
    # sigmoid(x) = tanh(x / 2) / 2 + 1 / 2: one pass of one function over whole rows is what a CPU
    # vectorises; a sigmoid of three quarters of a row and a tanh of the rest take three times it.
    scale_4D = np.where(candidate_4D, 1.0, 0.5).astype(np.float32)
    shift_4D = np.where(candidate_4D, 0.0, 0.5).astype(np.float32)
    opened_B4D = jnp.tanh(gates_B4D * scale_4D) * scale_4D + shift_4D
    if activation is TANH:
        return opened_B4D
    # Stored: where several kernels read the inputs, a loop copies all before it writes one.
    return layers.materialised(jnp.where(candidate_4D, activation(gates_B4D), opened_B4D))


def _cell(activation: Activation, opened_B4D: jax.Array, c_BD: jax.Array) -> Carry:
    """One step after its gates: (h, c) of these and of the old cell."""
    i, f, g, o = jnp.split(opened_B4D, 4, axis=-1)
    c_BD = f * c_BD + i * g
    return o * activation(c_BD), c_BD


def _project(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jnp.dot(x.astype(kernel.dtype), kernel, preferred_element_type=jnp.float32)


def _held(mask_B1: jax.Array | None, new: jax.Array, old: jax.Array | float) -> jax.Array:
    return new if mask_B1 is None else jnp.where(mask_B1, new, old)


def _swapped(x: jax.Array) -> jax.Array:
    """[B, T, ...] of [T, B, ...], or the other way round."""
    return jnp.swapaxes(x, 0, 1)


def _is_wide(kernel_F4D: jax.Array) -> bool:
    """Whether the input is wider than its projection: then the latter is put in order of steps."""
    return kernel_F4D.shape[0] > kernel_F4D.shape[1]


def _inputs(x_BTF: jax.Array, kernel_F4D: jax.Array, steps: int) -> jax.Array:
    """[T, B, 4D]: the input's part of every gate; with `steps` that of one for so many."""
    if _is_wide(kernel_F4D):
        inputs_TB4D = _swapped(_project(x_BTF, kernel_F4D))
    else:
        inputs_TB4D = _project(_swapped(x_BTF), kernel_F4D)
    return jnp.broadcast_to(inputs_TB4D, (steps or len(inputs_TB4D), *inputs_TB4D.shape[1:]))


def _forward(activation, reverse, steps, x_BTF, kernel, bias, recurrent, mask_TB1, first, keep):
    """The last carry, the gates, and h of each step; with `keep` h and c, and the gates opened."""

    def step(carry, at):
        (h_BD, c_BD, gates_TB4D), (t, mask_B1) = carry, at
        input_B4D = jax.lax.dynamic_index_in_dim(gates_TB4D, t, 0, False)
        opened_B4D = _opened(activation, input_B4D + bias + _project(h_BD, recurrent))
        h_new, c_new = _cell(activation, opened_B4D, c_BD)
        h_BD, c_BD = _held(mask_B1, h_new, h_BD), _held(mask_B1, c_new, c_BD)
        if not keep:
            return (h_BD, c_BD, gates_TB4D), h_BD
        # Gates take the place of their inputs: no other array is filled with zeros.
        gates_TB4D = jax.lax.dynamic_update_index_in_dim(gates_TB4D, opened_B4D, t, 0)
        # Two in one: a loop's body of more than 8 kernels goes through XLA's task queue, step by
        # step, and that costs more than the kernels.
        return (h_BD, c_BD, gates_TB4D), jnp.stack([h_BD, c_BD])

    inputs_TB4D = _inputs(x_BTF, kernel, steps)
    at = jnp.arange(len(inputs_TB4D)), mask_TB1
    (h_BD, c_BD, gates_TB4D), found_T = jax.lax.scan(
        step, (*first, inputs_TB4D), at, reverse=reverse
    )
    return (h_BD, c_BD), gates_TB4D, found_T


def _recur(
    activation: Activation,
    reverse: bool,
    steps: int,
    x_BTF: jax.Array,
    kernel_F4D: jax.Array,
    bias_4D: jax.Array,
    recurrent_D4D: jax.Array,
    mask_TB1: jax.Array | None,
    first: Carry,
) -> tuple[jax.Array, Carry]:
    """(h [T, B, D], the last carry); a masked step holds the carry and repeats its h. With `steps`,
    one x [B, 1, F] is that of so many steps."""
    arrays = x_BTF, kernel_F4D, bias_4D, recurrent_D4D, mask_TB1, first
    last, _, h_TBD = _forward(activation, reverse, steps, *arrays, keep=False)
    return h_TBD, last


def _recur_forward(activation, reverse, steps, x_BTF, kernel, bias, recurrent, mask_TB1, first):
    arrays = x_BTF, kernel, bias, recurrent, mask_TB1, first
    last, opened_TB4D, carries_T2BD = _forward(activation, reverse, steps, *arrays, keep=True)
    residual = x_BTF, kernel, recurrent, mask_TB1, first, carries_T2BD, opened_TB4D
    return (carries_T2BD[:, 0], last), residual


def _shifted(x_TBD: jax.Array, end_BD: jax.Array, later: bool) -> jax.Array:
    """Of each step what the one before has, or `later` the next; `end` where there is none."""
    if later:
        return jnp.concatenate([x_TBD[1:], end_BD[None]])
    return jnp.concatenate([end_BD[None], x_TBD[:-1]])


def _over_steps(x_TBF: jax.Array, y_TBE: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """[F, E]: the product summed over steps and rows. Contracted over both, and not reshaped:
    devices that share the batch would gather it first."""
    if x_TBF.shape[-1] > y_TBE.shape[-1]:  # XLA transposes a copy of the first: of the narrower.
        return _over_steps(y_TBE, x_TBF, dtype).T
    both = (((0, 1), (0, 1)), ((), ()))
    x_TBF, y_TBE = x_TBF.astype(dtype), y_TBE.astype(dtype)
    product = jax.lax.dot_general(x_TBF, y_TBE, both, preferred_element_type=jnp.float32)
    return product.astype(dtype)


def _recur_backward(activation, reverse, steps, residual, gradient):
    x_BTF, kernel, recurrent, mask_TB1, first, carries_T2BD, opened_TB4D = residual
    dh_TBD, (dh_last, dc_last) = gradient
    c_TBD = carries_T2BD[:, 1]
    h_old, c_old = (
        _shifted(x, end, later=reverse)
        for x, end in zip((carries_T2BD[:, 0], c_TBD), first, strict=True)
    )
    transposed_4DD = recurrent.T
    candidate_4D = _candidate(opened_TB4D.shape[-1])
    f_TBD = _held(mask_TB1, jnp.split(opened_TB4D, 4, -1)[1], 1.0)
    f_next = _shifted(f_TBD, jnp.ones_like(dc_last), later=not reverse)

    def step(carry, at):
        # The carried dc lacks a factor, the next step's f: one kernel fewer.
        (dh_BD, dc_BD, gates_TB4D), (t, dout_BD, mask_B1, a_c, c_old, f_next) = carry, at
        opened_B4D = jax.lax.dynamic_index_in_dim(gates_TB4D, t, 0, False)
        dh_BD = dh_BD + dout_BD
        i, _, g, o = jnp.split(opened_B4D, 4, axis=-1)
        dc_BD = dc_BD * f_next + _held(mask_B1, dh_BD * o * activation.slope(a_c), 0.0)
        slopes_B4D = jnp.where(
            candidate_4D, activation.slope(opened_B4D), opened_B4D * (1 - opened_B4D)
        )
        # Side by side in memory as they are, and not stacked: fused, that is a branch an element.
        by_opened = jnp.concatenate([dc_BD * g, dc_BD * c_old, dc_BD * i, dh_BD * a_c], axis=-1)
        dgates_B4D = _held(mask_B1, by_opened * slopes_B4D, 0.0)
        dh_old = _project(dgates_B4D, transposed_4DD)
        if mask_B1 is not None:
            dh_old = dh_old + jnp.where(mask_B1, 0, dh_BD)
        # Each step's gradient takes the place of its gates: no other array is filled with zeros.
        gates_TB4D = jax.lax.dynamic_update_index_in_dim(gates_TB4D, dgates_B4D, t, 0)
        return (dh_old, dc_BD, gates_TB4D), None

    numbers_T = jnp.arange(len(opened_TB4D))
    steps_TBD = (numbers_T, dh_TBD, mask_TB1, activation(c_TBD), c_old, f_next)
    last = dh_last, dc_last, opened_TB4D
    (dh_first, dc_first, dgates_TB4D), _ = jax.lax.scan(step, last, steps_TBD, reverse=not reverse)
    dfirst = dh_first, dc_first * f_TBD[-1 if reverse else 0]
    drecurrent = _over_steps(h_old, dgates_TB4D, recurrent.dtype)
    if steps:
        dgates_TB4D = dgates_TB4D.sum(0, keepdims=True)
    if _is_wide(kernel):
        dgates_BT4D = layers.materialised(_swapped(dgates_TB4D))
        dx_BTF = _project(dgates_BT4D, kernel.T)
        dkernel = _over_steps(x_BTF, dgates_BT4D, kernel.dtype)
    else:
        dx_BTF = _swapped(_project(dgates_TB4D, kernel.T))
        dkernel = _over_steps(_swapped(x_BTF), dgates_TB4D, kernel.dtype)
    return dx_BTF.astype(x_BTF.dtype), dkernel, dgates_TB4D.sum((0, 1)), drecurrent, None, dfirst


def _filled(x: jax.Array, more: int, gates: int = 1) -> jax.Array:
    """With so many units `more` of each gate; zeros for weights, they stay zero."""
    *axes, wide = x.shape
    parts = x.reshape(*axes, gates, wide // gates)
    return jnp.pad(parts, [(0, 0)] * (parts.ndim - 1) + [(0, more)]).reshape(*axes, -1)


recur = jax.custom_vjp(_recur, nondiff_argnums=(0, 1, 2))
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
        activation: Activation = TANH,
        dtype: jnp.dtype = jnp.dtype("float32"),
        rngs: nnx.Rngs,
    ):
        self.activation, self.dtype = activation, dtype
        glorot, orthogonal = nnx.initializers.glorot_uniform(), nnx.initializers.orthogonal()
        self.kernel = nnx.Param(glorot(rngs.params(), (num_features, 4 * dim)))
        self.recurrent = layers.kernel(orthogonal(rngs.params(), (dim, 4 * dim)), inputs=1)
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
        recurrent_D4D = self.recurrent[...].astype(self.dtype)
        dim = len(recurrent_D4D)
        # 80 units instead of 75 save a sixteenth of a step: no kernel ends with a few of them.
        more = 0 if layers.is_exporting() else -dim % _UNITS
        h_BD, c_BD = self.first(len(x_BTF)) if first is None else first
        h_TBD, last = recur(
            self.activation,
            reverse,
            steps,
            x_BTF,
            _filled(self.kernel[...].astype(self.dtype), more, 4),
            _filled(self.bias[...], more, 4),
            jnp.pad(_filled(recurrent_D4D, more, 4), ((0, more), (0, 0))),
            None if mask_BT is None else mask_BT.T[..., None],
            (_filled(h_BD, more), _filled(c_BD, more)),
        )
        h_BD, c_BD = (x[:, :dim] for x in last)
        return jnp.moveaxis(h_TBD, 0, 1)[..., :dim], (h_BD, c_BD)

    def advance(self, x_BF: jax.Array, carry: Carry) -> Carry:
        """One step; the new h is the first of the carry."""
        h_BD, c_BD = carry
        gates_B4D = _project(x_BF, self.kernel[...].astype(self.dtype)) + self.bias[...]
        gates_B4D = gates_B4D + _project(h_BD, self.recurrent[...].astype(self.dtype))
        return _cell(self.activation, _opened(self.activation, gates_B4D), c_BD)
