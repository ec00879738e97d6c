"""Kaggle's landmark parquet, read a sequence at a time in bounded memory."""

import os
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aslx import errors, landmarks

# The file's own column, or pandas' name for an index that was stored without one.
_KEYS = ("sequence_id", "__index_level_0__")
_ROWS = 4096  # Frames decoded at a time: 6 MB of 390 columns.
# Bytes read ahead in each column. Kaggle's files hold one row group, so that without this a whole
# column would be fetched at once.
_READ_AHEAD = 1 << 16


def sequences(
    path: str | os.PathLike | BinaryIO, selection: landmarks.Selection
) -> Iterator[tuple[int, np.ndarray]]:
    """(sequence_id, float32[T, N, 3]) of every sequence, in file order, NaN where a part was lost.

    Reads the selection's columns and `sequence_id`, which may be a column or the pandas index. A
    sequence is a run of consecutive rows. BadInput where the file is no whole parquet, lacks a
    column, or holds a sequence in two places, or is not there.
    """
    seen: set[int] = set()
    current, pieces = -1, []
    for ids, clip_TN3 in _batches(path, selection):
        starts = np.flatnonzero(np.diff(ids)) + 1
        for a, b in zip([0, *starts], [*starts, len(ids)], strict=True):
            if pieces and ids[a] != current:
                yield current, np.concatenate(pieces)
                pieces = []
            if not pieces:
                current = int(ids[a])
                if current in seen:
                    raise errors.BadInput(
                        f"{path}: the rows of sequence {current} are not together; sort the file "
                        "by sequence_id and frame"
                    )
                seen.add(current)
            pieces.append(clip_TN3[a:b])
    if pieces:
        yield current, np.concatenate(pieces)


def _batches(
    path: str | os.PathLike | BinaryIO, selection: landmarks.Selection
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(sequence ids int64[T], float32[T, N, 3]) of a few thousand consecutive rows at a time."""
    try:
        with pq.ParquetFile(path, buffer_size=_READ_AHEAD, pre_buffer=False) as file:
            key = _check_columns(path, file.schema_arrow.names, selection)
            ids_schema = pa.schema([(key, pa.int64())])
            values_schema = pa.schema([(name, pa.float32()) for name in selection.columns])
            for batch in file.iter_batches(
                _ROWS, columns=[*selection.columns, key], use_threads=False
            ):
                # Tensors, because an array's to_numpy imports pandas where that is installed.
                ids = batch.select([key]).cast(ids_schema).to_tensor().to_numpy()[:, 0]
                values = batch.select(selection.columns).cast(values_schema)
                columns_TC = values.to_tensor(null_to_nan=True).to_numpy()
                if batch.num_rows:
                    # selection.from_columns, but contiguous, which is eight times as fast to read.
                    yield ids, np.stack(np.split(columns_TC, len(landmarks.AXES), axis=1), axis=-1)
    except FileNotFoundError:
        raise errors.BadInput(f"there is no file {path}") from None
    except (pa.ArrowException, OSError) as error:
        raise errors.BadInput(
            f"{path} is damaged or no parquet file, fetch it again: {error}"
        ) from error


def _check_columns(
    path: str | os.PathLike | BinaryIO, names: list[str], selection: landmarks.Selection
) -> str:
    """The column of sequence ids; BadInput names what is missing."""
    there = set(names)
    missing = [name for name in selection.columns if name not in there]
    key = next((name for name in _KEYS if name in names), None)
    if key is None:
        missing = ["sequence_id", *missing]
    if missing or key is None:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise errors.BadInput(
            f"{path} has no column {missing[0]!r}{others}, which the selection "
            f"{selection.name} reads"
        )
    return key
