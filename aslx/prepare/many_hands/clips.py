"""Clips of phrases by many people's hands, in the form of `synthetic_hand.clips`."""

import functools

import numpy as np

from aslx.prepare.many_hands import camera, spelling
from aslx.prepare.many_hands import signers as people
from aslx.prepare.synthetic_hand import clips


def signers(sequences: int) -> int:
    """How many people sign so many clips: few of each, because no two are alike."""
    return min(2000, max(8, sequences // 12))


@functools.lru_cache(1)
def _crowd(seed: int, count: int) -> people.Signers:
    return people.draw(np.random.default_rng((seed, 1)), count)


def make(
    rng: np.random.Generator,
    seed: int,
    count: int,
    texts: list[str],
    wanted: dict[str, list[int]],
    fps: float | None = None,
) -> clips.Clips:
    """A clip of each text by one of the `count` signers of a seed. `wanted`: `camera.record`'s;
    `fps`: `timing.poses`'s."""
    crowd = _crowd(seed, count)
    batch = spelling.spell(rng, crowd, texts, fps)
    parts = camera.record(rng, crowd, batch, wanted)
    who = crowd.participant[batch.signer]
    return clips.Clips(who, batch.frames, batch.sequence, parts, batch.holds)
