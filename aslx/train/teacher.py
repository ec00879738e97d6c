"""A trained run that teaches the network that is trained: `tasks.distillation`."""

import dataclasses
from typing import cast

import jax
import numpy as np
from flax import nnx

from aslx import config as config_lib
from aslx import errors, sharding
from aslx.inputs import model_inputs
from aslx.kernels import mode as modes
from aslx.models import layers
from aslx.runs import trained_run
from aslx.tasks import distillation


@dataclasses.dataclass(frozen=True)
class Teacher:
    """All of a teacher but its parameters."""

    said: distillation.Config
    task: config_lib.Task
    features: model_inputs.TimedFeatures
    learners: model_inputs.TimedFeatures

    def __call__(self, network: nnx.Module, mode: modes.Mode, rows: dict) -> dict:
        """A batch, and what the teacher says of it."""
        inputs = model_inputs.of(rows, self.features)
        found = self.task.said(layers.bound(network, mode), *inputs, rows)
        times = (
            distillation.Times(*model_inputs.shown_frames(rows, each))
            for each in (self.features, self.learners)
        )
        return rows | {"taught": distillation.Taught(self.said, found, *times)}


@dataclasses.dataclass(frozen=True)
class Opened:
    """A teacher, its parameters on every device, and the step from which they are."""

    teacher: Teacher
    network: nnx.Module
    step: int


def opened(cfg: config_lib.Config, mesh: jax.sharding.Mesh) -> Opened | None:
    """The teacher of a run, or None; BadInput where it cannot teach this config's network."""
    if not cfg.distill.teacher:
        return None
    run = trained_run.open_run(cfg.distill.teacher)
    where = f"distill.teacher {cfg.distill.teacher}"
    if not set(run.cfg.task.teaches) & set(cfg.task.teaches):
        raise errors.BadInput(
            f"{where}: no head of that run, and of this, is of the same kind, CTC or a decoder"
        )
    if run.cfg.task.kept != cfg.task.kept:
        raise errors.BadInput(f"{where}: its alphabet is another than that of {cfg.data.path}")
    if run.cfg.features.source != cfg.features.source:
        raise errors.BadInput(f"{where}: its features read other points than this config's")
    # Each host has read all of it: the teacher of several is whole on each device.
    place = sharding.replicated(mesh)
    whole = jax.tree.map(lambda x: _placed(np.asarray(x), place), run.model)
    # Heads that teach are those of clips, whose features tell what they show.
    features = (cast(model_inputs.TimedFeatures, each.features) for each in (run.cfg, cfg))
    teacher = Teacher(cfg.distill, run.cfg.task, *features)
    return Opened(teacher, whole, run.step)


def _placed(array: np.ndarray, place: jax.sharding.Sharding) -> jax.Array:
    return jax.make_array_from_callback(array.shape, place, lambda at: array[at])
