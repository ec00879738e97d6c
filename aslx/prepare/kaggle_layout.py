"""The columns of Kaggle's asl-fingerspelling parquet files: `frame`, landmarks, and `sequence_id`,
of which pandas makes the index.
"""

import json
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa


def schema(columns: Sequence[str]) -> pa.Schema:
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


def table(
    columns: Sequence[str], frame: np.ndarray, values: Iterable[np.ndarray], ids: np.ndarray
) -> pa.Table:
    """A row a frame: int[F] of its number in the sequence, f32[F] of each column, NaN where it is
    lost, and int64[F] of the sequence."""
    arrays = [pa.array(frame.astype(np.int16))]
    arrays += [pa.array(column, from_pandas=True) for column in values]
    return pa.Table.from_arrays([*arrays, pa.array(ids)], schema=schema(columns))
