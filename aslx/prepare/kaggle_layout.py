"""The files of Kaggle's asl-fingerspelling: parquet with the columns `frame`, landmarks and
`sequence_id`, which pandas makes the index, and the csv that lists their clips.
"""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from aslx.storage import files


def schema(columns: Sequence[str]) -> pa.Schema:
    """With the pandas metadata by which `pd.read_parquet` makes sequence_id the index."""
    fields = [pa.field("frame", pa.int16())]
    fields += [pa.field(c, pa.float32()) for c in columns]
    fields += [pa.field("sequence_id", pa.int64())]
    types = ["float32" if f.type == pa.float32() else str(f.type) for f in fields]
    pandas = {
        "index_columns": ["sequence_id"],
        "column_indexes": [_described(None, "unicode", "object", {"encoding": "UTF-8"})],
        "columns": [_described(f.name, t, t, None) for f, t in zip(fields, types, strict=True)],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "1.5.3",
    }
    return pa.schema(fields, metadata={"pandas": json.dumps(pandas)})


def _described(name: str | None, pandas_type: str, numpy_type: str, metadata: Any) -> dict:
    names = {"name": name, "field_name": name}
    return names | {"pandas_type": pandas_type, "numpy_type": numpy_type, "metadata": metadata}


def table(
    columns: Sequence[str], frame: np.ndarray, values: Iterable[np.ndarray], ids: np.ndarray
) -> pa.Table:
    """A row a frame: int[F] of its number in the sequence, f32[F] of each column, NaN where the
    point is lost, and int64[F] of the sequence."""
    arrays = [pa.array(frame.astype(np.int16))]
    arrays += [pa.array(column, from_pandas=True) for column in values]
    return pa.Table.from_arrays([*arrays, pa.array(ids)], schema=schema(columns))


def write_csv(
    path: files.Path, rows: Iterable[Iterable[str | int]], *, holds: bool = False
) -> None:
    """Writes (path of the parquet, file_id, sequence_id, participant_id, phrase) of each clip; with
    `holds` also a column of `phrase_clips.written`, which Kaggle's files lack."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = ["path", "file_id", "sequence_id", "participant_id", "phrase"]
    writer.writerow(names + ["holds"] * holds)
    writer.writerows(rows)
    files.write(path, text.getvalue())
