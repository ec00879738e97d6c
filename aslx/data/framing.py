"""The framing of TFRecords, whose checksums cover every byte.

A TFRecord is: uint64 length, uint32 CRC of the length, payload, uint32 CRC of the payload. The CRCs
are CRC-32C, masked (tensorflow/core/lib/io/record_writer.h). The payload is a tf.train.Example.
"""

import functools
import pathlib
import struct
from collections.abc import Iterator
from typing import Any

import crc32c

from aslx import errors

HEADER = struct.Struct("<QI")
FOOTER = struct.Struct("<I")
OVERHEAD = HEADER.size + FOOTER.size
_REMEDY = "restore the file or prepare the data again"


class CorruptRecord(errors.BadInput):
    """The bytes of a record differ from those that were written."""


def masked_crc(data: bytes) -> int:
    """CRC-32C, rotated and offset: plain CRCs of data that contains CRCs would be weak."""
    crc = crc32c.crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def framed(payload: bytes) -> bytes:
    """The payload with its framing, as a shard stores it."""
    length = len(payload).to_bytes(8, "little")
    header = length + FOOTER.pack(masked_crc(length))
    return header + payload + FOOTER.pack(masked_crc(payload))


def verified(framed: bytes, where: str) -> bytes:
    """The payload of one framed record; CorruptRecord if any byte was changed."""
    if len(framed) != _length(framed, where):
        raise CorruptRecord(f"{where}: the file ends inside the record; {_REMEDY}")
    payload = framed[HEADER.size : -FOOTER.size]
    if masked_crc(payload) != FOOTER.unpack_from(framed, len(framed) - FOOTER.size)[0]:
        raise CorruptRecord(f"{where}: damaged payload; {_REMEDY}")
    return payload


def _length(framed: bytes, where: str) -> int:
    """Bytes of a record with its framing, according to its header."""
    if len(framed) < HEADER.size:
        raise CorruptRecord(f"{where}: the file ends inside the record; {_REMEDY}")
    length, crc = HEADER.unpack_from(framed)
    if masked_crc(framed[:8]) != crc:
        raise CorruptRecord(f"{where}: damaged header; {_REMEDY}")
    return length + OVERHEAD


def parse(payload: bytes, where: str) -> Any:
    """The features of a tf.train.Example, by name."""
    from google.protobuf import message

    try:
        return _example().FromString(payload).features.feature
    except message.DecodeError as error:
        raise CorruptRecord(f"{where}: no tf.train.Example: {error}; {_REMEDY}") from None


def walk(path: pathlib.Path) -> Iterator[tuple[int, bytes]]:
    """Offset and framed bytes of each record of a shard; CorruptRecord as `verified`."""
    with open(path, "rb") as f:
        offset, size = 0, path.stat().st_size
        while header := f.read(HEADER.size):
            where = f"{path} at byte {offset}"
            length = _length(header, where)
            # A header may claim any length: read no more than the file holds.
            framed = header + f.read(min(length, size) - HEADER.size)
            verified(framed, where)
            yield offset, framed
            offset += length


@functools.cache
def _example() -> Any:
    """tf.train.Example, imported late: training parses no record and need not wait for it."""
    from tensorflow_datasets.proto import tf_example_pb2

    return tf_example_pb2.Example  # pyright: ignore[reportAttributeAccessIssue]
