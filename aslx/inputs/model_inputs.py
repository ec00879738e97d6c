"""A batch -> what the model sees."""

from typing import Protocol

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


class TimedFeatures(features_lib.Features, Protocol):
    """Features of clips that can tell which frames they show."""

    def moments(self, clip: jax.Array, length_B: jax.Array, /) -> jax.Array:
        """The frame of the clip that each of the model's S frames shows, f32[B, S]."""
        ...


def shown_frames(batch: Batch, features: TimedFeatures) -> tuple[jax.Array, jax.Array]:
    """`moments`, and which of the model's frames are real, bool[B, S]."""
    clip, length_B = (batch[name] for name in features.source.reads)
    return features.moments(clip, length_B), features(clip, length_B)[1]
