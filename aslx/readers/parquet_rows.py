"""Columns of numbers out of a parquet, a few thousand rows at a time.

In a user's own file, columns of text are taken too if the text is numbers. A stranger's file is
held to `Bounds`. No footer is trusted: rows are counted, and a stranger's pages are measured.
"""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aslx import errors
from aslx.readers import file_kinds, parquet_bounds
from aslx.storage import files

_ROWS = 4096  # Read at a time: 6 MB of 390 columns.
# Bytes read ahead in each column. Without this, a whole column of Kaggle's files, which have one
# row group, would be read at once.
_READ_AHEAD = 1 << 16
_SHOWN = 40  # Characters of a value in an error.
_WORDS = {"float": "number that float32 can hold", "double": "number", "int64": "whole number"}
_TEXTS = (pa.string(), pa.large_string(), pa.string_view())


@dataclasses.dataclass(frozen=True)
class Batch:
    """Consecutive rows of a file."""

    path: file_kinds.File
    first: int  # The number of the first row in the file, from 0.
    columns: pa.RecordBatch

    def floats(self, names: Sequence[str]) -> np.ndarray:
        """float32[T, C] of these columns, NaN for nulls; BadInput names what is no number."""
        return self._cast(names, pa.float32()).to_tensor(null_to_nan=True).to_numpy()

    def numbers(self, name: str) -> np.ndarray:
        """float64[T] of a column; BadInput names the first value that is no number."""
        return self._whole(name, pa.float64())

    def integers(self, name: str) -> np.ndarray:
        """int64[T] of a column; BadInput names the first value that is no whole number."""
        return self._whole(name, pa.int64())

    def texts(self, name: str) -> tuple[np.ndarray, list]:
        """A column of text: i64[T], -1 for nulls, and the text for each of these numbers."""
        coded = self.columns.column(name)
        if not pa.types.is_dictionary(coded.type):
            coded = coded.dictionary_encode()
        codes = coded.indices.cast(pa.int64()).fill_null(-1)
        return codes.to_numpy(zero_copy_only=False), _values(coded.dictionary)

    def _whole(self, name: str, kind: pa.DataType) -> np.ndarray:
        found = self._cast([name], kind)
        if found.column(0).null_count:
            lost = found.column(0).is_null(nan_is_null=True)
            self._refuse(name, kind, lost.index(True).as_py())
        # Through a tensor, because an array's to_numpy imports pandas where that is installed.
        values = found.to_tensor().to_numpy()[:, 0]
        if np.isnan(values).any():
            self._refuse(name, kind, int(np.isnan(values).argmax()))
        return values

    def _cast(self, names: Sequence[str], kind: pa.DataType) -> pa.RecordBatch:
        try:
            return pa.record_batch([_cast(self.columns.column(n), kind) for n in names], [*names])
        except pa.ArrowInvalid:
            for name in names:
                self._check(name, kind)
            raise

    def _check(self, name: str, kind: pa.DataType) -> None:
        column = self.columns.column(name)
        for row in range(len(column)):
            try:
                _cast(column.slice(row, 1), kind)
            except pa.ArrowInvalid:
                self._refuse(name, kind, row)

    def _refuse(self, name: str, kind: pa.DataType, row: int) -> None:
        cell = self.columns.column(name).slice(row, 1)
        if pa.types.is_dictionary(cell.type):
            cell = cell.dictionary_decode()
        (value,) = map(repr, _values(cell))
        if len(value) > _SHOWN:
            value = f"{value[:_SHOWN]}..."
        raise errors.BadInput(
            f"{self.path}: {name} is {value} in row {self.first + row}, and no {_WORDS[str(kind)]}"
        )


def _values(array: pa.Array) -> list:
    """Python's values; text of a damaged file may be no UTF-8."""
    if array.type in _TEXTS:
        raw = array.cast(pa.large_binary()).to_pylist()
        return [word if word is None else word.decode(errors="replace") for word in raw]
    return array.to_pylist()


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type == kind:  # Arrow's first cast loads libraries of 8 MB.
        return column
    if not pa.types.is_dictionary(column.type):
        return column.cast(kind)
    # Only the words of these rows: a word of other rows may be no number.
    codes = column.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    used, place = np.unique(codes, return_inverse=True)
    words = column.dictionary.take(pa.array(used, mask=used < 0))
    return words.cast(kind).take(pa.array(place))


