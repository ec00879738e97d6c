"""When each character of a phrase is held, in frames of cameras of 10 to 60 a second.

A sequence is a row of poses: rest, each character, rest. The hand first moves from the pose before,
then holds the pose or draws its stroke.
"""

import dataclasses

import numpy as np

from aslx.prepare.many_hands import handshapes, signers
from aslx.prepare.synthetic_hand import spelling as one_hand

# Frames a second of webcams in poor light, films, phones and phones at double speed.
RATES = np.array([10, 12, 15, 20, 24, 25, 30, 50, 60])
_RATES = [0.03, 0.03, 0.1, 0.06, 0.12, 0.14, 0.4, 0.04, 0.08]
MOST_FRAMES = 807  # Kaggle's longest clip; who would take longer spells faster.
REST = handshapes.NAMES.index("rest")
SPACE = handshapes.NAMES.index(" ")


@dataclasses.dataclass(frozen=True)
class Poses:
    """M poses of S sequences, end to end, and the F frames of these sequences."""

    character: np.ndarray  # int[M], `REST` at rest.
    sequence: np.ndarray  # int[M]
    first: np.ndarray  # bool[M], the rest before.
    last: np.ndarray  # bool[M], the rest after.
    start: np.ndarray  # [M], seconds from the sequence's beginning.
    held: np.ndarray  # [M], the moment from which the pose is held.
    end: np.ndarray  # [M]
    rate: np.ndarray  # [S], frames a second.
    frames: np.ndarray  # int[S]

    @property
    def of_frame(self) -> np.ndarray:
        """int[F]: the sequence of each frame."""
        return np.repeat(np.arange(len(self.frames)), self.frames)

    @property
    def seconds(self) -> np.ndarray:
        """[F], from the sequence's beginning to the middle of the frame."""
        return (one_hand.frame_numbers(self.frames) + 0.5) / self.rate[self.of_frame]

    @property
    def begin(self) -> np.ndarray:
        """[S], seconds at which the sequences begin on a clock on which they follow each other."""
        return np.cumsum(self.end[self.last] + 1) - self.end[self.last] - 1

    def holds(self) -> np.ndarray:
        """int[M, 2]: the first and the last frame in which a pose is held; one frame at least."""
        rate, most = self.rate[self.sequence], self.frames[self.sequence] - 1
        first = np.ceil(self.held * rate - 0.5)
        last = np.maximum(np.ceil(self.end * rate - 0.5) - 1, first)
        return np.clip(np.stack([first, last], 1), 0, most[:, None]).astype(int)


def poses(
    rng: np.random.Generator,
    crowd: signers.Signers,
    who: np.ndarray,
    texts: list[np.ndarray],
    fps: float | None = None,
) -> Poses:
    """Signers `who` int[S] spell the characters of `texts`, before cameras of `fps` frames a second
    or, where it is None, of `RATES`."""
    count = np.array([len(text) for text in texts])
    rate = rng.choice(RATES, len(texts), p=_RATES).astype(float)
    if fps is not None:  # The draw above is made all the same: the hands do not depend on `fps`.
        rate[:] = fps
    pace = np.clip(crowd.pace[who] * rng.lognormal(0, 0.2, len(texts)), 0.1, 1.5)
    counts = count + 2
    number, sequence = one_hand.frame_numbers(counts), np.repeat(np.arange(len(texts)), counts)
    character = np.concatenate([part for t in texts for part in ([REST], t, [REST])]).astype(int)
    first, last = number == 0, number == counts[sequence] - 1
    weight = rng.lognormal(0, 0.28, len(character))
    weight *= np.where(handshapes.MOVES[crowd.form[who[sequence], character]], 1.6, 1.0)
    # A word's first and last letter are longer: Keane and Brentari 2016, on fingerspelling's time.
    beside = (character == SPACE) | first | last
    edge = np.roll(beside, 1) | np.roll(beside, -1)
    weight *= np.where(edge, 1.25, 1.0)
    faint = (character == SPACE) & (crowd.space[who[sequence]] != signers.SLIDE)
    weight *= np.where(faint, rng.uniform(0.3, 1, len(weight)), 1.0)
    length = weight * pace[sequence]
    # Some films begin and end with the hand up.
    idle = rng.uniform(0, 1.2, len(weight)) * (rng.random(len(weight)) < 0.7)
    length = np.where(first | last, idle, length)
    total = np.bincount(sequence, length)
    slower = np.minimum(1, MOST_FRAMES / np.ceil(total * rate + 1))
    length, total = length * slower[sequence], total * slower
    end = np.cumsum(length)
    start = end - length
    begun = start[first][sequence]
    share = crowd.moving[who[sequence]] * rng.uniform(0.75, 1.25, len(length))
    share = np.where(handshapes.MOVES[crowd.form[who[sequence], character]], 0.4 * share, share)
    moving = np.where(last, np.minimum(0.3, length), share * length)
    frames = np.clip(np.round(total * rate), 3, MOST_FRAMES).astype(int)
    return Poses(
        character,
        sequence,
        first,
        last,
        start - begun,
        start - begun + np.where(first, 0, moving),
        end - begun,
        rate,
        frames,
    )
