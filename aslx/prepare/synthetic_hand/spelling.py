"""A phrase in time: when each character is held, how one becomes the next, and when the tracker
loses the hand. The frames of many sequences lie end to end in each array.

A sequence is a row of poses: rest, each character, rest. The hand first moves from the pose before
(a minimum-jerk blend, Flash and Hogan 1985), then holds the pose and draws its stroke, if any.
"""

import dataclasses

import numpy as np

from aslx.prepare.synthetic_hand import handshapes, kinematics, strokes
from aslx.prepare.synthetic_hand import signers as people
from aslx.schema import vocab

# Of Kaggle's asl-fingerspelling: frames a character 9.0 +- 3.8; 807 frames at most; 59 % of the
# frames show the hand, and a quarter of the clips hardly show it at all.
PACE, PACE_SPREAD = 8.75, 0.32
DAWDLING = 0.035  # Share of the clips that take much longer.
MOST_FRAMES = 807
SEEN = (0.83, 0.59)  # Beta distribution of the share of frames that show the hand.
HURRY = 3.2  # Frames a character of the fastest signing: shorter clips are cut off.


@dataclasses.dataclass(frozen=True)
class Batch:
    """S sequences of F frames in all."""

    signer: np.ndarray  # int[S]
    frames: np.ndarray  # int[S]
    sequence: np.ndarray  # int[F], each frame's sequence.
    hand: np.ndarray  # float32[F, 21, 3]: palm lengths from where the signer spells.
    seen: np.ndarray  # bool[F]: the tracker has the hand.


def drift(
    rng: np.random.Generator, frames: int, channels: tuple[int, ...], every: int
) -> np.ndarray:
    """Noise float32[frames, *channels] that wanders to another value every `every` frames."""
    knots = rng.standard_normal((frames // every + 2, *channels), dtype=np.float32)
    at, part = np.divmod(np.arange(frames), every)
    part = (part / every).astype(np.float32).reshape(-1, *[1] * len(channels))
    return knots[at] * (1 - part) + knots[at + 1] * part


def frame_numbers(frames: np.ndarray) -> np.ndarray:
    """int[F]: each frame's number in its sequence, for sequences of `frames` int[S]."""
    return np.arange(frames.sum()) - np.repeat(_starts(frames), frames)


def towards_neighbours(angles: np.ndarray, resting: np.ndarray) -> np.ndarray:
    """[M, 20]: from each pose's joint angles to those of both poses beside it, of which
    coarticulation takes a share; nothing from or to a resting hand, bool[M]."""
    near = np.zeros_like(angles)
    for step in (1, -1):
        other, idle = np.roll(angles, step, 0), np.roll(resting, step)
        near += np.where((idle | resting)[:, None], 0, other - angles)
    return near


def _starts(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)[:-1]])


def _minimum_jerk(x: np.ndarray) -> np.ndarray:
    return x * x * x * (10 + x * (6 * x - 15))


@dataclasses.dataclass(frozen=True)
class _Poses:
    """M poses laid end to end over the sequences."""

    char: np.ndarray  # int[M], 59 at rest.
    sequence: np.ndarray  # int[M]
    first: np.ndarray  # bool[M], the rest before.
    start: np.ndarray  # [M], in frames from the sequence's first.
    length: np.ndarray  # [M], in frames.
    moving: np.ndarray  # [M], the share of `length` that blends from the pose before.