def batches(
    path: file_kinds.File,
    choose: Callable[[Sequence[str]], Sequence[str]],
    bounds: parquet_bounds.Bounds | None = None,
    texts: Sequence[str] = (),
) -> Iterator[Batch]:
    """The columns that `choose` picks from the file's names, in the order of the rows.

    All but `texts` hold numbers. Before a row is read, BadInput tells of a file that is missing,
    damaged or no parquet, or of a column of another type; `parquet_bounds.TooMuch` of a stranger's
    file that exceeds its `bounds`, which are None for a user's own.
    """
    with _opened(path) as source:
        groups = parquet_bounds.chunks(path, source) if bounds else []
        lists = parquet_bounds.MOST_LISTED if bounds else None
        with pq.ParquetFile(source, thrift_container_size_limit=lists, pre_buffer=False) as file:
            schema, metadata = file.schema_arrow, file.metadata
        chosen = list(choose(schema.names))
        for name in chosen:
            _check_type(path, schema, name, "text" if name in texts else "numbers", own=not bounds)
        if bounds:
            parquet_bounds.check(path, source, groups, metadata, chosen, bounds)
        with pq.ParquetFile(
            source,
            metadata=metadata,
            # As a dictionary, a text that occurs a million times is stored once.
            read_dictionary=[name for name in chosen if _plain_type(schema, name) in _TEXTS],
            buffer_size=_READ_AHEAD,
            pre_buffer=False,
            page_checksum_verification=True,  # Where the file has checksums.
        ) as file:
            first = 0
            for columns in file.iter_batches(_ROWS, columns=chosen, use_threads=False):
                if first + columns.num_rows > metadata.num_rows:
                    raise pa.ArrowInvalid(f"more than {metadata.num_rows} rows")
                if columns.num_rows:
                    yield Batch(path, first, columns)
                first += columns.num_rows
        if first < metadata.num_rows:
            raise pa.ArrowInvalid(f"{first} of {metadata.num_rows} rows")


def names(path: file_kinds.File) -> list[str]:
    """The columns of a stranger's file; BadInput as in `batches`."""
    with _opened(path) as source:
        parquet_bounds.chunks(path, source)
        most = parquet_bounds.MOST_LISTED
        with pq.ParquetFile(source, thrift_container_size_limit=most) as file:
            return file.schema_arrow.names


@contextlib.contextmanager
def _opened(path: file_kinds.File) -> Iterator[pa.NativeFile]:
    """The open file; BadInput where it turns out to be no parquet. A disk's fault stays one."""
    try:
        with files.given(str(path)), contextlib.ExitStack() as stack:
            if isinstance(path, (str, os.PathLike)):
                yield stack.enter_context(pa.OSFile(os.fspath(path)))
            else:
                yield pa.PythonFile(path, mode="r")
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise errors.BadInput(
            f"{path} is damaged or no parquet file, fetch it again: {error}"
        ) from error


def _plain_type(schema: pa.Schema, name: str) -> pa.DataType:
    kind = schema.field(name).type
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _check_type(
    path: file_kinds.File, schema: pa.Schema, name: str, wanted: str, *, own: bool
) -> None:
    """BadInput where a column does not hold what is wanted; numbers may be text in one's `own`."""
    if len(schema.get_all_field_indices(name)) > 1:
        raise errors.BadInput(f"{path} has the column {name!r} more than once")
    kind, types = _plain_type(schema, name), pa.types
    text, decimal = kind in _TEXTS, types.is_decimal(kind)
    number = types.is_integer(kind) or types.is_floating(kind)
    number = number or types.is_boolean(kind) or types.is_null(kind)
    if not (text if wanted == "text" else number or (own and (text or decimal))):
        raise errors.BadInput(f"{path}: the column {name!r} holds {kind}, and not {wanted}")
