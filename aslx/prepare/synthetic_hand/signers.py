"""Signers and their phones' cameras, drawn at random: proportions, handedness, style and speed.

A `Signers` holds one row a signer; whole arrays of frames or letters index it.
"""

import dataclasses

import numpy as np

from aslx.prepare.synthetic_hand import handshapes

# A mean clip of Kaggle's set shows the left hand in 18.2 frames and the right one in 76.2.
LEFT_SHARE = 0.19


@dataclasses.dataclass(frozen=True)
class Signers:
    """Arrays of S signers. Angles are radians."""

    participant: np.ndarray  # int[S], the csv's participant_id.
    weight: np.ndarray  # [S], share of the sequences.
    left: np.ndarray  # bool[S]: spells with the left hand.
    palm: np.ndarray  # [S], wrist to middle knuckle in metres.
    bones: np.ndarray  # [S, 5, 3], scale of each bone.
    angles: np.ndarray  # [S, 60, 20], handshapes in this signer's manner.
    palms: np.ndarray  # [S, 60, 3], palm orientations in this signer's manner.
    wrist: np.ndarray  # [S, 3], where the hand spells, right of the body's middle, in metres.
    body: np.ndarray  # [S], the body's size against the average.
    pace: np.ndarray  # [S], frames a character against the average.
    slur: np.ndarray  # [S], share of each neighbour in a letter.
    bounce: np.ndarray  # bool[S]: doubles letters with a bounce rather than a slide.
    jitter: np.ndarray  # [S], the tracker's noise against the average.
    face: np.ndarray  # bool[S]: the tracker finds the face.

    def __len__(self) -> int:
        return len(self.participant)


def draw(rng: np.random.Generator, n: int) -> Signers:
    """`n` signers of whom `LEFT_SHARE` (by weight) are left-handed."""
    weight = rng.gamma(8.0, size=n)
    weight /= weight.sum()
    left = np.zeros(n, bool)
    for i in range(n):  # As even as the weights allow, however few the signers.
        seen = weight[: i + 1].sum()
        left[i] = weight[:i][left[:i]].sum() + weight[i] / 2 <= LEFT_SHARE * seen
    bones = rng.normal(1, 0.035, (n, 5, 1)) * rng.normal(1, 0.03, (n, 5, 3))
    shapes = handshapes.ANGLES + np.radians(
        rng.normal(0, 5, (n, 1, handshapes.JOINTS)) + rng.normal(0, 5, (n, 60, handshapes.JOINTS))
    )
    spreads = np.arange(7, handshapes.JOINTS, 4)
    # Fingers spread by a few degrees only, so a signer's manner changes the spread less.
    shapes[..., spreads] += 0.6 * (handshapes.ANGLES[:, spreads] - shapes[..., spreads])
    manner = np.array([9, 7, 7]) * rng.normal(size=(n, 1, 3)) + rng.normal(0, 6, (n, 60, 3))
    place = np.array([-0.165, -0.06, 0.16]) + rng.normal(size=(n, 3)) * [0.03, 0.04, 0.03]
    return Signers(
        participant=np.sort(rng.choice(np.arange(1, max(255, 2 * n)), n, replace=False)),
        weight=weight,
        left=left,
        palm=0.095 * np.clip(rng.normal(1, 0.06, n), 0.82, 1.2),
        bones=np.clip(bones, 0.85, 1.15).astype(np.float32),
        angles=np.clip(shapes, np.radians(-25), np.radians(112)).astype(np.float32),
        palms=(handshapes.PALMS + np.radians(manner)).astype(np.float32),
        wrist=place.astype(np.float32),
        body=np.clip(rng.normal(1, 0.06, n), 0.85, 1.15),
        pace=np.clip(rng.lognormal(0, 0.18, n), 0.65, 1.6),
        slur=rng.uniform(0.0, 0.07, n),
        bounce=rng.random(n) < 0.3,
        jitter=np.clip(rng.lognormal(0, 0.3, n), 0.5, 2),
        face=rng.random(n) > 0.04,
    )


@dataclasses.dataclass(frozen=True)
class Cameras:
    """Arrays of C cameras. A point of the world is turned to P and falls at the fraction of the
    image centre + scale * P * distance / (distance - P's depth), y downwards."""

    rotation: np.ndarray  # [C, 3], yaw, pitch and roll in radians.
    distance: np.ndarray  # [C], metres from the body's middle.
    scale: np.ndarray  # [C, 2], image widths and heights a metre.
    centre: np.ndarray  # [C, 2], where the shoulders' middle falls.
    depth: np.ndarray  # [C], the share of the depth that the tracker gives.

    def __getitem__(self, rows: np.ndarray) -> "Cameras":
        return Cameras(*(getattr(self, f.name)[rows] for f in dataclasses.fields(self)))


def cameras(rng: np.random.Generator, n: int) -> Cameras:
    """`n` phones, mostly held upright: Kaggle's clips are portrait selfies."""
    tall = rng.choice([16 / 9, 4 / 3, 3 / 4, 9 / 16], n, p=[0.78, 0.1, 0.06, 0.06])
    heights = 0.87 * rng.uniform(0.78, 1.22, n)  # Image heights a metre.
    turned = rng.normal(size=(n, 3)) * np.radians([9, 8, 4])
    return Cameras(
        rotation=turned.astype(np.float32),
        distance=rng.uniform(0.65, 1.2, n).astype(np.float32),
        scale=np.stack([heights * tall, heights], 1).astype(np.float32),
        centre=(np.array([0.5, 0.63]) + rng.normal(size=(n, 2)) * [0.04, 0.05]).astype(np.float32),
        depth=rng.uniform(0.7, 1.0, n).astype(np.float32),
    )
