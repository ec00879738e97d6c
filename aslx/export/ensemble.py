"""Ensembles: several networks answer with the mean of their probabilities.

An `Ensemble` has the functions of a network, so it can take a network's place, also in an export.
Shape suffixes: B batch, S frames, F features, M memory, D width, T characters, V classes.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aslx import config, errors
from aslx.kernels import mode as modes
from aslx.runs import trained_run
from aslx.storage import config_json


def _mean(logits: list[jax.Array]) -> jax.Array:
    """f32[..., V]: logits of the mean of the probabilities."""
    logp = jnp.stack([jax.nn.log_softmax(x.astype(jnp.float32)) for x in logits])
    return jax.nn.logsumexp(logp, 0) - np.log(len(logits))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Ensemble:
    """Several networks as one. Its memory concatenates those of the members, f[B, M, D1 + D2 ...];
    its cache is the list of their caches."""

    members: tuple[Any, ...]
    widths: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    """Widths of the members' memories; () for networks that encode nothing."""

    @property
    def mode(self) -> modes.Mode:
        """The kernels' forms, which are those of its members."""
        return self.members[0].mode

    def encode(
        self, features_BSF: jax.Array, mask_BS: jax.Array, key: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        found = [member.encode(features_BSF, mask_BS, key) for member in self.members]
        return jnp.concatenate([memory for memory, _ in found], -1), found[0][1]

    def ctc(self, memory_BMD: jax.Array) -> jax.Array:
        return _mean([m.ctc(x) for m, x in self._parts(memory_BMD)])

    def decode(self, tokens_BT, memory_BMD, mask_BM, key=None) -> jax.Array:
        return _mean([m.decode(tokens_BT, x, mask_BM, key) for m, x in self._parts(memory_BMD)])

    def start(self, memory_BMD: jax.Array, mask_BM: jax.Array, max_tokens: int) -> list[Any]:
        return [m.start(x, mask_BM, max_tokens) for m, x in self._parts(memory_BMD)]

    def advance(self, tokens_B: jax.Array, cache: list[Any]) -> tuple[jax.Array, list[Any]]:
        each = zip(self.members, cache, strict=True)
        logits, caches = zip(*(m.advance(tokens_B, c) for m, c in each), strict=True)
        return _mean(list(logits)), list(caches)

    def positions(self, features_BSF: jax.Array, mask_BS: jax.Array) -> jax.Array:
        return _mean([m.positions(features_BSF, mask_BS) for m in self.members])

    def classify(self, features: jax.Array, mask: jax.Array) -> jax.Array:
        return _mean([m.classify(features, mask) for m in self.members])

    def _parts(self, memory_BMD: jax.Array) -> list[tuple[Any, jax.Array]]:
        parts = jnp.split(memory_BMD, np.cumsum(self.widths)[:-1].tolist(), -1)
        return list(zip(self.members, parts, strict=True))


def together(runs: list[trained_run.Run]) -> trained_run.Run:
    """The first run with the networks of all runs; BadInput names what the runs do not share."""
    first, *others = runs
    for run in others:
        if different := config.differences(_shared(first), _shared(run)):
            raise errors.BadInput(
                f"{first.workdir} and {run.workdir} do not answer together: {different[0]}"
            )
    widths = tuple(width for run in runs for width in _memory(run)[2:])
    return dataclasses.replace(first, model=Ensemble(tuple(run.model for run in runs), widths))


def _shared(run: trained_run.Run) -> dict[str, Any]:
    """What the runs of an ensemble must have in common."""
    # Each run's own data give its prior; the ensemble uses the first run's.
    task = config_json.to_json(run.cfg.task) | {"prior": None}
    features = config_json.to_json(run.cfg.features)
    positions = list(_memory(run)[1:2])
    return {"features": features, "task": task, "positions of 64 frames": positions}


def _memory(run: trained_run.Run) -> tuple[int, ...]:
    """The shape of the memory of a clip of 64 frames; () for a network that encodes nothing."""
    if not hasattr(run.model, "encode"):
        return ()
    features = jnp.zeros((1, 64, run.cfg.features.num_features))
    mask = jnp.ones((1, 64), bool)
    return jax.eval_shape(lambda model: model.encode(features, mask)[0], run.model).shape
