"""A batch -> what the model sees."""

import jax

from aslx.schema import features as features_lib

Batch = dict[str, jax.Array]


def of(
    batch: Batch, features: features_lib.Features, frames: int = 0
) -> tuple[jax.Array, jax.Array]:
    """What the model sees: f32[B,S,D], bool[B,S], or of images f32[B,H,W,C], bool[B,1]. S is
    `frames`, or what the clips need."""
    arrays = (batch[name] for name in features.source.reads)
    return features(*arrays, frames)
