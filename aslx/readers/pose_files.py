"""Landmarks of MediaPipe Holistic out of .pose files, the format of the package pose-format.

A file has the points of Holistic, or some of them; irises and world landmarks are left out. A
stranger's file is held to `_MOST` bytes and `_MOST_FRAMES`, which take 2 GB at most.
"""

import pathlib
import struct

import numpy as np

from aslx import errors
from aslx.schema import landmarks
from aslx.storage import files

_MOST = 256 << 20  # Bytes of a file: 15 minutes of 30 frames a second with all points.
_MOST_FRAMES = 1 << 17  # 72 minutes; a file of one point has 16 bytes a frame, and a clip 6,500.
_MOST_HEADER = 1 << 18  # Bytes; the header that names all points of Holistic has 15,000.
_PARTS = {
    "FACE_LANDMARKS": "face",
    "LEFT_HAND_LANDMARKS": "left_hand",
    "POSE_LANDMARKS": "pose",
    "RIGHT_HAND_LANDMARKS": "right_hand",
}
# The names of points 0, 1, 2, ... in MediaPipe's solutions; the face's points have numbers.
_FINGERS = ("INDEX_FINGER", "MIDDLE_FINGER", "RING_FINGER", "PINKY")
_HAND = (
    *("WRIST", "THUMB_CMC", "THUMB_MCP", "THUMB_IP", "THUMB_TIP"),
    *(f"{finger}_{joint}" for finger in _FINGERS for joint in ("MCP", "PIP", "DIP", "TIP")),
)
_LIMBS = (
    *("SHOULDER", "ELBOW", "WRIST", "PINKY", "INDEX", "THUMB", "HIP", "KNEE", "ANKLE", "HEEL"),
    "FOOT_INDEX",
)
_POSE = (
    *("NOSE", "LEFT_EYE_INNER", "LEFT_EYE", "LEFT_EYE_OUTER"),
    *("RIGHT_EYE_INNER", "RIGHT_EYE", "RIGHT_EYE_OUTER"),
    *("LEFT_EAR", "RIGHT_EAR", "MOUTH_LEFT", "MOUTH_RIGHT"),
    *(f"{side}_{limb}" for limb in _LIMBS for side in ("LEFT", "RIGHT")),
)
_NAMES = {"face": [str(i) for i in range(landmarks.PARTS["face"])], "pose": _POSE}
_POINTS = {  # A component and the name of its point -> the position in `landmarks.POINTS`.
    (component, name): landmarks.POINTS.index(f"{part}_{i}")
    for component, part in _PARTS.items()
    for i, name in enumerate(_NAMES.get(part, _HAND))
}
_HANDS = {wrist: range(wrist, wrist + 21) for wrist in landmarks.ALL.indices(
    "left_hand_0", "right_hand_0")}  # fmt: skip
_BODIES = {0.1: struct.Struct("<HHH"), 0.2: struct.Struct("<fIH")}  # Rate, frames, people.


def read(path: pathlib.Path) -> np.ndarray:
    """f32[T, 543, 3] in the order of `landmarks.POINTS`, NaN where a point was lost or is not in
    the file: x and y are fractions of the picture's width and height, and the depth is the file's.
    A hand's depth starts at its wrist, as MediaPipe's does, also where it was moved since.

    BadInput names what is missing, damaged, too large, empty or of another body model."""
    with files.given(path):
        size = path.stat().st_size
        if size > _MOST:
            raise errors.BadInput(
                f"{path} has {size >> 20} MiB, and at most {_MOST >> 20} are read: cut it"
            )
        raw = path.read_bytes()
    header, start = _header(path, raw)
    places, count = {}, 0  # Position in the file -> in `landmarks.POINTS`.
    for component in header.components:
        for i, name in enumerate(component.points, count):
            if (place := _POINTS.get((component.name, name))) is not None:
                places[i] = place
        count += len(component.points)
    if not places:
        found = ", ".join(c.name[:40] for c in header.components[:5]) or "nothing"
        raise errors.BadInput(
            f"{path} holds {found}: the points of MediaPipe Holistic are wanted, "
            f"{', '.join(_PARTS)}, or some of them"
        )
    kinds = {c.format for c in header.components}
    if kinds != {"XYZC"}:
        raise errors.BadInput(f"{path} has the values {min(kinds)[:9]} of a point, not XYZC")
    width, height = header.dimensions.width, header.dimensions.height
    if not width or not height:
        raise errors.BadInput(f"{path} is of a picture of {width} x {height} pixels: it has none")
    values_TP3, seen_TP = _body(path, raw, start, round(header.version, 3), count)
    chosen = [*places]
    kept_TP = seen_TP[:, chosen] & np.isfinite(values_TP3[:, chosen]).all(-1)
    clip_TN3 = np.full((len(values_TP3), len(landmarks.POINTS), 3), np.nan, np.float32)
    clip_TN3[:, [*places.values()]] = np.where(
        kept_TP[..., None], values_TP3[:, chosen] / np.array([width, height, 1], np.float32), np.nan
    )
    for wrist, hand in _HANDS.items():
        clip_TN3[:, hand, 2] -= clip_TN3[:, wrist, None, 2]
    return clip_TN3


def _header(path: pathlib.Path, raw: bytes):
    """pose-format's header, and where it ends in `raw`."""
    from pose_format import pose_header  # Of an extra, so not imported with the module.
    from pose_format.utils import reader

    # A header of its own cannot take more memory or time than this many bytes explain.
    source = reader.BufferReader(raw[:_MOST_HEADER])
    try:
        found = pose_header.PoseHeader.read(source)
    except (struct.error, TypeError, ValueError) as error:
        raise errors.BadInput(f"{path} is damaged, or no .pose file: {error}") from error
    return found, source.read_offset


def _body(
    path: pathlib.Path, raw: bytes, start: int, version: float, points: int
) -> tuple[np.ndarray, np.ndarray]:
    """f32[T, P, 3] in pixels and bool[T, P], whether a point was found."""
    if version not in _BODIES:
        raise errors.BadInput(
            f"{path} is a .pose file of version {version:.4}, and {' and '.join(map(str, _BODIES))}"
            " are read: write it again with a new pose-format"
        )
    counts, frame = _BODIES[version], 16 * points
    first = start + counts.size
    if first > len(raw):
        raise errors.BadInput(f"{path} is cut off: it ends with its header")
    _, frames, people = counts.unpack_from(raw, start)
    if people != 1:
        raise errors.BadInput(f"{path} shows {people} people, and one is wanted")
    there, over = divmod(len(raw) - first, frame)
    if version == 0.1:  # Its count has 16 bits, and the file's length tells the rest.
        frames += max(there - frames, 0) >> 16 << 16
    if over or there != frames:
        raise errors.BadInput(f"{path} is cut off or damaged: {there} frames of {frames} are there")
    if frames > _MOST_FRAMES:
        raise errors.BadInput(
            f"{path} has {frames} frames, and at most {_MOST_FRAMES} are read: cut it"
        )
    if not frames:
        raise errors.BadInput(f"{path} has no frames")
    values = np.frombuffer(raw, "<f4", 4 * points * frames, first)
    xyz, confidence = np.split(values, [3 * points * frames])
    return xyz.reshape(frames, points, 3), confidence.reshape(frames, points) > 0
