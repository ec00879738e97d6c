"""The FLOPs that a network needs for a training step, whatever its programs do beside them."""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from aslx import config as config_lib
from aslx.inputs import model_inputs
from aslx.runs import opening, partition


def of(cfg: config_lib.Config, batch: Mapping[str, Any]) -> float:
    """FLOPs of the products and convolutions of a network's loss and of its gradient, for a batch
    of arrays, or of their shapes and dtypes: each once. Features, augmentation, what is computed
    again to save memory and what a precision adds are left out."""
    model, features = cfg.model, cfg.features
    if hasattr(model, "remat"):
        cfg = dataclasses.replace(cfg, model=dataclasses.replace(model, remat=False))
    network = jax.eval_shape(functools.partial(opening.network, cfg))
    trained, frozen = partition.split_frozen(network)
    shapes = {k: jax.ShapeDtypeStruct(x.shape, x.dtype) for k, x in batch.items()}
    shapes["progress"] = jax.ShapeDtypeStruct(batch["weight"].shape, jnp.float32)
    x, mask = jax.eval_shape(lambda batch: model_inputs.of(batch, features), shapes)

    def loss(trained: Any, frozen: Any, x: jax.Array, mask: jax.Array, batch: dict) -> jax.Array:
        whole = partition.merge_frozen(trained, frozen)
        return cfg.task.loss(whole, x, mask, batch, jax.random.key(0))[0]

    return counted(jax.make_jaxpr(jax.grad(loss))(trained, frozen, x, mask, shapes).jaxpr)


def kind(cfg: config_lib.Config) -> str:
    """The kind of product that the network computes, as `peaks.Chip.flops` names it."""
    return "bf16" if opening.dtype(cfg) == "bfloat16" else "f32"


def counted(jaxpr: Any) -> float:
    """FLOPs of the products and convolutions of a jaxpr: two for each multiplication and
    addition. The body of a loop counts as often as it runs, where that is known, or else once."""
    total = 0.0
    for equation in jaxpr.eqns:
        name, given = equation.primitive.name, equation.params
        if name == "dot_general":
            ((over, _), _), left = given["dimension_numbers"], equation.invars[0].aval
            summed = math.prod(left.shape[d] for d in over)
            total += 2.0 * math.prod(equation.outvars[0].aval.shape) * summed
        elif name == "conv_general_dilated":
            taps, out = equation.invars[1].aval.shape, equation.outvars[0].aval.shape
            numbers = given["dimension_numbers"]
            each = math.prod(taps) / taps[numbers.rhs_spec[0]]  # Multiplications for an output.
            spread = math.prod(given["lhs_dilation"])  # Of a gradient: most meet zeros.
            total += 2.0 * math.prod(out) * each / spread / given["batch_group_count"]
        times = given.get("length", 1) if name == "scan" else 1
        inner = [counted(part) for value in given.values() for part in _inner(value)]
        total += times * (max(inner, default=0.0) if name == "cond" else sum(inner))
    return total


def _inner(value: Any) -> list:
    """The jaxprs in a parameter of an equation."""
    values = value if isinstance(value, (tuple, list)) else [value]
    found = [getattr(v, "jaxpr", v) for v in values]
    return [v for v in found if hasattr(v, "eqns")]
