"""The index of a split: the place of each record in its shards, and the values that a plan needs.

With an index, shuffling is global and exact, and a clip is read straight into its batch. Prepare
writes the index beside the shards. It is a cache: it is checked against the shards and against
itself, and rebuilt by a scan where it is missing, stale or impossible.
"""

import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import crc32c
import numpy as np

from aslx import errors
from aslx.data import framing
from aslx.schema import landmarks, vocab
from aslx.storage import files, npy_files

_FRAME_KEYS = {"landmarks": "selection", "keypoints": "values"}  # What metadata says of a frame.
_VALUES = *_FRAME_KEYS, "image"
_READ_IN_TRAINING = (
    *("crc", "length", "frames", "signer", "label", "phrase", "characters", "confidence"),
)


@dataclasses.dataclass(frozen=True)
class Index:
    """One row a record, in file order. `length` counts the record with its framing."""

    shard: np.ndarray  # i32: position in `files`.
    offset: np.ndarray  # i64: bytes.
    length: np.ndarray  # i64: bytes.
    crc: np.ndarray  # u32: CRC-32C of the record with its framing.
    begin: np.ndarray  # i64: first byte of the clip or image, counted from `offset`.
    end: np.ndarray  # i64: the byte after its last.
    frames: np.ndarray  # i32: of the clip; 1 for an image.
    signer: np.ndarray  # i64: -1 where unknown.
    label: np.ndarray  # i64: number of the class, -1 where there is none.
    text: np.ndarray  # bytes: the phrase, empty where there is none.
    phrase: np.ndarray  # i64: CRC-32C of the phrase, -1 where there is none.
    characters: np.ndarray  # i32: length of the phrase, -1 where there is none.
    confidence: np.ndarray  # f32: the model's, where a model read the phrase; else 1.
    files: np.ndarray  # Names of the shards.
    sizes: np.ndarray  # Bytes of the shards, against which the index is checked.

    @functools.cached_property
    def places(self) -> np.ndarray:
        """(shard, offset, length, crc, begin, end) of each record: one look-up instead of six."""
        columns = self.shard, self.offset, self.length, self.crc, self.begin, self.end
        return np.rec.fromarrays(columns).view(np.ndarray)

    def fingerprint(self) -> str:
        """The number of records, and a hash of their contents in order.

        It covers what training reads of the index; the CRCs stand for every byte of the records.
        How records are divided among files does not matter.
        """
        digest = hashlib.sha256()
        for name in _READ_IN_TRAINING:
            column = np.ascontiguousarray(getattr(self, name))
            digest.update(f"{name} {column.dtype.str} {len(column)}\n".encode())
            digest.update(column.tobytes())
        return f"{len(self.offset)} records, {digest.hexdigest()[:16]}"


# Types of the columns that have one row a record.
DTYPES = dict.fromkeys(("offset", "length", "begin", "end", "signer", "label", "phrase"), "i8")
DTYPES |= dict.fromkeys(("shard", "frames", "characters"), "i4")
DTYPES |= {"crc": "u4", "text": "S", "confidence": "f4"}
_OF_A_ROW = {name: kind for name, kind in DTYPES.items() if name != "shard"}


def path(directory: files.Path, split: str) -> files.Path:
    return directory / f"index-{split}.npz"


def load(
    directory: pathlib.Path, split: str, metadata: dict, shards: list[pathlib.Path]
) -> Index | None:
    """The stored index; None where it is missing, damaged or not that of these shards."""
    try:
        found = npy_files.npz(
            path(directory, split), [field.name for field in dataclasses.fields(Index)]
        )
    except errors.BadInput:
        return None
    index = Index(**found)
    fresh = index.files.tolist() == [shard.name for shard in shards]
    fresh = fresh and index.sizes.tolist() == [shard.stat().st_size for shard in shards]
    return index if fresh and _possible(index, metadata) else None


def scan(directory: pathlib.Path, split: str, metadata: dict, shards: list[pathlib.Path]) -> Index:
    """Reads and checks every record; saves the index if the directory can be written."""
    found = {}
    for shard in shards:
        rows = []
        for offset, framed in framing.walk(shard):
            where = f"{shard} at byte {offset}"
            payload = framed[framing.HEADER.size : -framing.FOOTER.size]
            rows.append(row(framing.parse(payload, where), framed, offset, metadata, where))
        found[shard.name] = shard.stat().st_size, columns(rows)
    index = joined(found)
    if os.access(directory, os.W_OK):
        save(directory, split, index)
    return index


