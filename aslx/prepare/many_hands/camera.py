"""MediaPipe Holistic's view of a `spelling.Batch`: landmarks with its habits, noise and gaps."""

import numpy as np

from aslx.prepare.many_hands import handshapes, signers, spelling, timing
from aslx.prepare.synthetic_hand import body, kinematics
from aslx.prepare.synthetic_hand import signers as people
from aslx.prepare.synthetic_hand import spelling as one_hand

# Medians of the tracker's noise, a share of the palm: white and drifting. Still hands before a
# studio's camera tremble by 0.001 to 0.005, those of asl-signs' phones by 0.004 to 0.037.
_WHITE, _DRIFT, _WIDE = 0.006, 0.012, 0.8
_FOLDED = 1.5  # A finger that hides its tip trembles this much more.
_POSE_NOISE, _FACE_NOISE = 0.005, 0.0009  # Metres, drifting.
_GRID = 2.0**-14  # Coordinates are rounded to a tenth of a pixel, which halves the files.
_OTHER_SEEN, _NOBODY, _NO_FACE = 0.1, 0.01, 0.1  # Shares of the clips.


def _burst(rng, batch: spelling.Batch, chance: float, most: float) -> np.ndarray:
    """bool[F]: in a share of the sequences one run of up to the share `most` of its frames."""
    count = len(batch.frames)
    begin = rng.random(count)
    length = np.where(rng.random(count) < chance, most * rng.random(count), 0)
    at = (one_hand.frame_numbers(batch.frames) + 0.5) / batch.frames[batch.sequence]
    return (at >= begin[batch.sequence]) & (at < (begin + length)[batch.sequence])


def _hand_noise(rng, batch: spelling.Batch) -> np.ndarray:
    """float32[F, 21, 3], palm lengths."""
    white, drift = (
        (size * rng.lognormal(0, _WIDE, len(batch.frames)))[batch.sequence, None, None]
        for size in (_WHITE, _DRIFT)
    )
    shape = (len(batch.sequence), 21, 3)
    noise = white * rng.standard_normal(shape, dtype=np.float32)
    noise += drift * spelling.wander(rng, batch.clock, shape[1:], 0.2)
    folded = np.repeat(1 + _FOLDED * batch.bent, 4, axis=1)
    noise[:, 1:] *= folded[..., None]
    noise[..., 2] *= 2  # Depth is guessed.
    return noise.astype(np.float32)


def _idle_hand(rng, batch, views, rotation, mirror, palm, lost) -> np.ndarray:
    """[F, 21, 3]: the other hand, which some sequences show for a while."""
    image = np.full((len(batch.sequence), 21, 3), np.nan, np.float32)
    rows = np.flatnonzero(_burst(rng, batch, _OTHER_SEEN, 0.6) & ~lost)
    form = handshapes.forms(timing.REST)[0]
    turn = kinematics.quaternions(handshapes.PALMS[form].mean(1)[None])
    ones, none = np.ones((1, 5, 3), np.float32), np.zeros((1, 3), np.float32)
    relaxed = spelling.points(handshapes.ANGLES[form].mean(1)[None], ones, none, turn)
    drift = 0.03 * spelling.wander(rng, batch.clock, (1, 3), 0.6)
    twin = (body.POSE[16] + palm * relaxed + drift) * -mirror * np.array([1, -1, -1])
    image[rows] = _from_wrist(twin[rows], views[rows], rotation[rows])
    return image


def _from_wrist(points: np.ndarray, views: people.Cameras, rotation: np.ndarray) -> np.ndarray:
    """The image of a hand, whose depth starts at its wrist."""
    image = body.project(points, views, rotation)
    image[..., 2] = (image[..., 2] - image[:, :1, 2]) * (views.scale[:, 0] * views.depth)[:, None]
    return image


