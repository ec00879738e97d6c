"""Frozen layers, run once: a run that augments nothing trains the others on what they answered.

The network has a method `frozen`, from inputs to an array of more than three channels, which its
other methods take in the inputs' place.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from aslx import config as config_lib
from aslx import errors, sharding
from aslx.augment import image_augment
from aslx.inputs import model_inputs
from aslx.kernels import mode as modes
from aslx.models import layers
from aslx.runs import evaluator, flat
from aslx.schema import features as features_lib
from aslx.train import step


@dataclasses.dataclass(frozen=True)
class Cached:
    """In the features' place: a batch holds what frozen layers answered instead of its images."""

    source: features_lib.Source

    def __call__(self, outputs_BHWC: jax.Array, frames: int = 0) -> tuple[jax.Array, jax.Array]:
        del frames
        return outputs_BHWC, jnp.ones((len(outputs_BHWC), 1), bool)


def config(cfg: config_lib.Config) -> config_lib.Config:
    """Of the step that trains on what is cached; BadInput where nothing can be."""
    if cfg.features.source.reads != ("image",) or cfg.data.also:
        raise errors.BadInput("cache_frozen is for images of one data set: leave it out")
    if cfg.augmentation not in (None, image_augment.Images()):
        raise errors.BadInput(
            "cache_frozen, and augmentation shows every image anew: make its rates 0, "
            "its flips --augmentation.no-flip-horizontal and --augmentation.no-flip-vertical"
        )
    return dataclasses.replace(cfg, features=Cached(cfg.features.source), augmentation=None)


def outputs(cfg: config_lib.Config, model: nnx.Module, batch: step.Batch) -> jax.Array:
    """f32[B, ...] of the frozen layers."""
    frozen = getattr(model, "frozen", None)
    if frozen is None:
        raise errors.BadInput("cache_frozen, and no layer of this network is frozen: leave it out")
    return frozen(model_inputs.of(batch, cfg.features)[0])


def table(cfg: config_lib.Config, mesh: jax.sharding.Mesh, state: step.State) -> np.ndarray:
    """f32[n, ...]: the frozen layers' outputs for every record of the training split; zeros for
    those that are corrupt, whose rows weigh nothing either."""

    def run(held: flat.Flat[nnx.Module], batch: step.Batch) -> jax.Array:
        return outputs(cfg, layers.bound(held.tree, mode), batch)

    mode = modes.of(sharding.platform(mesh))
    options = sharding.options(mesh, cfg.mesh.deterministic)
    function = jax.jit(run, out_shardings=sharding.replicated(mesh), compiler_options=options)
    split = evaluator.Evaluation(cfg, mesh, cfg.data.train_split)
    found: np.ndarray | None = None
    held = flat.Flat(state.best_model)
    for records, rows, answer in split.each(lambda batch: function(held, batch)):
        if found is None:
            found = np.zeros((len(split.data), *answer.shape[1:]), answer.dtype)
        found[records] = answer[rows]
    if found is None:  # A split that is empty was refused.
        raise errors.BadInput(f"every record of {split.data} is corrupt: prepare the data again")
    return found