def columns(rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Rows of one shard, as `row` makes them, by column."""
    return {name: np.array([row[name] for row in rows], kind) for name, kind in _OF_A_ROW.items()}


def joined(shards: Mapping[str, tuple[int, Mapping[str, np.ndarray]]]) -> Index:
    """The index of a split from its shards: name -> (bytes of the file, columns)."""
    parts, none = [part for _, part in shards.values()], columns([])
    number = np.arange(len(parts), dtype="i4")
    return Index(
        shard=np.repeat(number, [len(part["offset"]) for part in parts]),
        **{name: np.concatenate([none[name], *(part[name] for part in parts)]) for name in none},
        files=np.array([*shards], "U"),
        sizes=np.array([size for size, _ in shards.values()], "i8"),
    )


def save(directory: files.Path, split: str, index: Index) -> None:
    with files.writing(path(directory, split)) as f:
        np.savez(f, **dataclasses.asdict(index))


def marker(size: int) -> bytes:
    """The bytes before a value of `size` bytes in an Example: field number and length."""
    out = [0x0A]
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*out, size])


def row(features: Any, framed: bytes, offset: int, metadata: dict, where: str) -> dict[str, Any]:
    """A record's row of the index, from its `framing.parse`d features, its framed bytes and their
    offset in the shard. CorruptRecord where it holds no clip or image."""
    name = next((name for name in _VALUES if features[name].bytes_list.value), None)
    if name is None:
        raise framing.CorruptRecord(f"{where}: it holds no {', '.join(_VALUES)}")
    value = features[name].bytes_list.value[0]
    before = marker(len(value))
    begin = framed.index(before + value, framing.HEADER.size) + len(before)
    size = _frame_bytes(name, metadata)
    if size and len(value) % size:
        raise framing.CorruptRecord(
            f"{where}: its {name} have {len(value)} bytes, and a frame {size}: metadata.json is of "
            "other data"
        )
    texts = features["phrase"].bytes_list.value[:1]
    numbers = {k: features[k].int64_list.value[:1] for k in ("signer", "label")}
    sure = features["confidence"].float_list.value[:1] or [1.0]
    return {
        "offset": offset,
        "length": len(framed),
        "crc": crc32c.crc32c(framed),
        "begin": begin,
        "end": begin + len(value),
        "frames": len(value) // size if size else 1,
        "text": texts[0] if texts else b"",
        "phrase": crc32c.crc32c(texts[0]) if texts else -1,
        "characters": len(vocab.text(texts[0])) if texts else -1,
        "confidence": sure[0],
    } | {name: value[0] if value else -1 for name, value in numbers.items()}


def _frame_bytes(name: str, metadata: dict) -> int:
    """Bytes of a frame; 0 for an image, which has no frames."""
    if name == "image":
        return 0
    wanted = _FRAME_KEYS[name]
    if wanted not in metadata:
        raise errors.BadInput(f"metadata.json is damaged: it has no {wanted}, and records {name}")
    value = metadata[wanted]
    if name == "landmarks" and isinstance(value, str):
        return len(landmarks.selection(value).points) * 3 * 2
    if name == "keypoints" and isinstance(value, int) and value > 0:
        return 2 * value
    raise errors.BadInput(f"metadata.json is damaged: its {wanted} is {value!r:.80}")


def _possible(index: Index, metadata: dict) -> bool:
    """Whether an index can be that of its shards; reading a record proves it by the CRC."""
    columns = {name: getattr(index, name) for name in DTYPES}
    shapes = {column.shape for column in columns.values()}
    if shapes != {index.offset.shape} or index.offset.ndim != 1:
        return False
    kinds = ((columns[name].dtype, np.dtype(kind)) for name, kind in DTYPES.items())
    if not all(a == b or a.kind == b.kind == "S" for a, b in kinds):
        return False
    if not len(index.offset):
        return True
    if index.shard.min() < 0 or index.shard.max() >= len(index.files):
        return False
    sizes = index.sizes[index.shard]
    # In this order, and by differences: a sum of a file's numbers may overflow.
    inside = (index.offset >= 0) & (index.offset <= sizes)
    inside &= (index.length >= framing.OVERHEAD) & (index.length <= sizes - index.offset)
    inside &= (index.begin >= framing.HEADER.size) & (index.begin <= index.end)
    inside &= index.end <= index.length - framing.FOOTER.size
    if not inside.all():
        return False
    name = next((name for name, key in _FRAME_KEYS.items() if key in metadata), "image")
    size = _frame_bytes(name, metadata)
    agree = (
        index.frames.astype("i8") * size == index.end - index.begin if size else index.frames == 1
    )
    classes = metadata.get("classes")
    labels = index.label >= -1
    if isinstance(classes, list):
        labels &= index.label < len(classes)
    return bool(agree.all() and labels.all() and _texts_agree(index))


def _texts_agree(index: Index) -> bool:
    """Whether `characters` and `phrase` agree with `text`."""
    some = index.characters >= 0
    if (index.characters[~some] != -1).any() or (index.phrase[~some] != -1).any():
        return False
    texts = index.text[some].tolist()
    return (
        index.characters[some].tolist() == [len(vocab.text(text)) for text in texts]
        and index.phrase[some].tolist() == list(map(crc32c.crc32c, texts))
        and not index.text[~some].any()
    )
