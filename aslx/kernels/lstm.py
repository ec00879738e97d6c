"""An LSTM over the steps of a sequence.

Shape suffixes: B batch, T steps, F features, D units, 4D gates in the order input, forget,
candidate, output.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aslx.kernels import storing

Carry = tuple[jax.Array, jax.Array]

_UNITS = 8  # Their gates are 32 columns, as many as XLA's CPU kernels compute at a time.


@dataclasses.dataclass(frozen=True)
class Activation:
    """A function, and its slope as a function of its value: the backward pass keeps the value."""

    value: Callable[[jax.Array], jax.Array]
    slope: Callable[[jax.Array], jax.Array]

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.value(x)


TANH = Activation(jnp.tanh, lambda y: 1 - y * y)
RELU = Activation(jax.nn.relu, lambda y: (y > 0).astype(y.dtype))


def project(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A product in the type of the kernel, added up in float32."""
    return jnp.dot(x.astype(kernel.dtype), kernel, preferred_element_type=jnp.float32)


def cell(activation: Activation, gates_B4D: jax.Array, c_BD: jax.Array) -> Carry:
    """One step: (h, c) from the gates' projections and the old cell."""
    i, f, g, o = jnp.split(gates_B4D, 4, axis=-1)
    c_BD = jax.nn.sigmoid(f) * c_BD + jax.nn.sigmoid(i) * activation(g)
    return jax.nn.sigmoid(o) * activation(c_BD), c_BD


