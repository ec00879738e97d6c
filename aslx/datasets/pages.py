"""How many bytes the pages of a parquet's column decode to, from their headers alone.

The footer of a parquet says so too, and nothing makes it say the truth; a reader of the format
allocates what a page's own header says.
"""

_DEPTH = 8  # Of structs in structs; a page header has 3.
_UNCOMPRESSED, _COMPRESSED = 2, 3  # Fields of the format's PageHeader.


def decoded(chunk: bytes) -> int:
    """Bytes of all pages of a column chunk, headers left out, once they are decompressed.

    ValueError where the chunk is no row of pages.
    """
    total = at = 0
    while at < len(chunk):
        try:
            fields, at = _struct(chunk, at, _DEPTH)
            size, step = fields[_UNCOMPRESSED], fields[_COMPRESSED]
        except (IndexError, KeyError):
            raise ValueError(f"no page begins at byte {at} of a column") from None
        if size < 0 or step < 0:
            raise ValueError(f"a page before byte {at} of a column has a negative size")
        total, at = total + size, at + step
    return total


# Thrift's compact protocol: a byte holds a field's type and how much its number grew; integers are
# zigzag varints; a list says its length and the type of its elements.


def _struct(data: bytes, at: int, depth: int) -> tuple[dict[int, int], int]:
    """The integer fields of a struct by their numbers, and where the struct ends."""
    if not depth:
        raise ValueError("a page header nests too deep")
    fields, number = {}, 0
    while head := data[at]:
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            number, at = _integer(data, at)
        kind = head & 0xF
        if kind in (4, 5, 6):
            fields[number], at = _integer(data, at)
        elif kind not in (1, 2):  # True and false stand in the type.
            at = _after(data, at, kind, depth)
    return fields, at + 1


def _after(data: bytes, at: int, kind: int, depth: int) -> int:
    """Where a value of this type ends."""
    if not depth:
        raise ValueError("a page header nests too deep")
    if kind in (1, 2, 3):  # Outside a struct a boolean takes a byte, as an i8.
        return at + 1
    if kind in (4, 5, 6):
        return _integer(data, at)[1]
    if kind == 7:
        return at + 8
    if kind == 8:
        length, at = _varint(data, at)
        return at + length
    if kind in (9, 10):
        length, element = data[at] >> 4, data[at] & 0xF
        at += 1
        if length == 15:
            length, at = _varint(data, at)
        for _ in range(length):
            if at >= len(data):
                break
            at = _after(data, at, element, depth - 1)
        return at
    if kind == 12:
        return _struct(data, at, depth - 1)[1]
    raise ValueError(f"a page header has a field of the unknown type {kind}")


def _integer(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a page header holds a number of more than 64 bits")
