"""Runs that were never trained: what the commands open, in no time; and what a command did."""

import json
import pathlib
from typing import NamedTuple

import jax
import numpy as np

from aslx import config
from aslx.checkpoints import checkpoint
from aslx.runs import opening, partition


def untrained(cfg: config.Config, workdir: pathlib.Path) -> pathlib.Path:
    """A run directory with one checkpoint of random weights, those that start at zero too."""
    rng = np.random.default_rng(0)
    model = jax.tree.map(
        lambda x: x + 0.1 * rng.normal(size=x.shape).astype(x.dtype), opening.network(cfg)
    )
    part, frozen = partition.split_frozen(model)
    name = "ema" if cfg.ema_decay else "model"
    workdir.mkdir(parents=True, exist_ok=True)
    config.save(cfg, workdir / "config.json")
    with checkpoint.Checkpoints(workdir / "checkpoints") as saved:
        saved.save(1, {name: part, "frozen": frozen}, checkpoint.Progress())
        saved.wait()
    return workdir


class Done(NamedTuple):
    """What a command did."""

    status: int
    out: str
    err: str

    def lines(self) -> list[dict]:
        """The JSON of what went well."""
        assert self.status == 0, self.err
        return [json.loads(line) for line in self.out.splitlines()]

    def refusal(self) -> str:
        """What is said of bad input: one line, and exit status 2."""
        assert self.status == 2, self.err
        assert self.err.startswith("error: ") and self.err.count("\n") == 1
        return self.err
