"""Batches like those of the loader, without a data set."""

from typing import Any

import numpy as np

import benchmarks
from aslx.describe import programs


def noise(
    cfg: Any, lengths: np.ndarray, *, frames: int = 0, characters: int = 18, seed: int = 0
) -> dict[str, np.ndarray]:
    """One row of random values for each length, padded to `frames` or to the longest length."""
    rng, rows = np.random.default_rng(seed), len(lengths)
    batch = programs.fillers(cfg, rows, frames or int(max(lengths)))
    for name in cfg.features.source.reads:
        x = batch[name]
        if name == "length":
            x[:] = lengths
        elif x.dtype == np.uint8:
            x[:] = rng.integers(0, 256, x.shape)
        else:
            x[:] = rng.random(x.shape, np.float32)
    if "tokens" in batch:
        batch["tokens"][:, :characters] = rng.integers(0, 59, (rows, characters))
    if "label" in batch:
        batch["label"][:] = rng.integers(0, cfg.task.classes, rows)
    batch["weight"][:] = 1
    batch["id"][:] = np.arange(rows)
    return batch


if __name__ == "__main__":
    benchmarks.no_command("train_step")
