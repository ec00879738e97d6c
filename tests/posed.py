""".pose files of clips, written by pose-format itself."""

import pathlib

import numpy as np
from pose_format import Pose
from pose_format.numpy import NumPyPoseBody
from pose_format.pose_header import PoseHeader, PoseHeaderComponent, PoseHeaderDimensions

from aslx.readers import pose_files
from aslx.schema import landmarks


def write(
    path: pathlib.Path,
    clip_TN3: np.ndarray,
    selection: landmarks.Selection = landmarks.ALL,
    size: tuple[int, int] = (640, 480),
    rate: float = 30.0,
) -> pathlib.Path:
    """The points of a selection f32[T, N, 3], fractions of the picture, and no others."""
    components, places = [], []
    for name, part in pose_files.PARTS.items():
        numbers = [int(selection.points[i].rpartition("_")[2]) for i in selection.part(part)]
        points = [pose_files.NAMES[part][number] for number in numbers]
        places += selection.part(part).tolist()
        components.append(PoseHeaderComponent(name, points, [], [(9, 9, 9)], "XYZC"))
    pixels_T1N3 = clip_TN3[:, None, places] * np.array([*size, 1])
    seen_T1N = np.isfinite(pixels_T1N3).all(-1)
    body = NumPyPoseBody(rate, np.nan_to_num(pixels_T1N3), np.asarray(seen_T1N, np.float32))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as f:
        Pose(PoseHeader(0.2, PoseHeaderDimensions(*size), components), body).write(f)
    return path


def from_wrists(clip_TN3: np.ndarray, selection: landmarks.Selection) -> np.ndarray:
    """The clip, with each hand's depths from its wrist, as MediaPipe's are."""
    clip_TN3 = clip_TN3.copy()
    for part in ("left_hand", "right_hand"):
        hand = selection.part(part)
        clip_TN3[:, hand, 2] -= clip_TN3[:, hand[:1], 2]
    return clip_TN3


def clip(frames: int = 9, seed: int = 0, hands: bool = True) -> np.ndarray:
    """f32[T, 543, 3] of noise, whose hands begin at depth 0; the left hand is lost."""
    rng = np.random.default_rng(seed)
    points_TN3 = rng.normal(0.5, 0.1, (frames, 543, 3)).astype(np.float32)
    points_TN3[:, landmarks.ALL.indices("left_hand_0", "right_hand_0"), 2] = 0
    lost = ("left_hand",) if hands else ("left_hand", "right_hand")
    for part in lost:
        points_TN3[:, landmarks.ALL.part(part)] = np.nan
    return points_TN3
