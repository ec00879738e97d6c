"""The function that is exported: what the source of the features gives -> what the task answers.

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

# Of the longest clip: Kaggle's clips (a median of 148 frames, three quarters below 207) so cost
# little more than their own length, and a phone holds three encoders.
_SHARES = (5 / 12, 2 / 3, 1)


def lengths(cfg: config_lib.Config, model: Any, rows: int | None = None) -> list[int]:
    """Frames that the exported model may see of a clip, which has at most `rows`: the lengths that
    it chooses from, the shortest first; one alone where its answer would depend on it."""
    most = cfg.features.max_frames
    members = model.members if isinstance(model, ensemble.Ensemble) else (model,)
    # The published networks mask nothing.
    masks = all(isinstance(member, recogniser.Recogniser) for member in members)
    if not masks or not isinstance(cfg.features, phrase_features.Modern):
        return [most]
    each = [max(-(-int(most * share) // 8) * 8, cfg.features.min_frames) for share in _SHARES]
    found = sorted({min(n, most) for n in each})
    return [n for i, n in enumerate(found) if not i or rows is None or found[i - 1] < rows]


class Lengths:
    """A network that encodes a clip at the shortest of a few lengths that holds it.

    Padding would cost what frames cost, and XNNPACK takes no dynamic size. A branch is a loop of
    one turn at most: the converter mixes up what it passes into an `If`, and makes arguments of
    the weights, which then are not quantised. The branches' weights are stored once.
    """

    def __init__(self, model: Any, lengths: list[int]):
        self._model, self._lengths = model, lengths

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def encode(self, features_BSF: jax.Array, mask_BS: jax.Array) -> tuple[jax.Array, jax.Array]:
        """What the model's `encode` answers, with masked positions up to the longest's."""
        shapes = jax.eval_shape(self._model.encode, features_BSF, mask_BS)

        def turn(_, frames: int):
            found = self._model.encode(features_BSF[:, :frames], mask_BS[:, :frames])
            return jnp.array(False), jax.tree.map(_filled, found, shapes)

        found = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        kept, shorter = mask_BS.sum(), -1
        for frames in self._lengths:
            here = (kept > shorter) & (kept <= frames)
            body = functools.partial(turn, frames=frames)
            _, found = jax.lax.while_loop(lambda state: state[0], body, (here, found))
            shorter = frames
        return found


def _filled(x: jax.Array, like: jax.ShapeDtypeStruct) -> jax.Array:
    if x.dtype == bool:  # Kaggle's runtime has no PAD of these.
        return _filled(x.astype(jnp.float32), like) > 0
    return jnp.pad(x, [(0, n - m) for m, n in zip(x.shape, like.shape, strict=True)])


def exact(cfg: config_lib.Config, model: Any) -> tuple[config_lib.Config, Any]:
    """With arithmetic in float32: TFLite has no products in bfloat16."""
    if getattr(cfg.model, "dtype", "float32") == "float32":
        return cfg, model
    cfg = dataclasses.replace(cfg, model=dataclasses.replace(cfg.model, dtype="float32"))
    structure = jax.tree.structure(jax.eval_shape(functools.partial(opening.network, cfg)))
    return cfg, jax.tree.unflatten(structure, jax.tree.leaves(model))


def answer(cfg: config_lib.Config, model: Any, rows: int | None = None) -> Any:
    """The exported function of a clip, of at most `rows` frames, or an image.

    `frames` i32[1] counts the rows that are real, where not all are.
    """
    cfg, model = exact(cfg, model)
    model = layers.bound(model, modes.EXPORT)
    each = lengths(cfg, model, rows)
    reader = Lengths(model, each) if len(each) > 1 else model

    def fn(inputs: jax.Array, frames: jax.Array | None = None) -> jax.Array:
        batch = cfg.features.source.batch(inputs, frames)
        return cfg.task.outputs(reader, *model_inputs.of(batch, cfg.features, frames=each[-1]))

    return fn
