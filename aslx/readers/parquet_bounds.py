"""Bounds on the memory that a stranger's parquet may take, checked on the file's own bytes.

Nothing makes a footer tell the truth about sizes, while a reader of the format takes as much memory
as the header of each page says. pyarrow cannot be asked where the pages lie: it ends the process
where some fields of a footer contradict others. So footers and pages are parsed here. As in
pyarrow, a damaged file is a pa.ArrowInvalid.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from aslx import errors
from aslx.readers import file_kinds

# Row groups and columns together: a reader allocates each that a footer announces.
MOST_LISTED = 20_000
_MOST_FOOTER = 1 << 20  # Bytes; those of Kaggle's 1,631 columns are 0.3 MB for each row group.
_DEPTH = 16  # Structs and lists inside one another; a footer has 8.
# Types of Thrift's compact protocol.
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET = range(1, 11)
_STRUCT = 12
# Of a footer: row groups, their columns, and of a column its compressed size, the offset of its
# first page and that of its dictionary, which may be missing.
_FOOTER = {(4, _LIST): {(1, _LIST): {(3, _STRUCT): {(7, _I64): {}, (9, _I64): {}, (11, _I64): {}}}}}
_PAGE = {(2, _I32): {}, (3, _I32): {}}  # Bytes of a page, decompressed and as they are stored.


Groups = list[list[tuple[int, int]]]  # The offset and bytes of each column, by row group.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bounds:
    """The most that is taken of a stranger's parquet."""

    rows: int
    bytes: int
    """Of the decompressed pages of all columns that are read."""


class TooMuch(errors.BadInput):
    """A file exceeds its `Bounds`."""


def chunks(path: file_kinds.File, source: pa.NativeFile) -> Groups:
    """The columns of all row groups; TooMuch where reading the footer would take much memory."""
    length = source.size()
    size = int.from_bytes(source.read_at(4, max(0, length - 8)), "little")
    if size > length - 8:
        raise pa.ArrowInvalid("its footer is longer than the file")
    if size > _MOST_FOOTER:
        raise TooMuch(f"{path} has a footer of {size} bytes: at most {_MOST_FOOTER} are taken")
    return footer_chunks(source.read_at(size, length - 8 - size), MOST_LISTED)


def check(
    path: file_kinds.File,
    source: pa.NativeFile,
    groups: Groups,
    metadata: pq.FileMetaData,
    names: Sequence[str],
    bounds: Bounds,
) -> None:
    """TooMuch where reading the named columns would exceed the bounds."""
    if metadata.num_rows > bounds.rows:
        raise TooMuch(f"{path} has {metadata.num_rows} rows: at most {bounds.rows} are taken")
    if any(len(group) != metadata.num_columns for group in groups):
        raise pa.ArrowInvalid("a row group lacks a column")
    columns = range(metadata.num_columns)
    columns = [i for i in columns if metadata.schema.column(i).path in names]
    length = room = source.size()
    total = 0
    for begin, size in (group[i] for group in groups for i in columns):
        if begin < 0 or size < 0 or begin + size > length:
            raise pa.ArrowInvalid("a column lies outside the file")
        room -= size
        if room < 0:
            raise pa.ArrowInvalid("its columns overlap")
        total += decoded(source.read_at(size, begin))
        if total > bounds.bytes:
            raise TooMuch(f"{path} decodes to more than {bounds.bytes} bytes")


def footer_chunks(footer: bytes, most: int) -> Groups:
    """The columns of all row groups; `most` bounds the number of both together."""

    def chunk(fields: dict[int, int]) -> tuple[int, int]:
        begin, dictionary = fields[9], fields.get(11, 0)
        return dictionary if 0 < dictionary < begin else begin, fields[7]

    with _readable("the footer"):
        groups = _Thrift(footer, most).struct(_FOOTER).get(4, [])
        return [[chunk(column[3]) for column in group.get(1, [])] for group in groups]


def decoded(chunk: bytes) -> int:
    """Decompressed bytes of all pages of a column, without their headers."""
    thrift, total = _Thrift(chunk), 0
    while thrift.at < len(chunk):
        with _readable("a page"):
            fields = thrift.struct(_PAGE)
            size, stored = fields[2], fields[3]
        if size < 0 or stored < 0:
            raise pa.ArrowInvalid("a page has a negative size")
        total, thrift.at = total + size, thrift.at + stored
    return total


@contextlib.contextmanager
def _readable(what: str) -> Iterator[None]:
    try:
        yield
    except (IndexError, KeyError):  # The bytes end too early, or a field is missing.
        raise pa.ArrowInvalid(f"{what} cannot be read") from None


class _Thrift:
    """Reads bytes of Thrift's compact protocol; IndexError where they end too early.

    In a struct, one byte has a field's type and the step to its number; integers are zigzag
    varints. Of lists, at most `most` elements are kept in all.
    """

    def __init__(self, data: bytes, most: int = 0):
        self._data, self._room, self.at = data, most, 0

    def struct(self, wanted: dict[tuple[int, int], Any], depth: int = _DEPTH) -> dict[int, Any]:
        """The next struct's fields by number: those whose number and type are `wanted`."""
        found, number = {}, 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._integer()
            inner = wanted.get((number, head & 0xF))
            value = self._value(head & 0xF, inner, depth)
            if inner is not None:
                found[number] = value
        return found

    def _value(self, kind: int, wanted: dict | None, depth: int) -> Any:
        if not depth:
            raise pa.ArrowInvalid("its structs nest too deep")
        if kind in (_I16, _I32, _I64):
            return self._integer()
        if kind in (_LIST, _SET):
            return self._list(wanted, depth - 1)
        if kind == _STRUCT:
            return self.struct(wanted or {}, depth - 1)
        if kind == _BYTE:
            self._byte()
        elif kind == _DOUBLE:
            self.at += 8
        elif kind == _BINARY:
            length = self._varint()
            self.at += length
        elif kind not in (_TRUE, _FALSE):  # A boolean's value is its type.
            raise pa.ArrowInvalid(f"it has a field of the type {kind}")
        return None

    def _list(self, wanted: dict | None, depth: int) -> list[Any]:
        head = self._byte()
        count, kind = head >> 4, head & 0xF
        if count == 15:
            count = self._varint()
        if count > len(self._data):  # An element takes a byte at least.
            raise pa.ArrowInvalid(f"it has a list of {count} elements")
        if kind in (_TRUE, _FALSE):  # In a list a boolean takes a byte.
            kind = _BYTE
        found = []
        for _ in range(count):
            value = self._value(kind, wanted, depth)
            if wanted is not None:
                found.append(value)
                self._room -= 1
                if self._room < 0:
                    raise pa.ArrowInvalid("the footer tells of too many columns")
                if kind != _STRUCT:
                    raise pa.ArrowInvalid(f"the footer has columns of the type {kind}")
        return found

    def _byte(self) -> int:
        self.at += 1
        return self._data[self.at - 1]

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
            if shift > 63:
                raise pa.ArrowInvalid("it has a number of more than 64 bits")
