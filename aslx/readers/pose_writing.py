"""Landmarks -> .pose files, as the tools of pose-format write them of a film."""

import io

import numpy as np

from aslx import errors
from aslx.readers import pose_files
from aslx.schema import landmarks
from aslx.storage import files

# Of a picture whose size nobody knows. Powers of two: a fraction times it, and back, is exact.
UNKNOWN = 1024, 1024
_ORDER = ("POSE_LANDMARKS", "FACE_LANDMARKS", "LEFT_HAND_LANDMARKS", "RIGHT_HAND_LANDMARKS")
_MOST = 2**16 - 1  # Pixels of a side.
# What viewers draw as lines; MediaPipe's pose_connections. The face is drawn as points.
_LIMBS = {
    "pose": (
        *((0, 1), (1, 2), (2, 3), (3, 7), (0, 4), (4, 5), (5, 6), (6, 8), (9, 10), (11, 12)),
        *((11, 23), (12, 24), (23, 24)),
        *((i, i + 2) for i in (11, 12, 13, 14, 23, 24, 25, 26, 27, 28, 29, 30)),
        *((15, 19), (15, 21), (16, 20), (16, 22), (17, 19), (18, 20), (27, 31), (28, 32)),
        *((15, 17), (16, 18)),
    ),
    "face": (),
    "left_hand": landmarks.HAND_EDGES,
    "right_hand": landmarks.HAND_EDGES,
}
_COLOURS = {
    "pose": (255, 0, 0),
    "face": (128, 0, 0),
    "left_hand": (0, 128, 255),
    "right_hand": (0, 160, 80),
}


def write(
    path: files.Path,
    points_TN3: np.ndarray,
    rate: float,
    width: int = UNKNOWN[0],
    height: int = UNKNOWN[1],
) -> None:
    """Writes points f32[T, 543, 3] in the order of `landmarks.POINTS`, fractions of a picture of so
    many pixels, NaN where a point was lost; `rate` frames a second. The header's depth is the
    width, of which depths are fractions. The file appears when it is whole."""
    from pose_format import numpy as pose_numpy
    from pose_format import pose, pose_header  # Of an extra, so not imported with the module.

    if not len(points_TN3):
        raise errors.BadInput(f"{path}: a clip of no frames makes no .pose file")
    if max(width, height) > _MOST:
        raise errors.BadInput(f"{path}: a picture of {width} x {height} pixels: {_MOST} at most")
    parts = {name: pose_files.PARTS[name] for name in _ORDER}
    components = [
        pose_header.PoseHeaderComponent(
            name, [*pose_files.NAMES[part]], [*_LIMBS[part]], [_COLOURS[part]], "XYZC"
        )
        for name, part in parts.items()
    ]
    size = pose_header.PoseHeaderDimensions(width, height, width)
    order = np.concatenate([landmarks.ALL.part(part) for part in parts.values()])
    points_T1N3 = points_TN3[:, None, order] * np.array([width, height, 1], np.float32)
    found_T1N = np.asarray(np.isfinite(points_T1N3).all(-1))
    body = pose_numpy.NumPyPoseBody(
        rate,
        np.where(found_T1N[..., None], points_T1N3, 0).astype(np.float32),
        np.asarray(found_T1N, np.float32),
    )
    made = io.BytesIO()
    pose.Pose(pose_header.PoseHeader(pose_header.VERSION, size, components), body).write(made)
    files.write(path, made.getvalue())
