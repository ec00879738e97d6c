"""How large the columns of a parquet are once they are decoded, from the file's own bytes.

A footer says so too, and nothing makes it say the truth; a reader of the format takes as much
memory as a page's own header says. pyarrow is not asked where the pages lie: it ends the process
when some fields of a footer contradict others.
"""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

_DEPTH = 12  # Of structs in structs; a footer has 7.
_INTEGERS = (4, 5, 6)  # Thrift's i16, i32, i64.
_LIST, _STRUCT = 9, 12


class Chunk(NamedTuple):
    """Where the pages of a column lie."""

    begin: int
    size: int


def chunks(footer: bytes, most: int) -> list[list[Chunk]]:
    """The columns of each row group; ValueError where it is no footer, or tells of more than `most`
    columns in all."""
    groups, left = [], most
    with _readable("the footer"):
        thrift = _Thrift(footer)
        for number, kind in thrift.fields():
            if (number, kind) != (4, _LIST):
                thrift.skip(kind)
                continue
            groups, left = [], most
            for _ in thrift.elements():
                group = _group(thrift, left)
                groups.append(group)
                left -= len(group) + 1
    return groups


def decoded(chunk: bytes) -> int:
    """Bytes of all pages of a column, headers left out, once they are decompressed.

    ValueError where it is no row of pages.
    """
    thrift, total = _Thrift(chunk), 0
    while thrift.at < len(chunk):
        with _readable("a page"):
            fields = thrift.integers()
            size, stored = fields[2], fields[3]
        if size < 0 or stored < 0:
            raise ValueError("a page has a negative size")
        total, thrift.at = total + size, thrift.at + stored
    return total


@contextlib.contextmanager
def _readable(what: str) -> Iterator[None]:
    try:
        yield
    except (IndexError, KeyError):
        raise ValueError(f"{what} cannot be read") from None


def _group(thrift: "_Thrift", most: int) -> list[Chunk]:
    found = []
    for number, kind in thrift.fields():
        if (number, kind) != (1, _LIST):
            thrift.skip(kind)
            continue
        found = []
        for _ in thrift.elements():
            if len(found) >= most:
                raise ValueError("the footer tells of too many columns")
            found.append(_chunk(thrift))
    return found


def _chunk(thrift: "_Thrift") -> Chunk:
    about: dict[int, int] = {}
    for number, kind in thrift.fields():
        if (number, kind) == (3, _STRUCT):
            about = thrift.integers()
        else:
            thrift.skip(kind)
    size, begin, dictionary = about[7], about[9], about.get(11, 0)
    begin = dictionary if 0 < dictionary < begin else begin
    if begin < 0 or size < 0:
        raise ValueError("a column lies outside the file")
    return Chunk(begin, size)


class _Thrift:
    """A place in bytes of Thrift's compact protocol: in a struct a byte holds a field's type and
    how much its number grew; integers are zigzag varints. IndexError at the end of the bytes."""

    def __init__(self, data: bytes):
        self._data, self.at = data, 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """The number and type of each field of a struct; the caller reads each value, or skips."""
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._integer()
            yield number, head & 0xF

    def integers(self) -> dict[int, int]:
        """The integer fields of a struct by their numbers."""
        found = {}
        for number, kind in self.fields():
            if kind in _INTEGERS:
                found[number] = self._integer()
            else:
                self.skip(kind)
        return found

    def elements(self) -> Iterator[int]:
        """The type of each element of a list; the caller reads each, or skips."""
        head = self._byte()
        count = head >> 4 if head < 0xF0 else self._varint()
        if count > len(self._data):  # An element has a byte, or more.
            raise ValueError(f"it has a list of {count} elements")
        for _ in range(count):
            yield head & 0xF

    def skip(self, kind: int, depth: int = _DEPTH, *, element: bool = False) -> None:
        """Passes a value of this type."""
        if not depth:
            raise ValueError("its structs nest too deep")
        if kind in (1, 2, 3):  # A boolean's value is its type, in a struct.
            if element or kind == 3:
                self._byte()
        elif kind in _INTEGERS:
            self._varint()
        elif kind == 7:
            self.at += 8
        elif kind == 8:
            length = self._varint()
            self.at += length
        elif kind in (_LIST, 10):
            for each in self.elements():
                self.skip(each, depth - 1, element=True)
        elif kind == _STRUCT:
            for _, each in self.fields():
                self.skip(each, depth - 1)
        else:
            raise ValueError(f"it has a field of the type {kind}")

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
                raise ValueError("it has a number of more than 64 bits")
