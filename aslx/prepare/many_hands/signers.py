"""Signers and their cameras, drawn at random: each has a form and a manner of every character."""

import dataclasses

import numpy as np

from aslx.prepare.many_hands import handshapes
from aslx.prepare.synthetic_hand import kinematics
from aslx.prepare.synthetic_hand import signers as people

# Left-handed people, a tenth, and mirrored selfies, whose right hands are left ones to a tracker.
LEFT_SHARE = 0.25
SLIDE, PAUSE, NOTHING = range(3)  # What a signer makes of a space.
# A thumb's base in palm lengths, where trackers have it: before the palm, as the trapezium is.
# Measured with the depth that keeps bones rigid, in the mean of two signers.
THUMB_BASE, THUMB_BASE_SPREAD = np.array([0.16, 0.27, 0.3]), np.array([0.04, 0.03, 0.06])
_DIGITS = 4
_LINE, _TOGETHER = 0.6, 0.7  # Shares of joints that bend with their finger, of fingers with all.


@dataclasses.dataclass(frozen=True)
class Signers:
    """Arrays of S signers. Angles are radians; 60 characters, the last one the resting hand."""

    participant: np.ndarray  # int[S], the csv's participant_id.
    left: np.ndarray  # bool[S]: spells with the left hand.
    palm: np.ndarray  # [S], wrist to middle knuckle in metres.
    bones: np.ndarray  # [S, 5, 3], scale of each bone.
    thumb: np.ndarray  # [S, 3], the thumb's base, in palm lengths from `kinematics.THUMB_BASE`.
    form: np.ndarray  # int[S, 60], of `handshapes.FORMS`.
    angles: np.ndarray  # [S, 60, 20]
    palms: np.ndarray  # [S, 60, 3]
    wrist: np.ndarray  # [S, 3], where the hand spells, right of the body's middle, in metres.
    body: np.ndarray  # [S], the body's size against the average.
    pace: np.ndarray  # [S], seconds a character.
    moving: np.ndarray  # [S], the share of that time that the way from the last one takes.
    slur: np.ndarray  # [S], share of each neighbour in a character.
    shake: np.ndarray  # [S], radians by which a joint misses its aim.
    bounce: np.ndarray  # bool[S]: doubles letters with a bounce rather than a slide.
    space: np.ndarray  # int[S]: SLIDE, PAUSE or NOTHING.

    def __len__(self) -> int:
        return len(self.participant)


def draw(rng: np.random.Generator, n: int) -> Signers:
    """`n` signers, of whom `LEFT_SHARE` are left-handed or mirrored."""
    form = np.stack([_forms(rng, n, c) for c in range(len(handshapes.NAMES))], 1)
    bones = rng.normal(1, 0.05, (n, 5, 1)) * rng.normal(1, 0.05, (n, 5, 3))
    place = np.array([-0.165, -0.06, 0.16]) + rng.normal(size=(n, 3)) * [0.05, 0.06, 0.05]
    left = np.arange(n) < round(LEFT_SHARE * n)
    return Signers(
        participant=np.sort(rng.choice(np.arange(1, max(255, 2 * n)), n, replace=False)),
        left=rng.permutation(left),
        palm=0.095 * np.clip(rng.normal(1, 0.08, n), 0.75, 1.25),
        bones=np.clip(bones, 0.75, 1.3).astype(np.float32),
        thumb=(
            THUMB_BASE - kinematics.THUMB_BASE + rng.normal(size=(n, 3)) * THUMB_BASE_SPREAD
        ).astype(np.float32),
        form=form,
        angles=_angles(rng, form),
        palms=_between(handshapes.PALMS[form], _middling(rng, (*form.shape, 3)))
        + _normal(rng, 5, (n, 1, 3)),
        wrist=place.astype(np.float32),
        body=np.clip(rng.normal(1, 0.08, n), 0.8, 1.2),
        pace=np.clip(rng.lognormal(np.log(0.3), 0.35, n), 0.12, 0.9),
        moving=rng.uniform(0.35, 0.7, n),
        slur=rng.uniform(0.0, 0.12, n),
        shake=np.radians(rng.uniform(2, 6, n)),
        bounce=rng.random(n) < 0.4,
        space=rng.choice(3, n, p=[0.4, 0.3, 0.3]),
    )


def _forms(rng: np.random.Generator, n: int, character: int) -> np.ndarray:
    """int[n]: a form of the character for each signer."""
    rows = handshapes.forms(character)
    share = handshapes.SHARE[rows]
    return rng.choice(rows, n, p=share / share.sum())


def _middling(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Places in a range, of which the ends are rare."""
    return rng.beta(2, 2, shape).astype(np.float32)


def _between(ranges: np.ndarray, at: np.ndarray) -> np.ndarray:
    return ranges[..., 0] + (ranges[..., 1] - ranges[..., 0]) * at


def _normal(rng: np.random.Generator, degrees: float, shape: tuple[int, ...]) -> np.ndarray:
    return np.radians(degrees) * rng.standard_normal(shape, dtype=np.float32)


def _angles(rng: np.random.Generator, form: np.ndarray) -> np.ndarray:
    """float32[S, 60, 20]. The joints of a finger bend together, and so do fingers."""
    at = _middling(rng, (*form.shape, 20))
    whole, own = _middling(rng, (*form.shape, 1)), _middling(rng, (*form.shape, _DIGITS))
    finger = np.where(rng.random(own.shape) < _TOGETHER, whole, own)
    joints = at[..., 4:].reshape(*form.shape, _DIGITS, 4)
    along = rng.random((*form.shape, _DIGITS, 3)) < _LINE
    joints[..., :3] = np.where(along, finger[..., None], joints[..., :3])
    drawn = _between(handshapes.ANGLES[form], at)
    return drawn + _normal(rng, 3, (len(form), 1, 20)) + _normal(rng, 4, drawn.shape)


def cameras(rng: np.random.Generator, n: int) -> people.Cameras:
    """`n` cameras of phones and computers, upright, lying and square."""
    tall = rng.choice([16 / 9, 4 / 3, 1, 3 / 4, 9 / 16], n, p=[0.35, 0.1, 0.1, 0.2, 0.25])
    heights = 0.87 * rng.lognormal(0, 0.25, n)  # Image heights a metre.
    turned = rng.normal(size=(n, 3)) * np.radians([12, 10, 5])
    return people.Cameras(
        rotation=turned.astype(np.float32),
        distance=rng.uniform(0.5, 1.5, n).astype(np.float32),
        scale=np.stack([heights * tall, heights], 1).astype(np.float32),
        centre=(np.array([0.5, 0.6]) + rng.normal(size=(n, 2)) * [0.07, 0.08]).astype(np.float32),
        # Trackers understate a hand's depth: with twice the depth and more bones keep their length,
        # on phones and before webcams.
        depth=rng.uniform(0.3, 0.8, n).astype(np.float32),
    )
