"""Runs that were never trained: what the commands open, in no time."""

import pathlib

import jax
import numpy as np

from aslx import checkpoint, config, inference
from aslx.models import layers


def untrained(cfg: config.Config, workdir: pathlib.Path) -> pathlib.Path:
    """A run directory with one checkpoint of random weights, those that start at zero too."""
    rng = np.random.default_rng(0)
    model = jax.tree.map(
        lambda x: x + 0.1 * rng.normal(size=x.shape).astype(x.dtype), inference.build(cfg)
    )
    part, frozen = layers.parted(model)
    name = "ema" if cfg.ema_decay else "model"
    workdir.mkdir(parents=True, exist_ok=True)
    config.save(cfg, workdir / "config.json")
    with checkpoint.Checkpoints(workdir / "checkpoints") as saved:
        saved.save(1, {name: part, "frozen": frozen}, checkpoint.Progress())
        saved.wait()
    return workdir