def record(
    rng: np.random.Generator,
    crowd: signers.Signers,
    batch: spelling.Batch,
    wanted: dict[str, list[int]],
) -> dict[str, np.ndarray]:
    """Parts ("right_hand", "left_hand", "pose", "face") -> float32[F, n, 3], NaN where lost: all
    points of the hands, and those of the pose and the face that `wanted` lists."""
    sequence, count = batch.sequence, len(batch.frames)
    who = batch.signer[sequence]
    views = signers.cameras(rng, count)
    rotation = kinematics.matrices(kinematics.quaternions(views.rotation))[sequence]
    views = views[sequence]
    left = crowd.left[who]
    mirror = np.where(left[:, None], np.array([-1, 1, 1], np.float32), np.float32(1))[:, None]
    palm = crowd.palm[who].astype(np.float32)[:, None, None]
    place = crowd.wrist[who] + 0.008 * spelling.wander(rng, batch.clock, (3,), 0.8)
    hand = (place[:, None] + palm * batch.hand) * mirror
    lost = _burst(rng, batch, _NOBODY, 0.1)
    shown = hand + palm * _hand_noise(rng, batch)
    spelled = _from_wrist(shown.astype(np.float32), views, rotation)
    spelled[~batch.seen | lost] = np.nan
    idle = _idle_hand(rng, batch, views, rotation, mirror, palm, lost)
    swap = left[:, None, None]
    parts = {
        "right_hand": np.where(swap, idle, spelled),
        "left_hand": np.where(swap, spelled, idle),
    }
    mood = (rng.normal(size=(count, 6)) * [0.15, 0.1, 0.06, 0.015, 0.015, 0.015])[sequence]
    sway = spelling.wander(rng, batch.clock, (6,), 0.7)
    turn = mood[:, :3] + sway[:, :3] * np.radians([5, 4, 3])
    turn = kinematics.matrices(kinematics.quaternions(turn.astype(np.float32)))
    shift = (mood[:, 3:] + 0.006 * sway[:, 3:]).astype(np.float32)
    depth = (views.scale[:, 0] * views.depth)[:, None]
    if wanted.get("pose"):
        size = crowd.body[who].astype(np.float32)
        pose = body.pose(hand.astype(np.float32), left, size, turn, shift)[:, wanted["pose"]]
        pose += _POSE_NOISE * spelling.wander(rng, batch.clock, pose.shape[1:], 0.2)
        pose = body.project(pose, views, rotation)
        # The pose's depth starts at the hips and is overstated, as in Kaggle's files.
        pose[..., 2] = pose[..., 2] * depth * 2.2 - 0.35
        pose[lost] = np.nan
        parts["pose"] = pose
    if wanted.get("face"):
        mouth = np.clip(spelling.wander(rng, batch.clock, (), 0.2), 0, 2) * 0.006
        face = body.face(np.array(wanted["face"]), turn, shift, mouth)
        face = face + _FACE_NOISE * spelling.wander(rng, batch.clock, face.shape[1:], 0.2)
        face = body.project(face.astype(np.float32), views, rotation)
        face[..., 2] = (face[..., 2] + body.HEAD_CENTRE[2] + 0.035) * depth
        face[(rng.random(count) < _NO_FACE)[sequence] | lost] = np.nan
        parts["face"] = face
    return {name: (np.round(p / _GRID) * _GRID).astype(np.float32) for name, p in parts.items()}


def stills(rng: np.random.Generator, crowd: signers.Signers, characters: np.ndarray) -> np.ndarray:
    """Single right hands, float32[C, 21, 3] in fractions of the image: each of `characters` int[C]
    by a random signer. One that moves is shown anywhere in the last two thirds of its stroke: the
    first is another character's hand."""
    count = len(characters)
    who, steps = rng.integers(len(crowd), size=count), handshapes.STROKES.shape[1]
    form = crowd.form[who, characters]
    stroke = handshapes.STROKES[form, rng.integers(steps // 3, steps, count)]
    shake = crowd.shake[who, None] * rng.normal(size=(count, 20))
    palms = crowd.palms[who, characters] + np.radians(6) * rng.normal(size=(count, 3))
    tilt = kinematics.quaternions(stroke[:, [4, 3, 5]])
    turn = kinematics.multiply(tilt, kinematics.quaternions(palms.astype(np.float32)))
    joints = (crowd.angles[who, characters] + shake).astype(np.float32)
    hand = spelling.points(joints, crowd.bones[who], crowd.thumb[who], turn)
    hand = hand + stroke[:, None, :3] + 0.015 * rng.normal(size=hand.shape)
    world = crowd.wrist[who][:, None] + crowd.palm[who][:, None, None] * hand
    views = signers.cameras(rng, count)
    rotation = kinematics.matrices(kinematics.quaternions(views.rotation))
    return _from_wrist(world.astype(np.float32), views, rotation).astype(np.float32)
