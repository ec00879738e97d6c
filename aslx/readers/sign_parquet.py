"""Kaggle's parquet of asl-signs, which has one row for each landmark -> a clip."""

import dataclasses
import functools
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from aslx import errors
from aslx.readers import file_kinds, mending
from aslx.schema import landmarks

if TYPE_CHECKING:
    from aslx.readers import parquet_bounds, parquet_rows

_PLACE = ("frame", "type", "landmark_index")
_POINTS, _ORDER = len(landmarks.POINTS), np.arange(len(landmarks.POINTS))
_BEGIN = {part: landmarks.POINTS.index(f"{part}_0") for part in landmarks.PARTS}
_IRIS = 10  # Points that MediaPipe's refined face mesh adds.


@dataclasses.dataclass(frozen=True)
class Clip:
    """The contents of a parquet."""

    points: np.ndarray  # float32[T, 543, 3], NaN where the tracker lost a part.
    mended: tuple[str, ...]  # What was put right, in words of `mending`.


def clip(path: file_kinds.File, bounds: "parquet_bounds.Bounds | None" = None) -> Clip:
    """The clip of a parquet with one row for each landmark, in any order.

    `frame`, `type` and `landmark_index` tell which landmark a row is. Without these three columns,
    a frame is 543 rows in the order of `landmarks.POINTS`, as in Kaggle's own loader. Rows of the
    iris, face 468 to 477, are left out. BadInput as `parquet_rows.batches`, and where a landmark is
    unknown, missing from a frame, or there twice with different values.
    """
    choose = functools.partial(_choose, path)
    from aslx.readers import parquet_rows  # Late: a training reads no table, and pyarrow is large.

    batches = list(parquet_rows.batches(path, choose, bounds, texts=("type",)))
    if not batches:
        return Clip(np.zeros((0, _POINTS, 3), np.float32), ())
    values_R3 = np.concatenate([batch.floats([*landmarks.AXES]) for batch in batches])
    mended = ()
    if "type" in batches[0].columns.schema.names:
        points_TN3, mended = _placed(path, batches, values_R3)
    elif len(values_R3) % _POINTS:
        raise errors.BadInput(f"{path} has {len(values_R3)} rows, and a frame has {_POINTS}")
    else:
        points_TN3 = values_R3.reshape(-1, _POINTS, 3)
    points_TN3, lost = mending.missing(points_TN3, landmarks.ALL)
    return Clip(points_TN3, (*mended, *lost))


def _choose(path: file_kinds.File, names: Collection[str]) -> list[str]:
    """The columns to read; BadInput names one that is missing."""
    there = [name for name in _PLACE if name in names]
    wanted = [*landmarks.AXES, *(_PLACE if there else ())]
    missing = [name for name in wanted if name not in names]
    if missing:
        raise errors.BadInput(
            f"{path} has no column {missing[0]!r}: a clip has {', '.join(_PLACE)}, x, y, z, or "
            "x, y, z alone"
        )
    return wanted


def _placed(
    path: file_kinds.File, batches: "Sequence[parquet_rows.Batch]", values_R3: np.ndarray
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Points f[T, N, 3] in the order of frames and landmarks, and what was put right."""
    frame_R = np.concatenate([batch.numbers("frame") for batch in batches])
    point_R = np.concatenate([_points(batch) for batch in batches])
    # Nearly always every frame is whole and in order, which takes a hundredth of the time.
    if len(frame_R) % _POINTS == 0 and (point_R.reshape(-1, _POINTS) == _ORDER).all():
        frame_TN = frame_R.reshape(-1, _POINTS)
        if (frame_TN == frame_TN[:, :1]).all():
            points_TN3 = values_R3.reshape(-1, _POINTS, 3)
            return mending.in_order(frame_TN[:, 0], points_TN3, str(path))
    known = point_R >= 0
    frame_R, point_R, values_R3 = frame_R[known], point_R[known], values_R3[known]
    frames_T, first_T, number_R = np.unique(frame_R, return_index=True, return_inverse=True)
    points_TN3 = np.full((len(frames_T), _POINTS, 3), np.nan, np.float32)
    points_TN3[number_R, point_R] = values_R3
    count_TN = np.zeros((len(frames_T), _POINTS), int)
    np.add.at(count_TN, (number_R, point_R), 1)
    if not count_TN.all():
        frame, point = np.argwhere(count_TN == 0)[0]
        raise errors.BadInput(
            f"{path} has no row of {landmarks.POINTS[point]} in frame {frames_T[frame]:g}: a frame "
            f"has {_POINTS} rows"
        )
    taken_R3 = points_TN3[number_R, point_R]
    same_R3 = (taken_R3 == values_R3) | (np.isnan(taken_R3) & np.isnan(values_R3))
    if not same_R3.all():
        row = int(np.argmin(same_R3.all(-1)))
        raise errors.BadInput(
            f"{path} has {landmarks.POINTS[point_R[row]]} of frame {frame_R[row]:g} twice, with "
            "other values"
        )
    mended = (mending.SORTED,) if (np.diff(first_T) < 0).any() else ()
    return points_TN3, (*mended, *([mending.TWICE] if (count_TN > 1).any() else ()))


def _points(batch: "parquet_rows.Batch") -> np.ndarray:
    """int[R]: the landmark of each row, -1 for a row that is left out."""
    codes, words = batch.texts("type")
    index_R = batch.integers("landmark_index")
    words = [*words, "nothing"]  # Code -1.
    begin = np.array([_BEGIN.get(word, -1) for word in words])[codes]
    size = np.array([landmarks.PARTS.get(word, 0) for word in words])[codes]
    iris = (begin == _BEGIN["face"]) & (index_R >= size) & (index_R < size + _IRIS)
    wrong = ~iris & ((index_R < 0) | (index_R >= size))
    if wrong.any():
        row = int(np.argmax(wrong))
        parts = ", ".join(f"{part} 0 to {n - 1}" for part, n in landmarks.PARTS.items())
        raise errors.BadInput(
            f"{batch.path}: row {batch.first + row} is the landmark {index_R[row]} of "
            f"{words[codes[row]]!r}, and there are {parts}"
        )
    return np.where(iris, -1, begin + index_R)