def _poses(rng, texts: list[np.ndarray], frames: np.ndarray, seen: np.ndarray) -> _Poses:
    counts = np.array([len(t) + 2 for t in texts])
    rest = np.array([handshapes.RESTING])
    char = np.concatenate([part for t in texts for part in (rest, t, rest)])
    sequence = np.repeat(np.arange(len(texts)), counts)
    first = frame_numbers(counts) == 0
    last = np.roll(first, -1)
    # Rest takes some of the clip: mostly the part where no hand is seen anyway.
    idle = np.minimum(rng.uniform(0.04, 0.34, len(texts)), 0.25 + 0.6 * (1 - seen)) * frames
    idle = np.minimum(idle, np.maximum(frames - HURRY * (counts - 2), 4))
    before = idle * rng.uniform(0.3, 0.7, len(texts))
    weight = rng.lognormal(0, 0.22, len(char)) * np.where(handshapes.MOVES[char], 1.7, 1.0)
    weight[1:] *= np.where(first[:-1], 1.35, 1.0)  # The way up from rest is long.
    weight[first | last] = 0
    total = np.bincount(sequence, weight)
    length = weight / total[sequence] * (frames - idle)[sequence]
    length[first], length[last] = before, idle - before
    start = np.cumsum(length) - length
    start -= start[first][sequence]
    moving = np.where(handshapes.MOVES[char], 0.36, rng.uniform(0.42, 0.62, len(char)))
    moving = np.where(last, np.clip(8 / np.maximum(length, 1), 0.1, 1), moving)
    return _Poses(char, sequence, first, start, length, moving)


@dataclasses.dataclass(frozen=True)
class _Moments:
    """Where each of F frames stands between its pose and the one before."""

    now: np.ndarray  # int[F], a pose.
    before: np.ndarray  # int[F]
    x: np.ndarray  # [F], the elapsed share of the time from `before` to `now`.
    s: np.ndarray  # float32[F], the share of the way that is done.
    progress: np.ndarray  # [F], the share of the stroke that is drawn.


def _moments(
    poses: _Poses, time: np.ndarray, sequence: np.ndarray, natural: np.ndarray
) -> _Moments:
    """For frames at `time` [F] of their sequences, which last `natural` [S] frames."""
    # One clock for all: each sequence's poses lie after the last one's.
    clock = _starts(natural + 1.0)
    now = np.searchsorted(poses.start + clock[poses.sequence], time + clock[sequence], "right") - 1
    before = np.where(poses.first[now], now, now - 1)
    phase = np.clip((time - poses.start[now]) / np.maximum(poses.length[now], 1e-3), 0, 1)
    x = np.clip(phase / poses.moving[now], 0, 1)
    progress = np.clip((phase - poses.moving[now]) / (1 - poses.moving[now] + 1e-6), 0, 1)
    return _Moments(now, before, x, _minimum_jerk(x).astype(np.float32), progress)


def _targets(rng, signers: people.Signers, who: np.ndarray, poses: _Poses):
    """Joint angles [M, 20], palms as quaternions [M, 4] and wrists [M, 3] that poses aim for; and
    bool[M]: the character is the same as the one before."""
    owner = who[poses.sequence]
    angles = signers.angles[owner, poses.char]
    angles = angles + np.radians(3.5) * rng.standard_normal(angles.shape, dtype=np.float32)
    resting = poses.char == handshapes.RESTING
    near = towards_neighbours(angles, resting)
    angles = angles + signers.slur[owner, None].astype(np.float32) * near
    mood = np.radians(3) * rng.standard_normal((len(who), 3), dtype=np.float32)
    palms = signers.palms[owner, poses.char] + mood[poses.sequence]
    palms = palms + np.radians(3) * rng.standard_normal(palms.shape, dtype=np.float32)
    wrists = rng.normal(0, [0.06, 0.06, 0.04], (len(owner), 3)).astype(np.float32)
    again = np.zeros(len(owner), int)
    double = (poses.char[1:] == poses.char[:-1]) & ~resting[1:]
    for _ in range(3):  # Runs such as "www" go on sliding.
        again[1:] = np.where(double, np.minimum(again[:-1] + 1, 3), 0)
    wrists[:, 0] -= 0.45 * again * ~signers.bounce[owner]
    wrists[resting] += np.array([0.4, -3.0, -0.9], np.float32)
    return angles, kinematics.quaternions(palms), wrists, again > 0


