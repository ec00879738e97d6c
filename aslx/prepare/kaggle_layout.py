"""The columns of Kaggle's asl-fingerspelling parquet files: `frame`, landmarks, and `sequence_id`,
of which pandas makes the index.
"""

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from aslx import errors
from aslx.prepare.synthetic_hand import spelling
from aslx.schema import landmarks

COLUMNS = tuple(f"{axis}_{point}" for axis in landmarks.AXES for point in landmarks.POINTS)


def checked(columns: Sequence[str]) -> tuple[str, ...]:
    """The same, or a BadInput that names what is no landmark's column or comes twice."""
    foreign = sorted(set(columns) - set(COLUMNS))
    if foreign:
        raise errors.BadInput(f"no landmark has the columns {', '.join(foreign[:3])}")
    twice = sorted({c for c in columns if columns.count(c) > 1})
    if twice:
        raise errors.BadInput(f"columns given twice: {', '.join(twice[:3])}")
    return tuple(columns)


def schema(columns: tuple[str, ...]) -> pa.Schema:
    """With the pandas metadata by which `pd.read_parquet` makes sequence_id the index."""
    fields = [pa.field("frame", pa.int16())]
    fields += [pa.field(c, pa.float32()) for c in columns]
    fields += [pa.field("sequence_id", pa.int64())]
    pandas = {
        "index_columns": ["sequence_id"],
        "column_indexes": [
            {
                "name": None,
                "field_name": None,
                "pandas_type": "unicode",
                "numpy_type": "object",
                "metadata": {"encoding": "UTF-8"},
            }
        ],
        "columns": [
            {
                "name": f.name,
                "field_name": f.name,
                "pandas_type": {"float": "float32"}.get(str(f.type), str(f.type)),
                "numpy_type": {"float": "float32"}.get(str(f.type), str(f.type)),
                "metadata": None,
            }
            for f in fields
        ],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "1.5.3",
    }
    return pa.schema(fields, metadata={"pandas": json.dumps(pandas)})


def wanted_points(columns: tuple[str, ...]) -> dict[str, list[int]]:
    """Part -> the points of it that some column needs; hands whole."""
    used = {c[2:] for c in columns}
    return {
        part: [i for i in range(n) if "hand" in part or f"{part}_{i}" in used]
        for part, n in landmarks.PARTS.items()
    }


def table(
    columns: tuple[str, ...],
    parts: dict[str, np.ndarray],
    batch: spelling.Batch,
    ids: np.ndarray,
) -> pa.Table:
    """A row a frame, of `recording.record`'s parts; `ids` int64[S] number the sequences."""
    at = {
        f"{part}_{i}": (part, k)
        for part, points in wanted_points(columns).items()
        for k, i in enumerate(points)
    }
    by_axis = {part: np.ascontiguousarray(p.transpose(2, 1, 0)) for part, p in parts.items()}
    starts = np.cumsum(batch.frames) - batch.frames
    frame = np.arange(len(batch.sequence)) - starts[batch.sequence]
    arrays = [pa.array(frame.astype(np.int16))]
    for column in columns:
        part, point = at[column[2:]]
        values = by_axis[part][landmarks.AXES.index(column[0]), point]
        arrays.append(pa.array(values, from_pandas=True))
    arrays.append(pa.array(ids[batch.sequence]))
    return pa.Table.from_arrays(arrays, schema=schema(columns))
