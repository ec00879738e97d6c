"""The programs of a config, to be compiled without a data set: shapes are enough."""

import types
from typing import Any

import jax
import numpy as np

from aslx import config as config_lib
from aslx import optim, sharding
from aslx.data import loader, plan
from aslx.runs import evaluator, flat
from aslx.schema import landmarks
from aslx.train import setup

_STEPS = 1000  # Any number gives the same program.


def of(
    cfg: config_lib.Config, mesh: jax.sharding.Mesh, rows: int, frames: int
) -> dict[str, tuple[Any, tuple]]:
    """The jitted step of each program and its abstract arguments, with batches of `rows` clips."""
    sharding.check_rows(mesh, rows, cfg.rows_at_once(sharding.platform(mesh)))
    tx = optim.build(cfg.optim, _STEPS)
    state, _ = setup.state(cfg, mesh, tx)
    examples, key = batch(cfg, mesh, rows, frames), jax.eval_shape(lambda: jax.random.key(0))
    key = jax.ShapeDtypeStruct(key.shape, key.dtype, sharding=sharding.replicated(mesh))
    held, model = flat.Flat(state), flat.Flat(state.best_model)
    return {
        "train": (setup.train_step(cfg, mesh, tx, state, _STEPS), (held, examples, key)),
        "evaluate": (evaluator.evaluate_step(cfg, mesh), (model, examples)),
        "predict": (jax.jit(evaluator.predict_step(cfg, mesh)), (model, examples)),
    }


def batch(
    cfg: config_lib.Config, mesh: jax.sharding.Mesh, rows: int, frames: int
) -> dict[str, jax.ShapeDtypeStruct]:
    """A batch of `rows` clips, as abstract arrays."""
    place = sharding.batch(mesh)
    return {
        name: jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype, sharding=place)
        for name, x in fillers(cfg, 1, frames).items()
    }


def fillers(cfg: Any, rows: int, frames: int) -> dict[str, np.ndarray]:
    """`rows` empty rows as the loader gives them, padded to `frames`."""
    stored = {"selection": landmarks.HOLISTIC130.name, "values": 1662, "cutouts": True}
    stored["size"] = cfg.features.source.shape
    fields = cfg.task.fields(stored, cfg.features)
    one = plan.Batch(plan.Shape(frames, 1), np.array([plan.NOTHING]))
    records: Any = types.SimpleNamespace(number=np.zeros(0, int))  # Empty rows read no record.
    row = loader.Batches(records, [one], 1, fields)[0]
    return {name: np.repeat(x, rows, axis=0) for name, x in row.items()}


def rows_per_chip(cfg: config_lib.Config, frames: int) -> int:
    """Rows of the config's own batch of clips of that length."""
    return cfg.data.batching.shapes(np.array([frames]))[-1].rows
