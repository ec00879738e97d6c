"""Optimisers and schedules, from one dataclass."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

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


def schedule(cfg: Config, steps: int) -> optax.Schedule:
    warmup = round(cfg.warmup * steps)
    if cfg.cosine:
        return optax.warmup_cosine_decay_schedule(0.0, cfg.peak_lr, warmup, max(steps, warmup + 1))
    if cfg.decay:
        return lambda i: cfg.peak_lr / (1 + cfg.decay * i / steps)
    rise = optax.linear_schedule(0.0, cfg.peak_lr, max(1, warmup))
    return optax.join_schedules([rise, optax.constant_schedule(cfg.peak_lr)], [warmup])


def build(cfg: Config, steps: int) -> optax.GradientTransformation:
    parts = [optax.clip_by_global_norm(cfg.clip_norm)] if cfg.clip_norm else []
    adam = optax.adamw(
        schedule(cfg, steps),
        b2=cfg.b2,
        eps=cfg.eps,
        weight_decay=cfg.weight_decay,
        mask=matrices,
    )
    return optax.chain(*parts, adam)


def matrices(params: Any) -> Any:
    """Which leaves weigh a sum. A bias may have axes too: of heads, or of stacked blocks."""

    def weighs(path: Any, x: jax.Array) -> bool:
        name = jax.tree_util.keystr(path, simple=True, separator="/").removesuffix("/value")
        return x.ndim > 1 and name.rpartition("/")[2] not in _VECTORS

    return jax.tree.map_with_path(weighs, params)
