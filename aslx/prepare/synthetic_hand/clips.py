"""Clips of phrases, as every generator gives them: signers, frames, landmarks."""

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np

from aslx.prepare.synthetic_hand import camera, spelling
from aslx.prepare.synthetic_hand import signers as people


@dataclasses.dataclass(frozen=True)
class Clips:
    """S clips of F frames in all."""

    participant: np.ndarray  # int[S], the csv's participant_id.
    frames: np.ndarray  # int[S]
    sequence: np.ndarray  # int[F], each frame's clip.
    parts: Mapping[str, np.ndarray]  # Part -> float32[F, n, 3], see `camera.record`.
    holds: list[np.ndarray]
    """int[L, 2] of each clip: the first and the last frame in which each character is held; empty
    where the generator does not tell."""


def signers(sequences: int) -> int:
    """How many people sign so many clips."""
    return min(94, max(4, sequences // 50))  # Kaggle's 94 sign large sets.


@functools.lru_cache(1)
def _crowd(seed: int, count: int) -> people.Signers:
    return people.draw(np.random.default_rng((seed, 1)), count)


def make(
    rng: np.random.Generator, seed: int, count: int, texts: list[str], wanted: dict[str, list[int]]
) -> Clips:
    """A clip of each text by one of the `count` signers of a seed. `wanted`: `camera.record`'s."""
    crowd = _crowd(seed, count)
    batch = spelling.spell(rng, crowd, texts)
    parts = camera.record(rng, crowd, batch, wanted)
    who, none = crowd.participant[batch.signer], np.zeros((0, 2), int)
    return Clips(who, batch.frames, batch.sequence, parts, [none] * len(texts))
