"""Helpers for tests of training runs: logged lines, the newest state, and losses that are NaN."""

import dataclasses
import pathlib

import jax.numpy as jnp
import numpy as np

from aslx import config
from aslx.checkpoints import checkpoint, stored
from aslx.tasks import transcription
from aslx.train import logs, setup

MEASURED = {"seq_per_s", "frames_per_s", "padding", "input_wait", "mfu", "device_bytes"}


def lines(workdir: pathlib.Path) -> list[dict]:
    """metrics.jsonl without what is measured since the line before."""
    found = logs.read(workdir / "metrics.jsonl")
    return [{k: v for k, v in line.items() if k not in MEASURED} for line in found]


def state_of(cfg: config.Config, workdir: pathlib.Path) -> dict[str, np.ndarray]:
    """Every leaf of the newest checkpoint."""
    s = setup.of(cfg)
    with checkpoint.Checkpoints(workdir / "checkpoints") as saved:
        found = saved.restore_latest(s.abstract)
    assert found is not None
    return {k: np.asarray(v) for k, v in stored.flatten(found[0]).items()}


def first_batch(s: setup.Setup) -> dict:
    with s.batches(0, 0) as batches:
        return next(batches)


def assert_identical(cfg: config.Config, one: pathlib.Path, other: pathlib.Path) -> None:
    """Asserts that two runs of a config have the same lines and the same state, bit for bit."""
    assert lines(one) == lines(other)
    assert_equal(state_of(cfg, one), state_of(cfg, other))


def assert_equal(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Poisoned(transcription.Task):
    """A task whose training loss is NaN for a batch that holds one of `records` or is one of
    `batches`, each given as its records in order."""

    records: tuple[int, ...] = ()
    batches: tuple[tuple[int, ...], ...] = ()

    def loss(self, model, inputs, mask, batch, key):
        total, count, sums = super().loss(model, inputs, mask, batch, key)
        bad = jnp.isin(batch["id"], jnp.array(self.records, int)).any()
        for records in self.batches:
            if len(records) == len(batch["id"]):
                bad |= (batch["id"] == jnp.array(records)).all()
        return jnp.where(bad & (key is not None), jnp.nan, total), count, sums


def poisoned(cfg: config.Config, *records: int, batches=()) -> config.Config:
    """A config whose task is `Poisoned`."""
    assert isinstance(cfg.task, transcription.Task)
    known = {"head": cfg.task.head, "max_tokens": cfg.task.max_tokens}
    task = Poisoned(**known, records=records, batches=batches)
    return dataclasses.replace(cfg, task=task)
