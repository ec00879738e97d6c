"""Optimisers and schedules, from one dataclass."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib

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
    """Peak rate of Muon (Jordan et al. 2024) for kernels of two axes, on the same schedule: their
    steps are orthogonal matrices, so that a layer of thousands of inputs moves no farther than one
    of few. All else keeps AdamW; 0: everything does."""
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
    muon = optax.contrib.muon(schedule(cfg, steps, cfg.muon_lr), weight_decay=cfg.weight_decay)
    return optax.chain(*parts, optax.partition({"adam": adam, "muon": muon}, _kinds))


def _kinds(params: Any) -> Any:
    """Which optimiser moves a leaf."""

    def kind(path: Any, x: jax.Array) -> str:
        return "muon" if x.ndim == 2 and _name(path) == "kernel" else "adam"

    return jax.tree.map_with_path(kind, params)


def _name(path: Any) -> str:
    """The last part of a parameter's path."""
    words = jax.tree_util.keystr(path, simple=True, separator="/").removesuffix("/value")
    return words.rpartition("/")[2]


def matrices(params: Any) -> Any:
    """Which leaves weigh a sum. A bias may have axes too: of heads, or of stacked blocks."""

    def weighs(path: Any, x: jax.Array) -> bool:
        return x.ndim > 1 and _name(path) not in _VECTORS

    return jax.tree.map_with_path(weighs, params)
