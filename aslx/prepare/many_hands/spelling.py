"""Signers spell phrases: the hand's points in each frame, and whether a tracker has them."""

import dataclasses

import numpy as np

from aslx.prepare.many_hands import handshapes, signers, timing
from aslx.prepare.synthetic_hand import kinematics, strokes
from aslx.prepare.synthetic_hand import spelling as one_hand
from aslx.schema import vocab

_WHOLE = 0.7  # Share of the clips whose hand is hardly lost; the others lose it as Kaggle's do.
_LOST = (0.6, 8.0)  # Beta distribution of the share of lost frames in them.
_KAGGLE_SEEN = (1.5, 0.7)


@dataclasses.dataclass(frozen=True)
class Batch:
    """S sequences of F frames in all."""

    signer: np.ndarray  # int[S]
    frames: np.ndarray  # int[S]
    sequence: np.ndarray  # int[F], each frame's sequence.
    clock: np.ndarray  # [F], seconds, the sequences one after the other.
    hand: np.ndarray  # float32[F, 21, 3]: palm lengths from where the signer spells.
    bent: np.ndarray  # float32[F, 5]: how far each digit is folded, 0 to 1.
    seen: np.ndarray  # bool[F]: the tracker has the hand.
    holds: list[np.ndarray]  # int[L, 2] of each sequence: each character's first and last frame.


def wander(
    rng: np.random.Generator, clock: np.ndarray, channels: tuple[int, ...], every: float
) -> np.ndarray:
    """Noise float32[F, *channels] that goes to another value every `every` seconds of `clock`."""
    at, part = np.divmod(clock / every, 1)
    at, part = at.astype(int), part.astype(np.float32).reshape(-1, *[1] * len(channels))
    knots = rng.standard_normal((at.max(initial=0) + 2, *channels), dtype=np.float32)
    return knots[at] * (1 - part) + knots[at + 1] * part


def _smooth(x: np.ndarray) -> np.ndarray:
    """A minimum-jerk movement (Flash and Hogan 1985)."""
    return x * x * x * (10 + x * (6 * x - 15))


@dataclasses.dataclass(frozen=True)
class _Moments:
    """Where each of F frames stands between its pose and the one before."""

    now: np.ndarray  # int[F], a pose.
    before: np.ndarray  # int[F]
    x: np.ndarray  # float32[F], the elapsed share of the time from `before` to `now`.
    s: np.ndarray  # float32[F], the share of the way that is done.
    progress: np.ndarray  # float32[F], the share of the stroke that is drawn.


def _moments(poses: timing.Poses) -> _Moments:
    of, time = poses.of_frame, poses.seconds
    starts = poses.start + poses.begin[poses.sequence]
    now = np.searchsorted(starts, time + poses.begin[of], "right") - 1
    before = np.where(poses.first[now], now, now - 1)
    way = np.maximum(poses.held - poses.start, 1e-6)[now]
    rest = np.maximum(poses.end - poses.held, 1e-6)[now]
    x = np.clip((time - poses.start[now]) / way, 0, 1).astype(np.float32)
    progress = np.clip((time - poses.held[now]) / rest, 0, 1).astype(np.float32)
    return _Moments(now, before, x, _smooth(x), progress)


def _spaces(
    crowd: signers.Signers, who: np.ndarray, poses: timing.Poses, table: np.ndarray
) -> None:
    """Changes the rows of `table` [M, ...] at spaces that are no slide of the flat hand: a pause
    lets the hand half go, and nothing leaves it as it was."""
    space = poses.character == timing.SPACE
    habit = crowd.space[who[poses.sequence]]
    for row in np.flatnonzero(space & (habit != signers.SLIDE)):
        if poses.first[row - 1]:
            continue
        kept = 1.0 if habit[row] == signers.NOTHING else 0.5
        table[row] = kept * table[row - 1] + (1 - kept) * table[poses.last][poses.sequence[row]]


def _aims(rng, crowd: signers.Signers, who: np.ndarray, poses: timing.Poses):
    """Joint angles [M, 20], palms as quaternions [M, 4] and wrists [M, 3] that poses aim for; and
    bool[M]: the character is the same as the one before."""
    owner, resting = who[poses.sequence], poses.character == timing.REST
    angles = crowd.angles[owner, poses.character]
    shake = crowd.shake[owner, None].astype(np.float32)
    angles = angles + shake * rng.standard_normal(angles.shape, dtype=np.float32)
    _spaces(crowd, who, poses, angles)
    near = one_hand.towards_neighbours(angles, resting)
    angles = angles + crowd.slur[owner, None].astype(np.float32) * near
    mood = np.radians(5) * rng.standard_normal((len(who), 3), dtype=np.float32)
    palms = crowd.palms[owner, poses.character] + mood[poses.sequence]
    palms = palms + np.radians(4) * rng.standard_normal(palms.shape, dtype=np.float32)
    turns = kinematics.quaternions(palms)
    nothing = (poses.character == timing.SPACE) & (crowd.space[owner] != signers.SLIDE)
    for row in np.flatnonzero(nothing & ~np.roll(poses.first, 1)):
        turns[row] = turns[row - 1]
    wrists = rng.normal(0, [0.06, 0.06, 0.04], (len(owner), 3)).astype(np.float32)
    again = np.zeros(len(owner), int)
    double = (poses.character[1:] == poses.character[:-1]) & ~resting[1:]
    for _ in range(3):  # Runs such as "www" go on sliding.
        again[1:] = np.where(double, np.minimum(again[:-1] + 1, 3), 0)
    wrists[:, 0] -= 0.45 * again * ~crowd.bounce[owner]
    wrists[resting] += np.array([0.4, -3.0, -0.9], np.float32)
    return angles, turns, wrists, again > 0


