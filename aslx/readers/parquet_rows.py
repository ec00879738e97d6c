"""Columns of numbers out of a parquet, some thousand rows at a time.

Of a user's own file columns of text are taken too, if the text is numbers. What a stranger sends is
held to `Bounds`. No footer is believed: rows are counted, and a stranger's pages are measured.
"""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aslx import errors
from aslx.readers import parquet_sizes
from aslx.storage import files

_ROWS = 4096  # Read at a time: 6 MB of 390 columns.
# Bytes read ahead in each column. Kaggle's files hold one row group, so that without this a whole
# column would be fetched at once.
_READ_AHEAD = 1 << 16
_MOST_FOOTER = 1 << 20  # Bytes of a stranger's; Kaggle's 1,631 columns have 0.3 MB a row group.
# Row groups, or columns, of a stranger's: for each that a footer announces, memory is taken before
# it is looked for.
_MOST_LISTED = 20_000
_SHOWN = 40  # Characters of a value in an error.
_WORDS = {"float": "number that float32 can hold", "double": "number", "int64": "whole number"}
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_NUMBERS = (
    *(pa.types.is_integer, pa.types.is_floating),
    *(pa.types.is_boolean, pa.types.is_null),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bounds:
    """What a stranger's parquet may make us take."""

    rows: int
    bytes: int
    """Of the pages of all columns that are read, decompressed."""


class TooMuch(errors.BadInput):
    """A file that is larger than its `Bounds`."""


@dataclasses.dataclass(frozen=True)
class Batch:
    """Consecutive rows of a file."""

    path: str | os.PathLike | BinaryIO
    first: int  # Which row of the file is the first here, from 0.
    columns: pa.RecordBatch

    def floats(self, names: Sequence[str]) -> np.ndarray:
        """float32[T, C] of these columns, NaN where there is nothing; BadInput names what is no
        number."""
        return self._cast(names, pa.float32()).to_tensor(null_to_nan=True).to_numpy()

    def numbers(self, name: str) -> np.ndarray:
        """float64[T] of a column; BadInput names the first that is none, or nothing."""
        values = self._cast([name], pa.float64()).to_tensor(null_to_nan=True).to_numpy()[:, 0]
        if np.isnan(values).any():
            self._refuse(name, "double", int(np.argmax(np.isnan(values))))
        return values

    def integers(self, name: str) -> np.ndarray:
        """int64[T] of a column; BadInput as `numbers`."""
        found = self._cast([name], pa.int64())
        if found.column(0).null_count:
            self._refuse(name, "int64", found.column(0).is_null().index(True).as_py())
        # Tensors, because an array's to_numpy imports pandas where that is installed.
        return found.to_tensor().to_numpy()[:, 0]

    def texts(self, name: str) -> tuple[np.ndarray, list]:
        """int[T], -1 where there is nothing, and what the numbers stand for: a column of text."""
        coded = self.columns.column(name)
        if not pa.types.is_dictionary(coded.type):
            coded = coded.dictionary_encode()
        codes = coded.indices.cast(pa.int64()).fill_null(-1)
        return codes.to_numpy(zero_copy_only=False), _plain(coded.dictionary)

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
                self._refuse(name, str(kind), row)

    def _refuse(self, name: str, kind: str, row: int) -> None:
        cell = self.columns.column(name).slice(row, 1)
        if pa.types.is_dictionary(cell.type):
            cell = cell.dictionary_decode()
        (value,) = map(repr, _plain(cell))
        if len(value) > _SHOWN:
            value = f"{value[:_SHOWN]}..."
        raise errors.BadInput(
            f"{self.path}: {name} is {value} in row {self.first + row}, and no {_WORDS[kind]}"
        )


def _is_text(kind: pa.DataType) -> bool:
    return any(test(kind) for test in _TEXTS)


def _plain(values: pa.Array) -> list:
    """Python's values; text of a damaged file may be no UTF-8."""
    if _is_text(values.type):
        raw = values.cast(pa.large_binary()).to_pylist()
        return [word if word is None else word.decode(errors="replace") for word in raw]
    return values.to_pylist()


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        # Only the words of these rows: others are none of their business.
        codes = column.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        used, place = np.unique(codes, return_inverse=True)
        words = column.dictionary.take(pa.array(used, mask=used < 0))
        return words.cast(kind).take(pa.array(place))
    return column.cast(kind)


def batches(
    path: str | os.PathLike | BinaryIO,
    choose: Callable[[Sequence[str]], Sequence[str]],
    bounds: Bounds | None = None,
    texts: Sequence[str] = (),
) -> Iterator[Batch]:
    """The columns that `choose` takes of those that are there, in the order of the rows.

    All but `texts` are numbers. BadInput where the file is no whole parquet, or is not there, or a
    column is of another type, which is found before a row is read; `TooMuch` where the file passes
    its bounds.
    """
    with _sound(path):
        groups = [] if bounds is None else _chunks(path)
        lists = None if bounds is None else _MOST_LISTED
        with pq.ParquetFile(path, thrift_container_size_limit=lists, pre_buffer=False) as file:
            schema, metadata = file.schema_arrow, file.metadata
        chosen = list(choose(schema.names))
        words = _check_types(path, schema, chosen, texts, bounds)
        if bounds is not None:
            _check_size(path, metadata, groups, chosen, bounds)
        # As a dictionary a text that comes a million times takes its place once.
        with pq.ParquetFile(
            path,
            metadata=metadata,
            read_dictionary=words,
            buffer_size=_READ_AHEAD,
            pre_buffer=False,
            page_checksum_verification=True,  # Where the file has checksums.
        ) as file:
            first = 0
            for columns in file.iter_batches(_ROWS, columns=chosen, use_threads=False):
                if first + columns.num_rows > metadata.num_rows:
                    raise errors.BadInput(_damaged(path, f"more than {metadata.num_rows} rows"))
                if columns.num_rows:
                    yield Batch(path, first, columns)
                first += columns.num_rows
        if first < metadata.num_rows:
            raise errors.BadInput(_damaged(path, f"{first} of {metadata.num_rows} rows"))


def names(path: str | os.PathLike | BinaryIO) -> list[str]:
    """The columns of a stranger's file; BadInput as `batches`."""
    with _sound(path):
        _chunks(path)
        with pq.ParquetFile(path, thrift_container_size_limit=_MOST_LISTED) as file:
            return file.schema_arrow.names


@contextlib.contextmanager
def _sound(path: str | os.PathLike | BinaryIO) -> Iterator[None]:
    """BadInput where what is read is no parquet; a fault of the disk stays one."""
    try:
        with files.given(str(path)):
            yield
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise errors.BadInput(_damaged(path, error)) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise errors.BadInput(_damaged(path, error)) from error


def _damaged(path: str | os.PathLike | BinaryIO, why: object) -> str:
    return f"{path} is damaged or no parquet file, fetch it again: {why}"


def _check_types(
    path: str | os.PathLike | BinaryIO,
    schema: pa.Schema,
    chosen: Sequence[str],
    texts: Sequence[str],
    bounds: Bounds | None,
) -> list[str]:
    """The chosen columns that hold text; BadInput names one that is not of numbers."""
    words, own = [], bounds is None
    for name in chosen:
        if len(schema.get_all_field_indices(name)) > 1:
            raise errors.BadInput(f"{path} has the column {name!r} more than once")
        kind = schema.field(name).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        text = _is_text(kind)
        decimal = pa.types.is_decimal(kind)
        number = any(test(kind) for test in _NUMBERS)
        if not (text if name in texts else number or (own and (text or decimal))):
            wanted = "text" if name in texts else "numbers"
            raise errors.BadInput(f"{path}: the column {name!r} holds {kind}, and not {wanted}")
        if text:
            words.append(name)
    return words


def _chunks(path: str | os.PathLike | BinaryIO) -> list[list[parquet_sizes.Chunk]]:
    """Where the columns of each row group lie in a stranger's file; BadInput where its footer
    cannot be read, or `TooMuch` where that would take much memory."""
    with _open(path) as f:
        length = f.seek(0, os.SEEK_END)
        f.seek(max(0, length - 8))
        size = int.from_bytes(f.read(4), "little")
        if size > length - 8:
            raise errors.BadInput(_damaged(path, "its footer is longer than the file"))
        if size > _MOST_FOOTER:
            raise TooMuch(f"{path} has a footer of {size} bytes: at most {_MOST_FOOTER} are taken")
        f.seek(length - 8 - size)
        footer = f.read(size)
    try:
        return parquet_sizes.chunks(footer, _MOST_LISTED)
    except ValueError as error:
        raise errors.BadInput(_damaged(path, error)) from None


def _check_size(
    path: str | os.PathLike | BinaryIO,
    metadata: pq.FileMetaData,
    groups: Sequence[Sequence[parquet_sizes.Chunk]],
    chosen: Sequence[str],
    bounds: Bounds,
) -> None:
    """BadInput, or TooMuch, where the chosen columns cannot be read within the bounds."""
    if metadata.num_rows > bounds.rows:
        raise TooMuch(f"{path} has {metadata.num_rows} rows: at most {bounds.rows} are taken")
    schema = metadata.schema
    columns = [i for i in range(metadata.num_columns) if schema.column(i).path in chosen]
    if any(len(group) != metadata.num_columns for group in groups):
        raise errors.BadInput(_damaged(path, "a row group lacks a column"))
    with _open(path) as f:
        room, total = f.seek(0, os.SEEK_END), 0
        for begin, size in (group[i] for group in groups for i in columns):
            room -= size
            if room < 0:
                raise errors.BadInput(_damaged(path, "its columns lie one over the other"))
            f.seek(begin)
            try:
                total += parquet_sizes.decoded(f.read(size))
            except ValueError as error:
                raise errors.BadInput(_damaged(path, error)) from None
            if total > bounds.bytes:
                raise TooMuch(f"{path} decodes to more than {bounds.bytes} bytes")


@contextlib.contextmanager
def _open(path: str | os.PathLike | BinaryIO) -> Iterator[BinaryIO]:
    if isinstance(path, (str, os.PathLike)):
        with open(path, "rb") as f:
            yield f
    else:
        yield path
