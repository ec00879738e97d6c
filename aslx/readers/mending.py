"""What is put right in a clip of landmarks when it is read, and how it is said."""

from collections.abc import Mapping

import numpy as np

from aslx import errors
from aslx.schema import landmarks

SORTED = "frames out of order: sorted"
TWICE = "frames that come twice: taken once"
SPACES = "spaces at the ends of the phrase: left out"
ZEROS = "zeros for a part that was lost: taken for missing"


def in_order(
    frames_T: np.ndarray, points_TN3: np.ndarray, where: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Points in the order of their frames' numbers, each frame once, and what was mended.

    BadInput where a number comes twice, with other points.
    """
    steps = np.diff(frames_T)
    if (steps > 0).all():
        return points_TN3, ()
    mended = (SORTED,) if (steps < 0).any() else ()
    order = np.argsort(frames_T, kind="stable")
    frames_T, points_TN3 = frames_T[order], points_TN3[order]
    again = np.flatnonzero(np.diff(frames_T) == 0) + 1
    if not len(again):
        return points_TN3, mended
    same = np.array([np.array_equal(*points_TN3[[i - 1, i]], equal_nan=True) for i in again])
    if not same.all():
        raise errors.BadInput(
            f"{where} has frame {frames_T[again[~same]][0]:g} twice, with other values: number the "
            "frames of a sequence, or leave the column frame out"
        )
    return np.delete(points_TN3, again, axis=0), (*mended, TWICE)


def missing(
    points_TN3: np.ndarray, selection: landmarks.Selection
) -> tuple[np.ndarray, tuple[str, ...]]:
    """`landmarks.lost_where_zero`, and what was mended."""
    points_TN3, count = landmarks.lost_where_zero(points_TN3, selection)
    return points_TN3, (ZEROS,) if count else ()


def said(counts: Mapping[str, int]) -> list[str]:
    """A line for each kind of mending and the number of clips that had it."""
    return [f"{n:,} clip{'s' * (n != 1)} had {kind}" for kind, n in counts.items() if n]
