"""Kaggle's landmark parquet, read a sequence at a time in bounded memory."""

import dataclasses
import functools
import os
from collections.abc import Collection, Iterator
from typing import BinaryIO

import numpy as np

from aslx import errors
from aslx.readers import mending, parquet_rows
from aslx.schema import landmarks

# The file's own column, or pandas' name for an index that was stored without one.
_KEYS = ("sequence_id", "__index_level_0__")
_FRAME = "frame"


@dataclasses.dataclass(frozen=True)
class Sequence:
    """A clip of a file."""

    id: int
    points: np.ndarray  # float32[T, N, 3], NaN where a part was lost.
    mended: tuple[str, ...]  # What was put right: words of `mending`.


def sequences(
    path: str | os.PathLike | BinaryIO,
    selection: landmarks.Selection,
    bounds: parquet_rows.Bounds | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """`read`, as pairs of the id and the points."""
    return ((sequence.id, sequence.points) for sequence in read(path, selection, bounds))


def read(
    path: str | os.PathLike | BinaryIO,
    selection: landmarks.Selection,
    bounds: parquet_rows.Bounds | None = None,
) -> Iterator[Sequence]:
    """Every sequence, in file order.

    Reads the selection's columns, `sequence_id`, which may be a column or the pandas index, and
    `frame` where it is there: frames are put into its order. A sequence is a run of consecutive
    rows. BadInput as `rows.batches`, and where the file lacks a column, or holds a sequence in two
    places, or a value is no number, or a frame comes twice with other values.
    """
    seen: set[int] = set()
    current, pieces = -1, []
    for ids, *columns in _batches(path, selection, bounds):
        starts = np.flatnonzero(np.diff(ids)) + 1
        for a, b in zip([0, *starts], [*starts, len(ids)], strict=True):
            if pieces and ids[a] != current:
                yield _sequence(current, pieces, path, selection)
                pieces = []
            if not pieces:
                current = int(ids[a])
                if current in seen:
                    raise errors.BadInput(
                        f"{path}: the rows of sequence {current} are not together; sort the file "
                        "by sequence_id and frame"
                    )
                seen.add(current)
            pieces.append([column[a:b] for column in columns])
    if pieces:
        yield _sequence(current, pieces, path, selection)


def _sequence(
    number: int,
    pieces: list[list[np.ndarray]],
    path: str | os.PathLike | BinaryIO,
    selection: landmarks.Selection,
) -> Sequence:
    clip_TN3, *frames = (np.concatenate(column) for column in zip(*pieces, strict=True))
    clip_TN3, lost = mending.missing(clip_TN3, selection)
    mended = ()
    if frames:
        clip_TN3, mended = mending.in_order(frames[0], clip_TN3, f"{path}: sequence {number}")
    return Sequence(number, clip_TN3, (*mended, *lost))


def _batches(
    path: str | os.PathLike | BinaryIO,
    selection: landmarks.Selection,
    bounds: parquet_rows.Bounds | None,
) -> Iterator[tuple[np.ndarray, ...]]:
    """Sequence ids int64[T], float32[T, N, 3] and, where they are there, frame numbers float64[T]
    of a few thousand consecutive rows at a time."""
    choose = functools.partial(_choose, path, selection)
    for batch in parquet_rows.batches(path, choose, bounds):
        names = batch.columns.schema.names
        columns_TC = batch.floats(selection.columns)
        # selection.from_columns, but contiguous, which is eight times as fast to read.
        clip_TN3 = np.stack(np.split(columns_TC, len(landmarks.AXES), axis=1), axis=-1)
        frames = (batch.numbers(_FRAME),) if _FRAME in names else ()
        yield batch.integers(_key(names)), clip_TN3, *frames


def _key(names: Collection[str]) -> str:
    return next((name for name in _KEYS if name in names), "")


def _choose(
    path: str | os.PathLike | BinaryIO, selection: landmarks.Selection, names: Collection[str]
) -> list[str]:
    """The columns to read; BadInput names what is missing."""
    there, key = set(names), _key(names)
    missing = [name for name in selection.columns if name not in there]
    if not key:
        missing = ["sequence_id", *missing]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise errors.BadInput(
            f"{path} has no column {missing[0]!r}{others}, which the selection "
            f"{selection.name} reads"
        )
    return [*selection.columns, key, *([_FRAME] if _FRAME in there else ())]
