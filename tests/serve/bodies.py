"""Bodies that make a careless server take memory or time."""

import io
import json
import random
import struct
from collections.abc import Callable, Iterator

import msgpack
import numpy as np
import pyarrow as pa
from pyarrow import parquet as pq

JSON, MSGPACK = "application/json", "application/msgpack"
PARQUET, POSE = "application/vnd.apache.parquet", "application/pose"
SIZE = 7_900_000  # Bytes: just below the server's limit.


def _array(count: int) -> bytes:
    return b"\xdd" + struct.pack(">I", count)


def packed(value: object) -> bytes:
    """A value as msgpack."""
    found = msgpack.packb(value)
    assert isinstance(found, bytes)
    return found


def _frames(rows: int, row: bytes) -> bytes:
    return b"\x81" + packed("frames") + _array(rows) + row * rows


def _json_rows_of_numbers(width: int) -> bytes:
    row = b"[" + b"0.5," * (width - 1) + b"0.5]"
    return b'{"frames": [' + b",".join([row] * (SIZE // len(row) - 1)) + b"]}"


_MSGPACK: dict[str, Callable[[], bytes]] = {
    "empty maps": lambda: _array(SIZE) + b"\x80" * SIZE,
    "rows of empty maps": lambda: _frames(400, _array(19_000) + b"\x80" * 19_000),
    "rows of nil": lambda: _frames(400, _array(19_000) + b"\xc0" * 19_000),
    "rows of numbers": lambda: _frames(130, _array(19_000) + b"\xcd\x12\x34" * 19_000),
    "empty rows": lambda: _frames(SIZE, b"\x90"),
    "nested rows": lambda: b"\x81" + packed("frames") + b"\x91" * SIZE,
    "long texts": lambda: packed({"columns": ["x" * 1_000_000] * 7, "frames": []}),
    "many texts": lambda: b"\x81" + packed("columns") + _array(SIZE // 3) + b"\xa2ab" * (SIZE // 3),
}
_JSON: dict[str, Callable[[], bytes]] = {
    "numbers": lambda: b'{"frames": [[' + b"0," * (SIZE // 2) + b"0]]}",
    "lists": lambda: b'{"frames": [' + b"[]," * (SIZE // 3) + b"[]]}",
    "objects": lambda: b'{"frames": [[' + b"{}," * (SIZE // 3) + b"{}]]}",
    "open lists": lambda: b"[" * SIZE,
    "long text": lambda: json.dumps({"frames": [], "x" * (SIZE // 2): "y" * (SIZE // 3)}).encode(),
}


def _written(table: pa.Table, **options) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


def _table(columns: list[str], count: int, first: pa.Array | None = None) -> pa.Table:
    values = {"sequence_id": pa.array(np.ones(count, np.int64))}
    zeros = pa.array(np.zeros(count, np.float32))
    values |= dict.fromkeys(columns, zeros)
    return pa.table(values if first is None else values | {columns[0]: first})


def _texts_for_numbers(columns: list[str]) -> bytes:
    word = pa.array(["x" * 2**20])
    code = pa.DictionaryArray.from_arrays(pa.array(np.zeros(4000, np.int32)), word)
    return _written(_table(columns, 4000, code))


def _more_rows_than_said(columns: list[str]) -> bytes:
    """Of a parquet of two million equal rows the footer says that there is one."""
    count = 2**20 + 12_345
    whole = _written(_table(columns, count), row_group_size=count)
    size = struct.unpack("<I", whole[-8:-4])[0]
    footer = whole[-8 - size : -8].replace(_varint(2 * count), _varint(2), 1)
    return whole[: -8 - size] + footer + struct.pack("<I", len(footer)) + b"PAR1"


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _page_of_zeros(columns: list[str], kind: str) -> bytes:
    """A page that decodes to forty million bytes from a few thousand."""
    count = 5_000_000
    first = pa.array(np.zeros(count))
    empty = pa.nulls(count, pa.float32())
    table = pa.table(
        {"sequence_id": pa.nulls(count, pa.int64()), **dict.fromkeys(columns, empty)}
        | {columns[0]: first}
    )
    options = {"row_group_size": count, "data_page_size": 2**31 - 1, "use_dictionary": False}
    return _written(table, compression=kind, **options)


def _announced_columns() -> bytes:
    """A footer of a few bytes that announces a million columns."""
    footer = b"\x15\x02" + b"\x19\xfc" + _varint(999_999) + b"\0" * 10
    return b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1"


def hostile(columns: list[str]) -> Iterator[tuple[str, str, bytes]]:
    """Name, content type and bytes of bodies, without end and always in the same order. Some are
    cut, and some have wrong bytes."""
    parquet = {
        "texts for numbers": _texts_for_numbers(columns),
        "more rows than said": _more_rows_than_said(columns),
        **{f"page of zeros, {k}": _page_of_zeros(columns, k) for k in ("zstd", "gzip", "snappy")},
        "announced columns": _announced_columns(),
    }
    made = [
        *((name, MSGPACK, make()) for name, make in _MSGPACK.items()),
        *((name, JSON, make()) for name, make in _JSON.items()),
        ("rows of numbers", JSON, _json_rows_of_numbers(len(columns))),
        *((name, PARQUET, body) for name, body in parquet.items()),
    ]
    choose = random.Random(0)
    while True:
        for name, kind, body in choose.sample(made, len(made)):
            damage = choose.random()
            if damage < 0.15:
                body = body[: choose.randrange(len(body))]
            elif damage < 0.3:
                at = choose.randrange(len(body))
                body = body[:at] + choose.randbytes(20) + body[at + 20 :]
            yield name, kind, body