def plain(
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
    """(h [T, B, D], the last carry). A masked step keeps the carry and repeats its h. With `steps`,
    one x [B, 1, F] is repeated so many times."""

    def step(carry: Carry, at: tuple) -> tuple[Carry, jax.Array]:
        (h_BD, c_BD), (input_B4D, mask_B1) = carry, at
        h_new, c_new = cell(activation, input_B4D + project(h_BD, recurrent_D4D), c_BD)
        h_BD, c_BD = _where_real(mask_B1, h_new, h_BD), _where_real(mask_B1, c_new, c_BD)
        return (h_BD, c_BD), h_BD

    inputs_TB4D = _inputs(x_BTF, kernel_F4D, steps) + bias_4D
    last, h_TBD = jax.lax.scan(step, first, (inputs_TB4D, mask_TB1), reverse=reverse)
    return h_TBD, last


def accelerator(activation, reverse, steps, *arrays) -> tuple[jax.Array, Carry]:
    """`plain` with its own gradient. Autodiff of a scan adds up the weights' gradients step by
    step. Here the backward scan computes the gates' gradients alone, and one product after it gives
    each kernel's."""
    return _recur(storing.plain, activation, reverse, steps, *arrays)


def cpu(activation, reverse, steps, x_BTF, kernel, bias, recurrent, mask_TB1, first):
    """`accelerator` with a number of units that eight divides: 80 units instead of 75 save a
    sixteenth of a step. The weights of added units are zero, and stay zero."""
    dim = len(recurrent)
    more = -dim % _UNITS

    def pad_units(x: jax.Array, gates: int = 1) -> jax.Array:
        parts = x.reshape(*x.shape[:-1], gates, dim)
        parts = jnp.pad(parts, [(0, 0)] * (parts.ndim - 1) + [(0, more)])
        return parts.reshape(*x.shape[:-1], -1)

    recurrent = jnp.pad(pad_units(recurrent, 4), ((0, more), (0, 0)))
    arrays = x_BTF, pad_units(kernel, 4), pad_units(bias, 4), recurrent, mask_TB1
    first = pad_units(first[0]), pad_units(first[1])
    h_TBD, (h_BD, c_BD) = _recur(storing.cpu, activation, reverse, steps, *arrays, first)
    return h_TBD[..., :dim], (h_BD[:, :dim], c_BD[:, :dim])


def _candidate(width: int) -> np.ndarray:
    """bool[4D]: True in the columns of the candidate."""
    return np.arange(width) * 4 // width == 2


def _activated(store: Callable, activation: Activation, gates_B4D: jax.Array) -> jax.Array:
    """The gates from their projections: sigmoids, and the activation of the candidate."""
    candidate_4D = _candidate(gates_B4D.shape[-1])
    # sigmoid(x) = tanh(x / 2) / 2 + 1 / 2. A CPU vectorises one function over whole rows; a sigmoid
    # of three quarters of a row and a tanh of the rest take three times as long.
    scale_4D = np.where(candidate_4D, 1.0, 0.5).astype(np.float32)
    shift_4D = np.where(candidate_4D, 0.0, 0.5).astype(np.float32)
    activated_B4D = jnp.tanh(gates_B4D * scale_4D) * scale_4D + shift_4D
    if activation is TANH:
        return activated_B4D
    # Stored, because a loop whose inputs several kernels read copies them before it writes one.
    return store(jnp.where(candidate_4D, activation(gates_B4D), activated_B4D))


def _where_real(mask_B1: jax.Array | None, new: jax.Array, old: jax.Array | float) -> jax.Array:
    return new if mask_B1 is None else jnp.where(mask_B1, new, old)


def _inputs(x_BTF: jax.Array, kernel_F4D: jax.Array, steps: int) -> jax.Array:
    """[T, B, 4D]: the input's part of every gate; with `steps`, the one input's for each step."""
    inputs_TB4D = project(x_BTF.swapaxes(0, 1), kernel_F4D)
    return jnp.broadcast_to(inputs_TB4D, (steps or len(inputs_TB4D), *inputs_TB4D.shape[1:]))


def _forward(store, activation, reverse, steps, x_BTF, kernel, bias, recurrent, mask_TB1, first):
    def step(carry, at):
        (h_BD, c_BD, gates_TB4D), (t, mask_B1) = carry, at
        input_B4D = jax.lax.dynamic_index_in_dim(gates_TB4D, t, 0, False)
        activated_B4D = _activated(store, activation, input_B4D + bias + project(h_BD, recurrent))
        i, f, g, o = jnp.split(activated_B4D, 4, axis=-1)
        c_new = f * c_BD + i * g
        h_new = o * activation(c_new)
        h_BD, c_BD = _where_real(mask_B1, h_new, h_BD), _where_real(mask_B1, c_new, c_BD)
        # Gates take the place of their inputs, so that no other array is filled with zeros.
        gates_TB4D = jax.lax.dynamic_update_index_in_dim(gates_TB4D, activated_B4D, t, 0)
        # One array of two, because XLA runs a loop's body of more than 8 kernels through its task
        # queue step by step, which costs more than the kernels.
        return (h_BD, c_BD, gates_TB4D), jnp.stack([h_BD, c_BD])

    inputs_TB4D = _inputs(x_BTF, kernel, steps)
    at = jnp.arange(len(inputs_TB4D)), mask_TB1
    (*last, activated_TB4D), carries_T2BD = jax.lax.scan(
        step, (*first, inputs_TB4D), at, reverse=reverse
    )
    residual = x_BTF, kernel, recurrent, mask_TB1, first, carries_T2BD, activated_TB4D
    return (carries_T2BD[:, 0], tuple(last)), residual


def _shifted(x_TBD: jax.Array, end_BD: jax.Array, later: bool) -> jax.Array:
    """The values of the step before, or if `later` of the next; `end_BD` where there is none."""
    if later:
        return jnp.concatenate([x_TBD[1:], end_BD[None]])
    return jnp.concatenate([end_BD[None], x_TBD[:-1]])


def _over_steps(x_TBF: jax.Array, y_TBE: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """[F, E]: the product summed over steps and rows, by a contraction over both: devices that
    share the batch would gather it for a reshape."""
    if x_TBF.shape[-1] > y_TBE.shape[-1]:  # XLA transposes a copy of the first, the narrower here.
        return _over_steps(y_TBE, x_TBF, dtype).T
    both = (((0, 1), (0, 1)), ((), ()))
    x_TBF, y_TBE = x_TBF.astype(dtype), y_TBE.astype(dtype)
    product = jax.lax.dot_general(x_TBF, y_TBE, both, preferred_element_type=jnp.float32)
    return product.astype(dtype)


def _backward(store, activation, reverse, steps, residual, gradient):
    del store
    x_BTF, kernel, recurrent, mask_TB1, first, carries_T2BD, activated_TB4D = residual
    dh_TBD, (dh_last, dc_last) = gradient
    c_TBD = carries_T2BD[:, 1]
    h_old, c_old = (
        _shifted(x, end, later=reverse)
        for x, end in zip((carries_T2BD[:, 0], c_TBD), first, strict=True)
    )
    transposed_4DD = recurrent.T
    candidate_4D = _candidate(activated_TB4D.shape[-1])
    f_TBD = _where_real(mask_TB1, jnp.split(activated_TB4D, 4, -1)[1], 1.0)
    f_next = _shifted(f_TBD, jnp.ones_like(dc_last), later=not reverse)

    def step(carry, at):
        # dc is carried before its multiplication by the next step's f, which saves a kernel.
        (dh_BD, dc_BD, gates_TB4D), (t, dout_BD, mask_B1, a_c, c_old, f_next) = carry, at
        activated_B4D = jax.lax.dynamic_index_in_dim(gates_TB4D, t, 0, False)
        dh_BD = dh_BD + dout_BD
        i, _, g, o = jnp.split(activated_B4D, 4, axis=-1)
        dc_BD = dc_BD * f_next + _where_real(mask_B1, dh_BD * o * activation.slope(a_c), 0.0)
        slopes_B4D = jnp.where(
            candidate_4D, activation.slope(activated_B4D), activated_B4D * (1 - activated_B4D)
        )
        # Concatenated and not stacked, because a fused stack has a branch for each element.
        by_gate = jnp.concatenate([dc_BD * g, dc_BD * c_old, dc_BD * i, dh_BD * a_c], axis=-1)
        dgates_B4D = _where_real(mask_B1, by_gate * slopes_B4D, 0.0)
        dh_old = project(dgates_B4D, transposed_4DD)
        if mask_B1 is not None:
            dh_old = dh_old + jnp.where(mask_B1, 0, dh_BD)
        # Gradients take the place of their gates, so that no other array is filled with zeros.
        gates_TB4D = jax.lax.dynamic_update_index_in_dim(gates_TB4D, dgates_B4D, t, 0)
        return (dh_old, dc_BD, gates_TB4D), None

    numbers_T = jnp.arange(len(activated_TB4D))
    steps_TBD = (numbers_T, dh_TBD, mask_TB1, activation(c_TBD), c_old, f_next)
    last = dh_last, dc_last, activated_TB4D
    (dh_first, dc_first, dgates_TB4D), _ = jax.lax.scan(step, last, steps_TBD, reverse=not reverse)
    dfirst = dh_first, dc_first * f_TBD[-1 if reverse else 0]
    drecurrent = _over_steps(h_old, dgates_TB4D, recurrent.dtype)
    if steps:
        dgates_TB4D = dgates_TB4D.sum(0, keepdims=True)
    dx_BTF = project(dgates_TB4D, kernel.T).swapaxes(0, 1).astype(x_BTF.dtype)
    dkernel = _over_steps(x_BTF.swapaxes(0, 1), dgates_TB4D, kernel.dtype)
    return dx_BTF, dkernel, dgates_TB4D.sum((0, 1)), drecurrent, None, dfirst


def _primal(store: Callable, *arguments: Any) -> tuple[jax.Array, Carry]:
    del store
    return plain(*arguments)


_recur: Any = jax.custom_vjp(_primal, nondiff_argnums=(0, 1, 2, 3))
_recur.defvjp(_forward, _backward)
