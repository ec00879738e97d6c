"""Kaggle's landmark parquet, read one sequence at a time in bounded memory."""

import dataclasses
import functools
import itertools
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import numpy as np

from aslx import errors
from aslx.readers import file_kinds, mending
from aslx.schema import landmarks

if TYPE_CHECKING:
    from aslx.readers import parquet_bounds

# The file's own column, or pandas' name for an index that was stored without a name.
_KEYS = ("sequence_id", "__index_level_0__")
_FRAME = "frame"


@dataclasses.dataclass(frozen=True)
class Sequence:
    """A clip of a file."""

    id: int
    points: np.ndarray  # float32[T, N, 3], NaN where a part was lost.
    mended: tuple[str, ...]  # What was put right, in words of `mending`.


def read(
    path: file_kinds.File,
    selection: landmarks.Selection,
    bounds: "parquet_bounds.Bounds | None" = None,
) -> Iterator[Sequence]:
    """Every sequence, in file order.

    Reads the selection's columns, `sequence_id`, which may be a column or the pandas index, and
    `frame`, if there is one: frames are sorted by it. A sequence is a run of consecutive rows.
    BadInput as `parquet_rows.batches`, and where a column is missing, the rows of a sequence are
    not together, a value is no number, or a frame occurs twice with different values.
    """
    seen: set[int] = set()
    for number, pieces in itertools.groupby(
        _pieces(path, selection, bounds), lambda piece: piece[0]
    ):
        if number in seen:
            raise errors.BadInput(
                f"{path}: the rows of sequence {number} are not together; sort the file by "
                "sequence_id and frame"
            )
        seen.add(number)
        columns = zip(*(columns for _, columns in pieces), strict=True)
        clip_TN3, *frames = map(np.concatenate, columns)
        clip_TN3, lost = mending.missing(clip_TN3, selection)
        mended = ()
        if frames:
            clip_TN3, mended = mending.in_order(frames[0], clip_TN3, f"{path}: sequence {number}")
        yield Sequence(number, clip_TN3, (*mended, *lost))


def _pieces(
    path: file_kinds.File, selection: landmarks.Selection, bounds: "parquet_bounds.Bounds | None"
) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Consecutive rows of one sequence: its id, the points float32[T, N, 3] and, where the file has
    them, frame numbers float64[T]."""
    choose = functools.partial(_choose, path, selection)
    from aslx.readers import parquet_rows  # Late: a training reads no table, and pyarrow is large.

    for batch in parquet_rows.batches(path, choose, bounds):
        names = batch.columns.schema.names
        columns_TC = batch.floats(selection.columns)
        # selection.from_columns, but contiguous, which is eight times as fast to read.
        columns = [np.stack(np.split(columns_TC, len(landmarks.AXES), axis=1), axis=-1)]
        if _FRAME in names:
            columns.append(batch.numbers(_FRAME))
        ids = batch.integers(_key(names))
        starts = np.flatnonzero(np.diff(ids)) + 1
        for a, b in itertools.pairwise([0, *starts, len(ids)]):
            yield int(ids[a]), [column[a:b] for column in columns]


def _key(names: Collection[str]) -> str:
    return next((name for name in _KEYS if name in names), "")


def _choose(
    path: file_kinds.File, selection: landmarks.Selection, names: Collection[str]
) -> list[str]:
    """The columns to read; BadInput names one that is missing."""
    there, key = set(names), _key(names)
    missing = [name for name in selection.columns if name not in there]
    if not key:
        missing = ["sequence_id", *missing]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise errors.BadInput(
            f"{path} has no column {missing[0]!r}{others}, which the selection {selection.name} "
            "reads"
        )
    return [*selection.columns, key, *([_FRAME] if _FRAME in there else ())]
