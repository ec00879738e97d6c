"""Optimisers and schedules, from one dataclass."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from aslx.kernels import blocks

_VECTORS = ("bias", "scale", "scales", "shifts")
_LEAST_NORM = 1e-12  # Of a gradient that weights are divided by.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """AdamW, or Muon beside it, and the schedule of their rates."""

    peak_lr: float = 1e-3
    """Highest rate of AdamW."""
    warmup: float = 0.1
    """Share of all steps in which the rate rises from 0."""
    cosine: bool = True
    """After the warm-up the rate falls to 0 along half a cosine; else it stays, or falls by
    `decay`."""
    decay: float = 0.0
    """Without cosine: the rate is divided by 1 + this x the share of all steps that is done."""
    weight_decay: float = 0.01
    """Decoupled weight decay (AdamW) of matrices, and not of biases, scales and norms."""
    muon_lr: float = 0.0
    """Highest rate of Muon (Jordan et al. 2024) for kernels, on the same schedule; 0: AdamW moves
    everything. Muon's steps are orthogonal matrices, so that a layer of thousands of inputs moves
    no farther than one of few. AdamW moves all other parameters."""
    clip_norm: float = 1.0
    """Global norm that gradients are clipped to; 0: never."""
    b2: float = 0.999
    """Decay of Adam's mean of squared gradients."""
    eps: float = 1e-8
    """Adam's epsilon."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AWP:
    """Adversarial weight perturbation (Wu et al. 2020) in one step.

    The gradient that is applied is taken where the loss is worse: at w + radius |w| g / |g| for
    every matrix w and its gradient g. Stacked blocks count as one matrix. Such a step costs two.
    """

    radius: float = 0.0
    """Distance of the perturbation, in |w|; 0: no perturbation."""
    start: float = 0.2
    """Share of all steps before the first perturbed one."""

    def perturbed(self, params: Any, grads: Any) -> Any:
        """The weights at which the gradient is taken, from their gradient."""

        def moved(is_matrix: bool, w: jax.Array, g: jax.Array) -> jax.Array:
            if not is_matrix:
                return w
            distance = self.radius * optax.tree.norm(w)
            return w + g * (distance / jnp.maximum(optax.tree.norm(g), _LEAST_NORM))

        return jax.tree.map(moved, matrices(params), params, grads)


def schedule(cfg: Config, steps: int, peak: float) -> optax.Schedule:
    """The schedule of a rate whose highest value is `peak`."""
    warmup = round(cfg.warmup * steps)
    if cfg.cosine:
        return optax.warmup_cosine_decay_schedule(0.0, peak, warmup, max(steps, warmup + 1))
    if cfg.decay:
        return lambda i: peak / (1 + cfg.decay * i / steps)
    rise = optax.linear_schedule(0.0, peak, max(1, warmup))
    return optax.join_schedules([rise, optax.constant_schedule(peak)], [warmup])


def build(cfg: Config, steps: int) -> optax.GradientTransformation:
    """The optimiser of a training of so many steps."""
    parts = [optax.clip_by_global_norm(cfg.clip_norm)] if cfg.clip_norm else []
    adam = optax.adamw(
        schedule(cfg, steps, cfg.peak_lr),
        b2=cfg.b2,
        eps=cfg.eps,
        weight_decay=cfg.weight_decay,
        mask=matrices,
    )
    if not cfg.muon_lr:
        return optax.chain(*parts, adam)
    muon = optax.contrib.muon(
        schedule(cfg, steps, cfg.muon_lr),
        weight_decay=cfg.weight_decay,
        muon_weight_dimension_numbers=_kernels,
    )
    return optax.chain(*parts, optax.partition({"adam": adam, "muon": muon}, _kinds))


def shares(cfg: Config, params: Any) -> str:
    """A line for the log: how many of the trained parameters each optimiser moves."""
    moved = {"muon": 0, "adam": 0}
    variables = jax.tree.leaves(params, is_leaf=blocks.is_variable)
    for kind, variable in zip(jax.tree.leaves(_kinds(params)), variables, strict=True):
        moved[kind if cfg.muon_lr else "adam"] += math.prod(variable.shape)
    total = max(1, sum(moved.values()))
    muon, adam = (f"{n / total:.1%} of the parameters ({n:,})" for n in moved.values())
    return f"Muon moves {muon}, AdamW {adam}" if cfg.muon_lr else f"AdamW moves {adam}"


def _kinds(params: Any) -> Any:
    """The optimiser that moves each parameter, "adam" or "muon"."""

    def kind(path: Any, x: Any) -> str:
        return "adam" if _matrix_axes(path, x) is None else "muon"

    return jax.tree.map_with_path(kind, params, is_leaf=blocks.is_variable)


def _kernels(params: Any) -> Any:
    return jax.tree.map_with_path(_matrix_axes, params, is_leaf=blocks.is_variable)


def _matrix_axes(path: Any, x: Any) -> optax.contrib.MuonDimensionNumbers | None:
    """A parameter's axes of inputs and of outputs, or None where it is no matrix to its layer. Each
    of stacked blocks has a matrix.

    Biases and norms add and scale. A step sees few rows of an embedding, and no product mixes the
    channels of a depthwise convolution: Muon has no directions to even out there. `layers.kernel`
    notes which axes are the inputs'. Without that note a kernel of two axes is a matrix of inputs
    and outputs, and one of more axes is left to Adam.
    """
    about = x.get_metadata() if blocks.is_variable(x) else {}
    axes = tuple(range(about.get("stacked", 0), len(x.shape)))
    is_kernel = _name(path) == "kernel" and len(axes) == 2
    inputs = about.get("inputs", int(is_kernel))
    if not 0 < inputs < len(axes):
        return None
    return optax.contrib.MuonDimensionNumbers(axes[:inputs], axes[inputs:])


def _name(path: Any) -> str:
    """The last part of a parameter's path."""
    words = jax.tree_util.keystr(path, simple=True, separator="/").removesuffix("/value")
    return words.rpartition("/")[2]


def matrices(params: Any) -> Any:
    """Whether each leaf holds the weights of a sum. A bias may have several axes too: of heads, or
    of stacked blocks."""

    def weighs(path: Any, x: jax.Array) -> bool:
        return x.ndim > 1 and _name(path) not in _VECTORS

    return jax.tree.map_with_path(weighs, params)
