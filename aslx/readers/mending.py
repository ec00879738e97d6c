"""Faults in clips of landmarks that are put right when they are read, and the words for them."""

from collections.abc import Mapping

import numpy as np

from aslx import errors
from aslx.schema import landmarks

SORTED = "frames out of order: sorted"
COMPOSED = "letters and accents apart in the phrase: taken together (Unicode's NFC)"
TWICE = "frames that come twice: taken once"
SPACES = "spaces at the ends of the phrase: left out"
ZEROS = "zeros for a part that was lost: taken for missing"
RESIZED = "a normalised size: depths put back to fractions of the picture's width"
RESIZED_FROM_UNKNOWN = (
    "a normalised size, and no note of the picture's width: depths moved back, of another scale"
)
MOVED = "hands whose depths do not begin at the wrist: moved there"
TURNED = "hands that were normalised one by one, their wrists at rest: read as they are"


def in_order(
    frames_T: np.ndarray, points_TN3: np.ndarray, where: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The points sorted by frame number, each frame once, and what was put right.

    BadInput where a number occurs twice with different points.
    """
    steps = np.diff(frames_T)
    if (steps > 0).all():
        return points_TN3, ()
    mended = [SORTED] if (steps < 0).any() else []
    order = np.argsort(frames_T, kind="stable")
    frames_T, points_TN3 = frames_T[order], points_TN3[order]
    again = np.flatnonzero(np.diff(frames_T) == 0) + 1
    for i in again:
        if not np.array_equal(points_TN3[i - 1], points_TN3[i], equal_nan=True):
            raise errors.BadInput(
                f"{where} has frame {frames_T[i]:g} twice, with other values: number the frames of "
                "a sequence, or leave the column frame out"
            )
    mended += [TWICE] if len(again) else []
    return np.delete(points_TN3, again, axis=0), tuple(mended)


def missing(
    points_TN3: np.ndarray, selection: landmarks.Selection
) -> tuple[np.ndarray, tuple[str, ...]]:
    """`landmarks.lost_where_zero`, and what was put right."""
    points_TN3, count = landmarks.lost_where_zero(points_TN3, selection)
    return points_TN3, (ZEROS,) if count else ()


def said(counts: Mapping[str, int]) -> list[str]:
    """A line for each fault: the number of clips that had it."""
    return [f"{n:,} clip{'s' * (n != 1)} had {kind}" for kind, n in counts.items() if n]
