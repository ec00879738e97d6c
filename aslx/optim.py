"""Optimisers and schedules, from one dataclass."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib
from flax import nnx

_VECTORS = ("bias", "scale", "scales", "shifts")
_FLAT = 1e-12  # A gradient with a smaller norm moves nothing far.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    peak_lr: float = 1e-3
    warmup: float = 0.1
    """Share of all steps in which the rate rises from 0."""
    cosine: bool = True
    """Fall to 0 along half a cosine after the warm-up; else stay, or fall as `decay` says."""
    decay: float = 0.0
    """Without cosine: the rate is divided by 1 + this x the share of all steps that is done."""
    weight_decay: float = 0.01
    """Decoupled (AdamW), of matrices only: not of biases, scales and norms."""
    muon_lr: float = 0.0
    """Peak rate of Muon (Jordan et al. 2024) for kernels, on the same schedule: their steps are
    orthogonal matrices, so that a layer of thousands of inputs moves no farther than one of few.
    All else keeps AdamW; 0: everything does."""
    clip_norm: float = 1.0
    """Global norm that gradients are clipped to; 0: never."""
    b2: float = 0.999
    eps: float = 1e-8


@dataclasses.dataclass(frozen=True, kw_only=True)
class AWP:
    """Adversarial weight perturbation (Wu et al. 2020, one step of it): the gradient that is
    applied is that where the loss is worse, at w + radius |w| g / |g| for every matrix w and its
    gradient g. Blocks that are stacked count as one matrix. Such a step costs two."""

    radius: float = 0.0
    """How far, in |w|; 0: never."""
    start: float = 0.2
    """Share of all steps before the first that does so."""

    def perturbed(self, params: Any, grads: Any) -> Any:
        def moved(is_matrix: bool, w: jax.Array, g: jax.Array) -> jax.Array:
            if not is_matrix:
                return w
            far, steep = self.radius * optax.tree.norm(w), optax.tree.norm(g)
            return w + g * (far / jnp.maximum(steep, _FLAT))

        return jax.tree.map(moved, matrices(params), params, grads)


def schedule(cfg: Config, steps: int, peak: float) -> optax.Schedule:
    """Of a rate whose highest value is `peak`."""
    warmup = round(cfg.warmup * steps)
    if cfg.cosine:
        return optax.warmup_cosine_decay_schedule(0.0, peak, warmup, max(steps, warmup + 1))
    if cfg.decay:
        return lambda i: peak / (1 + cfg.decay * i / steps)
    rise = optax.linear_schedule(0.0, peak, max(1, warmup))
    return optax.join_schedules([rise, optax.constant_schedule(peak)], [warmup])


def build(cfg: Config, steps: int) -> optax.GradientTransformation:
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
    """Which optimiser moves how much of the trained parameters, in words."""
    moved = {"muon": 0, "adam": 0}
    for kind, part in zip(jax.tree.leaves(_kinds(params)), _variables(params), strict=True):
        moved[kind if cfg.muon_lr else "adam"] += sum(leaf.size for leaf in jax.tree.leaves(part))
    total = max(1, sum(moved.values()))
    muon, adam = (f"{n / total:.1%} of the parameters ({n:,})" for n in moved.values())
    return f"Muon moves {muon}, AdamW {adam}" if cfg.muon_lr else f"AdamW moves {adam}"


def _is_variable(x: Any) -> bool:
    return isinstance(x, nnx.Variable)


def _variables(params: Any) -> list:
    return jax.tree.leaves(params, is_leaf=_is_variable)


def _kinds(params: Any) -> Any:
    """Which optimiser moves a parameter."""

    def kind(path: Any, x: Any) -> str:
        return "adam" if _kernel(path, x) is None else "muon"

    return jax.tree.map_with_path(kind, params, is_leaf=_is_variable)


def _kernels(params: Any) -> Any:
    return jax.tree.map_with_path(_kernel, params, is_leaf=_is_variable)


def _kernel(path: Any, x: Any) -> optax.contrib.MuonDimensionNumbers | None:
    """The axes of the matrix that a parameter is to its layer: those of its inputs, those of its
    outputs; of stacked blocks each has one. None of what is no matrix.

    Biases and norms add and scale. Of an embedding a step sees few rows, and of a depthwise
    convolution no product mixes the channels: there is no matrix whose directions Muon could even
    out. `layers.kernel` notes which axes are the inputs'; elsewhere a kernel of two axes is a
    matrix, of its inputs and outputs, and of one with more nobody knows.
    """
    about = x.get_metadata() if _is_variable(x) else {}
    axes = tuple(range(about.get("stacked", 0), len(x.shape)))
    known = 1 if _name(path) == "kernel" and len(axes) == 2 else 0
    inputs = about.get("inputs", known)
    if not 0 < inputs < len(axes):
        return None
    return optax.contrib.MuonDimensionNumbers(axes[:inputs], axes[inputs:])


def _name(path: Any) -> str:
    """The last part of a parameter's path."""
    words = jax.tree_util.keystr(path, simple=True, separator="/").removesuffix("/value")
    return words.rpartition("/")[2]


def matrices(params: Any) -> Any:
    """Which leaves weigh a sum. A bias may have axes too: of heads, or of stacked blocks."""

    def weighs(path: Any, x: jax.Array) -> bool:
        return x.ndim > 1 and _name(path) not in _VECTORS

    return jax.tree.map_with_path(weighs, params)
