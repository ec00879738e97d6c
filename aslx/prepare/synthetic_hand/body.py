"""MediaPipe's pose and face mesh around a spelling hand, and their image, for many frames at once.

The world's coordinates are metres from the shoulders' middle: x to the viewer's right, y up, z to
the viewer. The body faces the viewer, so its right side is at negative x.
"""

import numpy as np

from aslx.prepare.synthetic_hand import signers as people
from aslx.schema import landmarks

# The left side of MediaPipe's pose, of an adult with the arms down. The tracker gives the hidden
# legs too, below the image.
_NOSE = (0.0, 0.21, 0.11)
_EYES = [(0.018, 0.25, 0.095), (0.033, 0.251, 0.09), (0.047, 0.25, 0.08)]
_LEFT = {
    7: (0.075, 0.235, 0.0),
    9: (0.025, 0.17, 0.09),
    11: (0.175, 0.0, 0.0),
    13: (0.24, -0.27, 0.0),
    15: (0.2, -0.48, 0.14),
    17: (0.19, -0.53, 0.18),
    19: (0.165, -0.54, 0.2),
    21: (0.16, -0.51, 0.18),
    23: (0.105, -0.5, 0.0),
    25: (0.115, -0.92, 0.08),
    27: (0.11, -1.3, -0.05),
    29: (0.11, -1.35, -0.1),
    31: (0.12, -1.4, 0.05),
}


def _template() -> np.ndarray:
    points = np.zeros((33, 3), np.float32)
    points[0] = _NOSE
    points[1:4] = _EYES
    points[4:7] = np.array(_EYES) * [-1, 1, 1]
    for i, (x, y, z) in _LEFT.items():
        points[i], points[i + 1] = (x, y, z), (-x, y, z)
    return points


POSE = _template()
HEAD_POINTS = 11  # Pose points 0 to 10 move with the head.
HEAD_CENTRE = np.array([0.0, 0.215, 0.02], np.float32)


def _outline(ids: tuple[int, ...], centre, radii, start: float, end: float) -> dict:
    """Points on an ellipse's arc. Angles are degrees, counter-clockwise from the viewer's right."""
    at = np.radians(np.linspace(start, end, len(ids)))
    x, y = centre[0] + radii[0] * np.cos(at), centre[1] + radii[1] * np.sin(at)
    return {i: (a, b) for i, a, b in zip(ids, x, y, strict=True)}


def _mesh() -> np.ndarray:
    """float32[468, 3], in metres from the head's centre. Lips, nose, eyes and outline are where
    MediaPipe has them; the other points cover an ellipsoid's front evenly (a golden spiral)."""
    i = np.arange(468)
    ring, turn = np.sqrt((i + 0.5) / 468), i * np.pi * (3 - np.sqrt(5))
    xy = np.stack([0.072 * ring * np.cos(turn), 0.1 * ring * np.sin(turn) - 0.005], 1)
    lips = landmarks.LIPS  # Outer top, outer bottom, inner top, inner bottom, right to left.
    middle = (0.0, -0.042)
    features = _outline(lips[:11], middle, (0.026, 0.009), 180, 0)
    features |= _outline(lips[11:20], middle, (0.024, 0.011), 192, 348)
    features |= _outline(lips[20:31], middle, (0.02, 0.0025), 180, 0)
    features |= _outline(lips[31:40], middle, (0.019, 0.003), 192, 348)
    right = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
    left = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
    features |= _outline(right, (-0.032, 0.034), (0.014, 0.006), 180, 517.5)
    features |= {b: (-features[a][0], features[a][1]) for a, b in zip(right, left, strict=True)}
    features |= {1: (0.0, -0.004), 2: (0.0, -0.017), 4: (0.0, 0.002), 98: (-0.014, -0.014)}
    features |= {327: (0.014, -0.014), 10: (0.0, 0.095), 152: (0.0, -0.105)}
    features |= {234: (-0.072, 0.01), 454: (0.072, 0.01)}
    for point, at in features.items():
        xy[point] = at
    depth = 0.09 * np.sqrt(np.clip(1 - (xy[:, 0] / 0.076) ** 2 - (xy[:, 1] / 0.115) ** 2, 0, 1))
    depth[[1, 4, 2, 98, 327]] += [0.025, 0.025, 0.012, 0.006, 0.006]
    return np.column_stack([xy, depth]).astype(np.float32)


FACE = _mesh()
_LOWER_LIP = np.isin(np.arange(468), landmarks.LIPS[11:20] + landmarks.LIPS[31:40] + (152,))


def face(ids: np.ndarray, turn: np.ndarray, shift: np.ndarray, mouth: np.ndarray) -> np.ndarray:
    """[F, n, 3]: the points `ids` [n] of the mesh, for the head's rotation matrices `turn`
    [F, 3, 3], its `shift` [F, 3] in metres and the mouth's opening `mouth` [F] in metres."""
    points = FACE[ids] @ turn.transpose(0, 2, 1)
    points[:, _LOWER_LIP[ids], 1] -= mouth[:, None]
    return points + (HEAD_CENTRE + shift)[:, None]


def pose(
    hand: np.ndarray, left: np.ndarray, size: np.ndarray, turn: np.ndarray, shift: np.ndarray
) -> np.ndarray:
    """[F, 33, 3]: the spelling arm ends in `hand` [F, 21, 3], a left one where `left` [F] is true.
    `size` [F] scales the body; the head moves as in `face`."""
    points = np.broadcast_to(POSE, (len(hand), 33, 3)) * size[:, None, None]
    head = POSE[:HEAD_POINTS] - HEAD_CENTRE
    points[:, :HEAD_POINTS] = head @ turn.transpose(0, 2, 1) + (HEAD_CENTRE + shift)[:, None]
    side = np.where(left, 1, -1)
    rows = np.arange(len(hand))
    first = np.where(left, 11, 12)
    # The elbow hangs below and outside the line from shoulder to wrist.
    hang = np.stack([0.07 * side, np.full(len(hand), -0.17), np.full(len(hand), -0.03)], 1)
    points[rows, first + 2] = (points[rows, first] + hand[:, 0]) / 2 + hang * size[:, None]
    for offset, knuckle in ((4, 0), (6, 17), (8, 5), (10, 2)):
        points[rows, first + offset] = hand[:, knuckle]
    return points


def project(points: np.ndarray, cameras: people.Cameras, rotation: np.ndarray) -> np.ndarray:
    """Points of the world [F, n, 3] -> fractions of the image (x, y downwards) and depth in metres,
    less for nearer points. Each frame has a camera and its rotation matrix [F, 3, 3]."""
    turned = points @ rotation.transpose(0, 2, 1)
    nearer = np.clip(turned[..., 2], -2, 0.75 * cameras.distance[:, None])
    ratio = cameras.distance[:, None] / (cameras.distance[:, None] - nearer)
    image = np.empty_like(turned)
    image[..., 0] = cameras.centre[:, :1] + cameras.scale[:, :1] * turned[..., 0] * ratio
    image[..., 1] = cameras.centre[:, 1:] - cameras.scale[:, 1:] * turned[..., 1] * ratio
    image[..., 2] = -turned[..., 2]
    return image
