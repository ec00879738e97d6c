"""MediaPipe Holistic's view of a `spelling.Batch` by a phone: landmarks with noise and gaps."""

import dataclasses

import numpy as np

from aslx.prepare.synthetic_hand import body, handshapes, kinematics, spelling
from aslx.prepare.synthetic_hand import signers as people

# Standard deviations of the tracker's noise, white and drifting: a share of the palm for hands
# (MediaPipe's hand landmarks tremble by about half a percent of the hand), metres for the rest. The
# tracker smooths the face mesh, so its noise has no white part.
_HAND_NOISE = (0.007, 0.014)
_POSE_NOISE = (0.0015, 0.005)
_FACE_NOISE = (0.0, 0.0009)
_GRID = 2.0**-14  # Coordinates are rounded to a tenth of a pixel, which halves the files.
_OTHER_SEEN = 0.04  # Share of the clips in which the idle hand is seen for a moment.


def _noisy(
    rng, points: np.ndarray, sizes: tuple[float, float], scale: np.ndarray | float = 1.0
) -> np.ndarray:
    shape = points.shape
    noise = sizes[1] * spelling.drift(rng, shape[0], shape[1:], 5)
    if sizes[0]:
        noise += sizes[0] * rng.standard_normal(shape, dtype=np.float32)
    noise[..., 2] *= 2  # Depth is guessed.
    return points + noise * scale


def _burst(rng, sequence, frames, chance: float, longest: int) -> np.ndarray:
    """bool[F]: in a share of the sequences one run of 1 to `longest` frames."""
    hit = rng.random(len(frames)) < chance
    begin = rng.random(len(frames)) * frames
    length = np.where(hit, rng.integers(1, longest + 1, len(frames)), 0)
    at = spelling.frame_numbers(frames)
    return (at >= begin[sequence]) & (at < (begin + length)[sequence])


def _head(rng, frames: int, mood: np.ndarray):
    """The head's turn [F, 3, 3], shift [F, 3] in metres and the mouth's opening [F] in metres."""
    sway = spelling.drift(rng, frames, (3,), 20) * np.radians([5, 4, 3]) + mood[:, :3]
    turn = kinematics.matrices(kinematics.quaternions(sway.astype(np.float32)))
    shift = spelling.drift(rng, frames, (3,), 24) * 0.006 + mood[:, 3:]
    mouth = np.clip(spelling.drift(rng, frames, (), 6), 0, 2) * 0.006
    return turn, shift.astype(np.float32), mouth.astype(np.float32)


@dataclasses.dataclass(frozen=True)
class _Scene:
    """What the parts of the body share in each of F frames."""

    views: people.Cameras
    rotation: np.ndarray  # [F, 3, 3], of the camera.
    mirror: np.ndarray  # [F, 1, 3], of the world, for a left hand.
    palm: np.ndarray  # [F, 1, 1], metres.
    depth: np.ndarray  # [F, 1], image widths a metre.
    absent: np.ndarray  # bool[F]: the tracker found nobody.

    def look(self, points: np.ndarray) -> np.ndarray:
        return body.project(points, self.views, self.rotation)

    def look_from_wrist(self, points: np.ndarray) -> np.ndarray:
        """A hand's depth starts at its wrist."""
        image = self.look(points)
        image[..., 2] = (image[..., 2] - image[:, :1, 2]) * self.depth
        return image

    def rows(self, chosen: np.ndarray) -> "_Scene":
        return _Scene(*(getattr(self, f.name)[chosen] for f in dataclasses.fields(self)))


def _idle_hand(rng, batch: spelling.Batch, scene: _Scene) -> np.ndarray:
    """[F, 21, 3]: the other hand, which a few sequences show for a moment."""
    image = np.full((len(batch.sequence), 21, 3), np.nan, np.float32)
    burst = _burst(rng, batch.sequence, batch.frames, _OTHER_SEEN, 35)
    chosen = np.flatnonzero(burst & ~scene.absent)
    part = scene.rows(chosen)
    # The spelling hand's twin, relaxed, at the end of the hanging arm.
    turn = kinematics.matrices(kinematics.quaternions(handshapes.PALMS[handshapes.RESTING]))
    joints = handshapes.ANGLES[handshapes.RESTING :]
    relaxed = kinematics.hand(joints, np.ones((1, 5, 3), np.float32)) @ turn.T
    twin = (body.POSE[16] + part.palm * relaxed) * -part.mirror * np.array([1, -1, -1])
    image[chosen] = part.look_from_wrist(twin)
    return image


def record(
    rng: np.random.Generator,
    crowd: people.Signers,
    batch: spelling.Batch,
    wanted: dict[str, list[int]],
) -> dict[str, np.ndarray]:
    """Parts ("right_hand", "left_hand", "pose", "face") -> float32[F, n, 3], NaN where lost: all
    points of the hands, and those of the pose and the face that `wanted` lists."""
    sequence, frames = batch.sequence, batch.frames
    who = batch.signer[sequence]
    views = people.cameras(rng, len(frames))
    rotation = kinematics.matrices(kinematics.quaternions(views.rotation))[sequence]
    views = views[sequence]
    left = crowd.left[who]
    mirror = np.where(left[:, None], np.array([-1, 1, 1], np.float32), np.float32(1))[:, None]
    palm = crowd.palm[who].astype(np.float32)[:, None, None]
    jitter = crowd.jitter[who].astype(np.float32)[:, None, None]
    place = crowd.wrist[who] + 0.006 * spelling.drift(rng, len(who), (3,), 25)
    hand = (place[:, None] + palm * batch.hand) * mirror
    mood = rng.normal(size=(len(frames), 6)) * [0.12, 0.08, 0.05, 0.012, 0.012, 0.012]
    turn, shift, mouth = _head(rng, len(who), mood[sequence])
    size = crowd.body[who].astype(np.float32)
    depth = (views.scale[:, 0] * views.depth)[:, None]
    absent = _burst(rng, sequence, frames, 0.01, 12)
    scene = _Scene(views, rotation, mirror, palm, depth, absent)

    spelled = scene.look_from_wrist(_noisy(rng, hand, _HAND_NOISE, palm * jitter))
    spelled[~batch.seen | absent] = np.nan
    idle = _idle_hand(rng, batch, scene)
    swap = left[:, None, None]
    parts = {
        "right_hand": np.where(swap, idle, spelled),
        "left_hand": np.where(swap, spelled, idle),
    }
    if wanted.get("pose"):
        pose = body.pose(hand, left, size, turn, shift)[:, wanted["pose"]]
        pose = scene.look(_noisy(rng, pose, _POSE_NOISE))
        # The pose's depth starts at the hips and is overstated, as in Kaggle's files.
        pose[..., 2] = pose[..., 2] * depth * 2.2 - 0.35
        pose[absent] = np.nan
        parts["pose"] = pose
    if wanted.get("face"):
        face = body.face(np.array(wanted["face"]), turn, shift, mouth)
        face = scene.look(_noisy(rng, face, _FACE_NOISE))
        face[..., 2] = (face[..., 2] + body.HEAD_CENTRE[2] + 0.035) * depth
        face[_burst(rng, sequence, frames, 0.08, 25) | ~crowd.face[who] | absent] = np.nan
        parts["face"] = face
    return {name: (np.round(p / _GRID) * _GRID).astype(np.float32) for name, p in parts.items()}