def _stroke(rng, form: np.ndarray, at: _Moments) -> np.ndarray:
    """[F, 6] of stroke: this pose's, blended from the end of the one before; `form` int[M]."""
    size = rng.lognormal(0, 0.25, (len(form), 1)).astype(np.float32)
    step = at.progress * (strokes.STEPS - 1)
    low = np.minimum(step.astype(int), strokes.STEPS - 2)
    part = (step - low)[:, None].astype(np.float32)
    path = handshapes.STROKES[form[at.now]]
    rows = np.arange(len(low))
    drawn = path[rows, low] * (1 - part) + path[rows, low + 1] * part
    ended = handshapes.STROKES[form[at.before], -1] * size[at.before]
    return ended + (drawn * size[at.now] - ended) * at.s[:, None]


def _seen(rng, poses: timing.Poses, clock: np.ndarray, trouble: np.ndarray) -> np.ndarray:
    """bool[F]: all but a share of each sequence's frames, those with the most trouble."""
    count = len(poses.frames)
    whole = rng.random(count) < _WHOLE
    share = np.where(whole, 1 - rng.beta(*_LOST, count), rng.beta(*_KAGGLE_SEEN, count))
    score = trouble + 1.1 * wander(rng, clock, (), 0.3) + 0.6 * wander(rng, clock, (), 0.07)
    rank = np.empty(len(clock), int)
    rank[np.lexsort((score, poses.of_frame))] = one_hand.frame_numbers(poses.frames)
    return rank < np.ceil(share * poses.frames)[poses.of_frame]


def spell(
    rng: np.random.Generator, crowd: signers.Signers, texts: list[str], fps: float | None = None
) -> Batch:
    """A signer spells each text. `fps`: `timing.poses`'s."""
    who = rng.integers(len(crowd), size=len(texts))
    encoded = [vocab.KAGGLE.encode(t).astype(int) for t in texts]
    poses = timing.poses(rng, crowd, who, encoded, fps)
    at = _moments(poses)
    owner = who[poses.sequence][at.now]
    angles, palms, wrists, doubled = _aims(rng, crowd, who, poses)
    # Each finger leaves and arrives at its own time.
    warp = 2 ** (0.4 * rng.standard_normal((len(angles), 5), dtype=np.float32))
    digits = _smooth(at.x[:, None] ** warp[at.now])
    joints = angles[at.before] + (angles[at.now] - angles[at.before]) * np.repeat(digits, 4, 1)
    stroke = _stroke(rng, crowd.form[who[poses.sequence], poses.character], at)
    tilt = kinematics.quaternions(stroke[:, [4, 3, 5]])
    turn = kinematics.multiply(tilt, kinematics.blend(palms[at.before], palms[at.now], at.s))
    place = wrists[at.before] + (wrists[at.now] - wrists[at.before]) * at.s[:, None]
    place = place + stroke[:, :3]
    bounce = doubled[at.now] & crowd.bounce[owner]
    place[:, 2] += 0.4 * bounce * np.sin(np.pi * at.s)
    hand = points(joints, crowd.bones[owner], crowd.thumb[owner], turn) + place[:, None]
    resting = (poses.character == timing.REST)[at.now]
    low = np.where(poses.first[at.now], 1.0, np.where(resting, at.s, 0.0))
    clock = poses.seconds + poses.begin[poses.of_frame]
    hasty = 1.1 * np.sin(np.pi * at.s) * ~resting
    seen = _seen(rng, poses, clock, 3.5 * low + hasty)
    bend = joints.reshape(-1, 5, 4)[..., :2].sum(-1)
    bend[:, 0] = joints[:, 2:4].sum(-1)
    held = poses.holds()[~(poses.first | poses.last)]
    holds = np.split(held, np.cumsum([len(t) for t in texts])[:-1])
    return Batch(
        who,
        poses.frames,
        poses.of_frame,
        clock,
        hand.astype(np.float32),
        np.clip(bend / np.pi, 0, 1).astype(np.float32),
        seen,
        holds,
    )


def points(
    joints: np.ndarray, bones: np.ndarray, thumb: np.ndarray, turn: np.ndarray
) -> np.ndarray:
    """float32[F, 21, 3] in palm lengths from the wrist: joint angles [F, 20], bones [F, 5, 3], the
    thumb's base [F, 3] and palms as quaternions [F, 4]."""
    hand = kinematics.hand(joints, bones)
    hand[:, 1:5] += thumb[:, None]
    return (hand @ kinematics.matrices(turn).transpose(0, 2, 1)).astype(np.float32)
