"""Landmarks of MediaPipe Holistic out of .pose files, the format of the package pose-format.

A file has the points of Holistic, or some of them; irises and world landmarks are left out. A
stranger's file is held to `_MOST` bytes and `_MOST_FRAMES`, which take 2 GB at most.
"""

import dataclasses
import pathlib
import struct
from typing import Any

import numpy as np

from aslx import errors
from aslx.readers import mending
from aslx.schema import landmarks
from aslx.storage import files

_MOST = 256 << 20  # Bytes of a file: 15 minutes of 30 frames a second with all points.
_MOST_FRAMES = 1 << 17  # 72 minutes; a file of one point has 16 bytes a frame, and a clip 6,500.
_MOST_HEADER = 1 << 18  # Bytes; the header that names all points of Holistic has 15,000.
PARTS = {  # The components of Holistic.
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
_FACE = tuple(str(i) for i in range(landmarks.PARTS["face"]))
NAMES = {  # Of each part's points, in the order of `landmarks.POINTS`.
    "face": _FACE,
    "left_hand": _HAND,
    "pose": _POSE,
    "right_hand": _HAND,
}
_POINTS = {  # A component and the name of its point -> the position in `landmarks.POINTS`.
    (component, name): landmarks.POINTS.index(f"{part}_{i}")
    for component, part in PARTS.items()
    for i, name in enumerate(NAMES[part])
}
_HANDS = {wrist: range(wrist, wrist + 21) for wrist in landmarks.ALL.indices(
    "left_hand_0", "right_hand_0")}  # fmt: skip
_NEAR = 0.01  # Of the width: how near to half of it the depths of a resized clip are.
_FAR = 0.01  # The depth of a wrist that was moved; MediaPipe's own are around 1e-6.
_STILL = 1e-6  # Fractions of a picture by which the wrist of a hand that was turned moves.
_PIXELS = 4.0  # No picture is as small: places below it are fractions of one.
_BODIES = {0.1: struct.Struct("<HHH"), 0.2: struct.Struct("<fIH")}  # Rate, frames, people.


class TooMany(errors.BadInput):
    """More frames than are read."""


@dataclasses.dataclass(frozen=True)
class Clip:
    """The contents of a .pose file."""

    points: np.ndarray
    """f32[T, 543, 3] in the order of `landmarks.POINTS`, NaN where a point was lost or is not in
    the file: fractions of the picture's width and height, and depths, a hand's from its wrist."""
    rate: float  # Frames per second.
    width: int  # Pixels of the picture.
    height: int
    mended: tuple[str, ...] = ()  # What was undone, or cannot be, in words of `mending`.

    @property
    def seconds(self) -> np.ndarray:
        """f64[T], since the first frame."""
        return np.arange(len(self.points)) / self.rate

    @property
    def hands(self) -> np.ndarray:
        """bool[T]: whether a hand was found."""
        return np.asarray(np.isfinite(self.points[:, [*_HANDS]]).any((1, 2)))


def is_pose(path: str) -> bool:
    """Whether a name is that of a .pose file."""
    return path.lower().endswith(".pose")


def read(path: pathlib.Path) -> Clip:
    """The clip of a file.

    BadInput names what is missing, damaged, too large, empty or of another body model."""
    with files.given(path):
        size = path.stat().st_size
        if size > _MOST:
            raise errors.BadInput(
                f"{path} has {size >> 20} MiB, and at most {_MOST >> 20} are read: cut it"
            )
        raw = path.read_bytes()
    return parsed(raw, str(path))


def parsed(raw: bytes, name: str, most: int = _MOST_FRAMES) -> Clip:
    """The clip in the bytes of a file that errors call `name`, of at most `most` frames; BadInput
    as `read`."""
    header, start = _header(name, raw)
    count = sum(len(component.points) for component in header.components)
    _check(header, name)
    rate, values_TP3, seen_TP = _body(name, raw, start, round(header.version, 3), count, most)
    return _clip(header, rate, values_TP3, seen_TP)


def of_arrays(
    header: Any, rate: float, values_TPN3: np.ndarray, seen_TPN: np.ndarray, name: str
) -> Clip:
    """The clip of pose-format's header and the arrays of its body, as data sets keep them: places
    f32[frames, people, points, 3] in pixels, and confidences. Places that are fractions of the
    picture already, as in some sets, are taken as they are. BadInput as `parsed`."""
    _check(header, name)
    count = sum(len(component.points) for component in header.components)
    frames, people, *_ = values_TPN3.shape
    if values_TPN3.shape[2:] != (count, 3) or seen_TPN.shape != (frames, people, count):
        raise errors.BadInput(
            f"{name} has values of the shape {values_TPN3.shape}, and its header {count} points of "
            "x, y and z"
        )
    _check_size(frames, people, _MOST_FRAMES, name)
    values_TP3, seen_TP = values_TPN3[:, 0], seen_TPN[:, 0] > 0
    places = np.abs(values_TP3[seen_TP][:, :2])
    fractions = places[np.isfinite(places)].max(initial=0) < _PIXELS
    return _clip(header, rate, values_TP3, seen_TP, (1, 1) if fractions else None)


def _check(header: Any, name: str) -> None:
    """BadInput unless some points are of Holistic, and all of a picture and with depths."""
    if not _places(header):
        found = ", ".join(c.name[:40] for c in header.components[:5]) or "nothing"
        raise errors.BadInput(
            f"{name} holds {found}: the points of MediaPipe Holistic are wanted, "
            f"{', '.join(PARTS)}, or some of them"
        )
    kinds = {c.format for c in header.components}
    if kinds != {"XYZC"}:
        raise errors.BadInput(f"{name} has the values {min(kinds)[:9]} of a point, not XYZC")
    width, height = header.dimensions.width, header.dimensions.height
    if not width or not height:
        raise errors.BadInput(f"{name} is of a picture of {width} x {height} pixels: it has none")


def _check_size(frames: int, people: int, most: int, name: str) -> None:
    if people != 1:
        raise errors.BadInput(f"{name} shows {people} people, and one is wanted")
    if frames > most:
        raise TooMany(f"{name} has {frames} frames, and at most {most} are read: cut it")
    if not frames:
        raise errors.BadInput(f"{name} has no frames")


def _places(header: Any) -> dict[int, int]:
    """The position of each point of Holistic in a file -> in `landmarks.POINTS`."""
    every = [
        (component.name, point) for component in header.components for point in component.points
    ]
    return {i: _POINTS[named] for i, named in enumerate(every) if named in _POINTS}


def _clip(
    header: Any,
    rate: float,
    values_TP3: np.ndarray,
    seen_TP: np.ndarray,
    size: tuple[int, int] | None = None,
) -> Clip:
    """The clip of a body of one person, in pixels of a picture of `size`; None: the header's."""
    places = _places(header)
    width, height = size or (header.dimensions.width, header.dimensions.height)
    chosen = [*places]
    kept_TP = seen_TP[:, chosen] & np.isfinite(values_TP3[:, chosen]).all(-1)
    clip_TN3 = np.full((len(values_TP3), len(landmarks.POINTS), 3), np.nan, np.float32)
    clip_TN3[:, [*places.values()]] = np.where(
        kept_TP[..., None], values_TP3[:, chosen] / np.array([width, height, 1], np.float32), np.nan
    )
    mended = _mend(clip_TN3, width, header.dimensions.depth) if size is None else ()
    usual = float(rate) if 1 <= rate <= 240 else 30.0  # As films that tell no rate.
    return Clip(clip_TN3, usual, header.dimensions.width, header.dimensions.height, mended)


def _mend(clip_TN3: np.ndarray, width: int, depth: int) -> tuple[str, ...]:
    """Undoes, in place, what normalisation did to depths; answers what was done.

    `pose_format.utils.generic.normalize_pose_size` scales x, y and z alike and moves all three by
    half of the new width. A depth was a fraction of the old width, which some tools, and not
    pose-format's own, note as the header's depth."""
    depths_TN = clip_TN3[..., 2]
    found = depths_TN[np.isfinite(depths_TN)]
    mended = ()
    if len(found) and abs(float(np.median(found)) - width / 2) < _NEAR * width:
        depths_TN -= width / 2
        depths_TN *= depth / width if depth else 1
        mended = (mending.RESIZED if depth else mending.RESIZED_FROM_UNKNOWN,)
    for wrist, hand in _HANDS.items():
        begins_T = np.nan_to_num(depths_TN[:, wrist])
        if np.abs(begins_T).max() > _FAR:
            depths_TN[:, hand] -= begins_T[:, None]
            mended = mended or (mending.MOVED,)
        wrists, tips = (clip_TN3[:, at, :2] for at in (wrist, wrist + 12))
        seen = np.isfinite(wrists).all(-1)
        still, moves = (np.ptp(x[seen], 0).max() if seen.sum() > 1 else 0 for x in (wrists, tips))
        if still < _STILL < moves:
            mended = (*mended, mending.TURNED)
    return tuple(dict.fromkeys(mended))


def _header(name: str, raw: bytes) -> tuple[Any, int]:
    """pose-format's header, and where it ends in `raw`."""
    from pose_format import pose_header  # Of an extra, so not imported with the module.
    from pose_format.utils import reader

    # A header of its own cannot take more memory or time than this many bytes explain.
    source = reader.BufferReader(raw[:_MOST_HEADER])
    try:
        found = pose_header.PoseHeader.read(source)
    except (struct.error, TypeError, ValueError) as error:
        raise errors.BadInput(f"{name} is damaged, or no .pose file: {error}") from error
    return found, source.read_offset


def _body(
    name: str, raw: bytes, start: int, version: float, points: int, most: int
) -> tuple[float, np.ndarray, np.ndarray]:
    """Frames per second, f32[T, P, 3] in pixels and bool[T, P], whether a point was found."""
    if version not in _BODIES:
        raise errors.BadInput(
            f"{name} is a .pose file of version {version:.4}, and {' and '.join(map(str, _BODIES))}"
            " are read: write it again with a new pose-format"
        )
    counts, frame = _BODIES[version], 16 * points
    first = start + counts.size
    if first > len(raw):
        raise errors.BadInput(f"{name} is cut off: it ends with its header")
    rate, frames, people = counts.unpack_from(raw, start)
    if people != 1:
        raise errors.BadInput(f"{name} shows {people} people, and one is wanted")
    there, over = divmod(len(raw) - first, frame)
    if version == 0.1:  # Its count has 16 bits, and the file's length tells the rest.
        frames += max(there - frames, 0) >> 16 << 16
    if over or there != frames:
        raise errors.BadInput(f"{name} is cut off or damaged: {there} frames of {frames} are there")
    _check_size(frames, people, most, name)
    values = np.frombuffer(raw, "<f4", 4 * points * frames, first)
    xyz, confidence = np.split(values, [3 * points * frames])
    return rate, xyz.reshape(frames, points, 3), confidence.reshape(frames, points) > 0