def _stroke(rng, poses: _Poses, at: _Moments) -> np.ndarray:
    """[F, 6] of stroke: this pose's, blended from the end of the one before."""
    size = rng.lognormal(0, 0.12, (len(poses.char), 1)).astype(np.float32)
    step = at.progress * (strokes.STEPS - 1)
    low = np.minimum(step.astype(int), strokes.STEPS - 2)
    part = (step - low)[:, None].astype(np.float32)
    char = poses.char[at.now]
    drawn = handshapes.STROKES[char, low] * (1 - part) + handshapes.STROKES[char, low + 1] * part
    ended = handshapes.STROKES[poses.char[at.before], -1] * size[at.before]
    return ended + (drawn * size[at.now] - ended) * at.s[:, None]


def _seen(rng, sequence, frames, share, trouble) -> np.ndarray:
    """bool[F]: the given share of each sequence's frames, those with the least trouble."""
    noise = 1.1 * drift(rng, len(sequence), (), 9)
    score = trouble + noise + 0.5 * drift(rng, len(sequence), (), 3)
    rank = np.empty(len(sequence), int)
    rank[np.lexsort((score, sequence))] = frame_numbers(frames)
    return rank < np.round(share * frames)[sequence]


def _hands(rng, signers, who: np.ndarray, poses: _Poses, at: _Moments) -> np.ndarray:
    """float32[F, 21, 3]: palm lengths from where the signer spells."""
    owner = who[poses.sequence][at.now]
    now, before, s = at.now, at.before, at.s
    angles, palms, wrists, doubled = _targets(rng, signers, who, poses)
    # Each finger leaves and arrives at its own time.
    warp = 2 ** (0.35 * rng.standard_normal((len(poses.char), 5), dtype=np.float32))
    digits = _minimum_jerk(at.x[:, None].astype(np.float32) ** warp[now])
    joints = angles[before] + (angles[now] - angles[before]) * np.repeat(digits, 4, axis=1)
    stroke = _stroke(rng, poses, at)
    tilt = kinematics.quaternions(stroke[:, [4, 3, 5]])
    turn = kinematics.multiply(tilt, kinematics.blend(palms[before], palms[now], s))
    place = wrists[before] + (wrists[now] - wrists[before]) * s[:, None] + stroke[:, :3]
    bounce = doubled[now] & signers.bounce[owner]
    place[:, 2] += 0.4 * bounce * np.sin(np.pi * s)
    hand = kinematics.hand(joints, signers.bones[owner])
    hand = hand @ kinematics.matrices(turn).transpose(0, 2, 1) + place[:, None]
    return hand.astype(np.float32)


def spell(rng: np.random.Generator, signers: people.Signers, texts: list[str]) -> Batch:
    """A signer, drawn by weight, spells each text."""
    who = rng.choice(len(signers), len(texts), p=signers.weight)
    ids = [vocab.KAGGLE.encode(t).astype(int) for t in texts]
    count = np.array([len(t) for t in texts])
    pace = PACE * signers.pace[who] * np.clip(rng.normal(1, PACE_SPREAD, len(texts)), 0.06, 3)
    pace *= np.where(rng.random(len(texts)) < DAWDLING, rng.uniform(1.4, 2.8, len(texts)), 1)
    frames = np.clip(np.round(count * pace), 3, MOST_FRAMES).astype(int)
    share = rng.beta(*SEEN, len(texts))
    natural = np.maximum(frames, HURRY * count + 6)
    poses = _poses(rng, ids, natural, share)
    sequence = np.repeat(np.arange(len(texts)), frames)
    cut = rng.uniform(0, 1, len(texts)) * (natural - frames)
    time = frame_numbers(frames) + cut[sequence] + 0.5
    at = _moments(poses, time, sequence, natural)
    hand = _hands(rng, signers, who, poses, at)
    resting = (poses.char == handshapes.RESTING)[at.now]
    low = np.where(poses.first[at.now], 1.0, np.where(resting, at.s, 0.0))
    hasty = 1.1 * np.sin(np.pi * at.s) * ~resting
    seen = _seen(rng, sequence, frames, share, 3.5 * low + hasty)
    return Batch(who, frames, sequence, hand, seen)
