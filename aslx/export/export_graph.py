"""The function that is exported: raw inputs -> the task's outputs.

Shape suffixes: B batch (of one), S frames, F features, M memory.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from aslx import config as config_lib
from aslx.export import ensemble
from aslx.inputs import model_inputs, phrase_features
from aslx.kernels import mode as modes
from aslx.models import layers, recogniser
from aslx.runs import opening

# Lengths of the encoders, as shares of the longest clip. With these a clip of Kaggle's (median 148
# frames, three quarters below 207) costs little more than its own length, and three encoders fit
# on a phone.
_SHARES = (5 / 12, 2 / 3, 1)
_WORTH = 1.25  # A middle length that is not longer than the shortest by this factor saves little.


def lengths(cfg: config_lib.Config, model: Any, rows: int | None = None) -> list[int]:
    """The lengths, shortest first, that the exported model chooses from for a clip of at most
    `rows` frames. A single length if the answer would depend on the choice."""
    most = cfg.features.max_frames
    members = model.members if isinstance(model, ensemble.Ensemble) else (model,)
    # The networks of the published baselines ignore the mask.
    masks = all(isinstance(member, recogniser.Recogniser) for member in members)
    if not masks or not isinstance(cfg.features, phrase_features.Modern):
        return [most]
    each = [max(-(-int(most * share) // 8) * 8, cfg.features.min_frames) for share in _SHARES]
    found = sorted({min(n, most) for n in each})
    found = [n for n in found if n in (found[0], most) or n >= _WORTH * found[0]]
    return [n for i, n in enumerate(found) if not i or rows is None or found[i - 1] < rows]


class Lengths:
    """A network that encodes a clip at the shortest of a few lengths into which the clip fits.

    Padding costs as much as frames, and XNNPACK takes no dynamic size. A branch is a loop of at
    most one iteration: the converter mixes up the arguments of an `If`, and turns weights into
    arguments, which are then not quantised. The weights are stored once for all branches.
    """

    def __init__(self, model: Any, lengths: list[int]):
        self._model, self._lengths = model, lengths

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def encode(self, features_BSF: jax.Array, mask_BS: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The model's `encode`, padded with masked positions to the longest length."""
        shapes = jax.eval_shape(self._model.encode, features_BSF, mask_BS)

        def turn(_, frames: int):
            found = self._model.encode(features_BSF[:, :frames], mask_BS[:, :frames])
            return jnp.array(False), jax.tree.map(_padded, found, shapes)

        found = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        kept, shorter = mask_BS.sum(), -1
        for frames in self._lengths:
            here = (kept > shorter) & (kept <= frames)
            body = functools.partial(turn, frames=frames)
            _, found = jax.lax.while_loop(lambda state: state[0], body, (here, found))
            shorter = frames
        return found


def _padded(x: jax.Array, like: jax.ShapeDtypeStruct) -> jax.Array:
    if x.dtype == bool:  # Kaggle's runtime cannot pad booleans.
        return _padded(x.astype(jnp.float32), like) > 0
    return jnp.pad(x, [(0, n - m) for m, n in zip(x.shape, like.shape, strict=True)])


def exact(cfg: config_lib.Config, model: Any) -> tuple[config_lib.Config, Any]:
    """The config and the model with arithmetic in float32: TFLite multiplies no bfloat16."""
    if getattr(cfg.model, "dtype", "float32") == "float32":
        return cfg, model
    cfg = dataclasses.replace(cfg, model=dataclasses.replace(cfg.model, dtype="float32"))
    structure = jax.tree.structure(jax.eval_shape(functools.partial(opening.network, cfg)))
    return cfg, jax.tree.unflatten(structure, jax.tree.leaves(model))


def answer(cfg: config_lib.Config, model: Any, rows: int | None = None) -> Any:
    """The exported function of an image or of a clip of at most `rows` frames.

    Its argument `frames` i32[1] is the number of real rows, if not all are real.
    """
    cfg, model = exact(cfg, model)
    model = layers.bound(model, modes.EXPORT)
    each = lengths(cfg, model, rows)
    reader = Lengths(model, each) if len(each) > 1 else model

    def fn(inputs: jax.Array, frames: jax.Array | None = None) -> jax.Array:
        batch = cfg.features.source.batch(inputs, frames)
        return cfg.task.outputs(reader, *model_inputs.of(batch, cfg.features, frames=each[-1]))

    return fn
