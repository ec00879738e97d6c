"""Forward kinematics of a hand: joint angles -> MediaPipe's 21 points, for many frames at once.

In the hand's coordinates x points to the thumb, y along the fingers and z out of the palm; a unit
is a palm, from the wrist to the middle knuckle. In the world x points to the viewer's right, y up
and z to the viewer. `handshapes` documents the four angles of the thumb and of each finger.
"""

import numpy as np

# Knuckles and bones of an adult hand in palm lengths: phalanges after Buryanov and Kotiuk 2010
# (proximal, middle, distal with its soft tip), knuckles from the metacarpals' usual fan and arch.
KNUCKLES = np.array(
    [[0.27, 0.97, 0.02], [0.02, 1.0, -0.02], [-0.2, 0.93, 0.0], [-0.4, 0.82, 0.06]], np.float32
)
BONES = np.array(
    [[0.44, 0.26, 0.21], [0.48, 0.29, 0.22], [0.44, 0.28, 0.22], [0.34, 0.2, 0.19]], np.float32
)
THUMB_BASE = np.array([0.24, 0.2, 0.08], np.float32)
THUMB_BONES = np.array([0.38, 0.34, 0.27], np.float32)


def quaternions(yaw_pitch_roll: np.ndarray) -> np.ndarray:
    """Palm angles [..., 3] in radians -> unit quaternions [..., 4] (w first) of roll*pitch*yaw."""
    half = yaw_pitch_roll / 2
    (cy, cp, cr), (sy, sp, sr) = np.moveaxis(np.cos(half), -1, 0), np.moveaxis(np.sin(half), -1, 0)
    w, x, y, z = cp * cy, sp * cy, cp * sy, sp * sy  # Rx(pitch) * Ry(yaw)
    return np.stack(
        [cr * w - sr * z, cr * x - sr * y, cr * y + sr * x, cr * z + sr * w], axis=-1
    ).astype(np.float32)


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The quaternion product: b's rotation, then a's."""
    aw, ax, ay, az = np.moveaxis(a, -1, 0)
    bw, bx, by, bz = np.moveaxis(b, -1, 0)
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        axis=-1,
    )


def blend(a: np.ndarray, b: np.ndarray, s: np.ndarray) -> np.ndarray:
    """The rotation after the share `s` [...] of the shorter way from a to b."""
    near = np.where((a * b).sum(-1, keepdims=True) < 0, -b, b)
    mixed = a + (near - a) * s[..., None]
    return mixed / np.linalg.norm(mixed, axis=-1, keepdims=True)


def matrices(q: np.ndarray) -> np.ndarray:
    """Unit quaternions [..., 4] -> rotation matrices [..., 3, 3]."""
    w, x, y, z = np.moveaxis(q, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def hand(angles: np.ndarray, bones: np.ndarray) -> np.ndarray:
    """Joint angles [F, 20] in radians, and a scale of every bone [F or 1, 5, 3] (thumb first) ->
    points [F, 21, 3] in the hand's coordinates, the wrist at the origin."""
    points = np.zeros((len(angles), 21, 3), np.float32)
    points[:, 1:5] = _thumb(angles[:, :4], THUMB_BONES * bones[:, 0])
    for finger in range(4):
        mcp, pip, dip, spread = angles[:, 4 + 4 * finger : 8 + 4 * finger].T
        # A folded finger cannot spread: the knuckle's ligaments are taut.
        spread = spread * (0.4 + 0.6 * np.clip(np.cos(mcp), 0, 1))
        bends = np.cumsum([mcp, pip, dip], axis=0)
        at = np.broadcast_to(KNUCKLES[finger], (len(angles), 3))
        points[:, 5 + 4 * finger] = at
        for i, bend in enumerate(bends):
            length = BONES[finger, i] * bones[:, 1 + finger, i]
            along = length * np.cos(bend)
            at = at + np.stack(
                [along * np.sin(spread), along * np.cos(spread), length * np.sin(bend)], -1
            )
            points[:, 6 + 4 * finger + i] = at
    return points


def _thumb(angles: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    radial, palmar, mcp, ip = angles.T
    forward = np.stack(
        [np.cos(palmar) * np.sin(radial), np.cos(palmar) * np.cos(radial), np.sin(palmar)], -1
    )
    # The thumb bends across the palm: to the little finger, at a right angle to its metacarpal.
    across = np.array([-1, 0, 0], np.float32) - forward * -forward[:, :1]
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    at = np.broadcast_to(THUMB_BASE, forward.shape)
    points = [at]
    for i, bend in enumerate((np.zeros_like(mcp), mcp, mcp + ip)):
        direction = np.cos(bend)[:, None] * forward + np.sin(bend)[:, None] * across
        at = at + lengths[:, i, None] * direction
        points.append(at)
    return np.stack(points, 1)
