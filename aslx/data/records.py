"""Random access to the records of TFDS-format TFRecord shards, every byte under its CRC.

A TFRecord is: uint64 length, uint32 CRC of the length, payload, uint32 CRC of the payload; CRCs are
CRC-32C, masked (tensorflow/core/lib/io/record_writer.h). An index beside the shards says where each
record lies, so that shuffling is global and exact, where in it the clip or image lies, so that the
kernel puts that where it belongs, and what little else a batch needs. It is a cache: it is checked
against the shards and rebuilt by a scan where it is missing or stale.
"""

import copy
import dataclasses
import functools
import json
import os
import pathlib
import resource
import struct
import zipfile
from collections.abc import Iterator
from typing import Any

import google_crc32c
import numpy as np

from aslx import errors, landmarks
from aslx.data import mapped

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_OVERHEAD = _HEADER.size + _FOOTER.size
_VALUES = "landmarks", "keypoints", "image"
_REMEDY = "restore the file or prepare the data again"


class CorruptRecord(errors.BadInput):
    """A record whose bytes are not those that were written."""


def masked_crc(data: bytes) -> int:
    """CRC-32C rotated and offset, so that the CRC of data that holds CRCs stays strong."""
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def verified(framed: bytes, where: str) -> bytes:
    """The payload of one framed record; CorruptRecord if any of its bytes was changed."""
    if len(framed) < _OVERHEAD:
        raise CorruptRecord(f"{where}: the file ends inside the record; {_REMEDY}")
    length, length_crc = _HEADER.unpack_from(framed)
    if masked_crc(framed[:8]) != length_crc:
        raise CorruptRecord(f"{where}: damaged header; {_REMEDY}")
    if length != len(framed) - _OVERHEAD:
        raise CorruptRecord(f"{where}: the file ends inside the record; {_REMEDY}")
    payload = framed[_HEADER.size : -_FOOTER.size]
    if masked_crc(payload) != _FOOTER.unpack_from(framed, len(framed) - _FOOTER.size)[0]:
        raise CorruptRecord(f"{where}: damaged payload; {_REMEDY}")
    return payload


def parse(payload: bytes) -> dict:
    """The features of a tf.train.Example, by name."""
    return _example().FromString(payload).features.feature


@functools.cache
def _example() -> Any:
    """The message's class. Training parses none, and need not wait for the import."""
    from tensorflow_datasets.proto import tf_example_pb2

    return tf_example_pb2.Example  # pyright: ignore[reportAttributeAccessIssue]


@dataclasses.dataclass(frozen=True)
class Index:
    """One row a record, in file order. `length` counts the record with its framing."""

    shard: np.ndarray  # i32: position in `files`.
    offset: np.ndarray  # i64: bytes.
    length: np.ndarray  # i64: bytes.
    crc: np.ndarray  # u32: CRC-32C of the record with its framing.
    begin: np.ndarray  # i64: byte of the record at which its clip or image begins,
    end: np.ndarray  # i64: and ends.
    frames: np.ndarray  # i32: of the clip; 1 for an image.
    signer: np.ndarray  # i64: -1 where unknown.
    label: np.ndarray  # i64: number of the class, -1 where there is none.
    text: np.ndarray  # bytes: the phrase, empty where there is none.
    phrase: np.ndarray  # i64: CRC-32C of the phrase, -1 where there is none.
    characters: np.ndarray  # i32: of the phrase, -1 where there is none.
    confidence: np.ndarray  # f32: of a phrase that a model read; 1 of any other.
    files: np.ndarray  # Names of the shards,
    sizes: np.ndarray  # and their bytes: what the index is checked against.

    @functools.cached_property
    def places(self) -> np.ndarray:
        """Of each record (shard, offset, length, crc, begin, end): one look-up for all of them."""
        columns = self.shard, self.offset, self.length, self.crc, self.begin, self.end
        return np.rec.fromarrays(columns).view(np.ndarray)


# Of the columns that have a row a record.
_DTYPES = dict.fromkeys(("offset", "length", "begin", "end", "signer", "label", "phrase"), "i8")
_DTYPES |= dict.fromkeys(("shard", "frames", "characters"), "i4")
_DTYPES |= {"crc": "u4", "text": "S", "confidence": "f4"}


class Records:
    """The verified records of one split. Opens files lazily, so it may be sent to workers."""

    def __init__(self, directory: str | os.PathLike, split: str):
        self._maps: dict[int, mapped.File] = {}
        self._blocks = -1
        self.directory = pathlib.Path(directory)
        self.split = split
        self.metadata = read_metadata(self.directory)
        self.index = _load(self.directory, split) or _scan(self.directory, split)
        self.number = np.arange(len(self))  # Where each stands in the split.

    def only(self, numbers: np.ndarray) -> "Records":
        """The split, of which no more than the records at `numbers` are there."""
        some = copy.copy(self)
        columns = {name: getattr(self.index, name)[numbers] for name in _DTYPES}
        some.index = dataclasses.replace(self.index, **columns)
        some.number, some._maps = self.number[numbers], {}
        return some

    def __len__(self) -> int:
        return len(self.index.offset)

    def __getitem__(self, i: int) -> dict:
        """Features of record `i`, by name; CorruptRecord names the file and the offset."""
        return parse(self._verified(i))

    def expect(self, numbers: np.ndarray) -> None:
        """Has the kernel bring records into memory, all at once, unless the last were there."""
        for shard in set(self.index.shard[numbers].tolist()):
            if self._map(shard).resized():
                del self._maps[shard]
        blocks = resource.getrusage(resource.RUSAGE_SELF).ru_inblock  # That came from a disk.
        if blocks != self._blocks:
            self._blocks = blocks
            for shard, offset, length, *_ in self.index.places[numbers].tolist():
                self._map(shard).expect(offset, length)

    def read(self, i: int, into: np.ndarray) -> None:
        """Record `i`'s clip or image into memory of as many bytes, each copied once.

        CorruptRecord if the record is not, byte for byte, the one that was indexed: what the index
        says of it then holds for what was read. `into` may hold anything after an error.
        """
        shard, offset, length, crc, begin, end = self.index.places.item(i)
        body = into.reshape(-1).view(np.uint8)
        if len(body) != end - begin:
            raise ValueError(f"{self._where(i)}: {end - begin} bytes do not fit into {len(body)}")
        record = self._map(shard).bytes[offset : offset + length]
        if len(record) == length:
            body[:] = record[begin:end]  # Waits for the disk, if it must, and lets threads go on.
            found = google_crc32c.extend(google_crc32c.value(record[:begin]), body)
            if google_crc32c.extend(found, record[end:]) == crc:
                return
        self._verified(i)  # Says what is damaged.
        stale = _index_path(self.directory, self.split)
        raise CorruptRecord(f"{self._where(i)}: not the record of the index; remove {stale}")

    def _verified(self, i: int) -> bytes:
        shard, offset, length, *_ = self.index.places.item(i)
        with open(self._path(shard), "rb") as f:
            return verified(os.pread(f.fileno(), length, offset), self._where(i))

    def _map(self, shard: int) -> mapped.File:
        if shard not in self._maps:
            self._maps[shard] = mapped.File(self._path(shard))
        return self._maps[shard]

    def _where(self, i: int) -> str:
        return f"{self._path(int(self.index.shard[i]))} at byte {self.index.offset[i]}"

    def _path(self, file: int) -> pathlib.Path:
        return self.directory / str(self.index.files[file])

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_maps": {}}

    def __repr__(self) -> str:
        return f"Records({str(self.directory)!r}, {self.split!r})"


def there(directory: str | os.PathLike) -> bool:
    """Whether the folder holds a prepared data set."""
    return (pathlib.Path(directory) / "metadata.json").exists()


def read_metadata(directory: pathlib.Path) -> dict:
    """What prepare noted of the data set: task, selection, source, how it was split."""
    path = directory / "metadata.json"
    if not path.exists():
        raise errors.BadInput(f"{directory} holds no prepared data set: run aslx.prepare first")
    return json.loads(path.read_text())


def shards(directory: pathlib.Path, split: str) -> list[pathlib.Path]:
    """The shard files of a split, in order; an error says which splits there are."""
    info = json.loads((directory / "dataset_info.json").read_text())
    counts = {s["name"]: len(s["shardLengths"]) for s in info["splits"]}
    if split not in counts:
        raise errors.BadInput(f"{directory} has no split {split!r}; it has {', '.join(counts)}")
    paths = sorted(directory.glob(f"*-{split}.tfrecord-*-of-*"))
    if len(paths) != counts[split]:
        raise errors.BadInput(
            f"{directory} has {len(paths)} of the {counts[split]} shards of {split}"
        )
    return paths


def splits(directory: pathlib.Path) -> list[str]:
    info = json.loads((directory / "dataset_info.json").read_text())
    return [s["name"] for s in info["splits"] if s["shardLengths"]]


def write_index(directory: str | os.PathLike) -> None:
    """Scans every split of a prepared data set and writes its index beside the shards."""
    for split in splits(pathlib.Path(directory)):
        _scan(pathlib.Path(directory), split)


def _scan(directory: pathlib.Path, split: str) -> Index:
    """Reads every record once, checks it, and writes the index if the directory can be written."""
    metadata = read_metadata(directory)
    paths, rows = shards(directory, split), []
    for file, path in enumerate(paths):
        for offset, framed in _walk(path):
            rows.append({"shard": file, "offset": offset, **_row(framed, metadata)})
    index = Index(
        **{name: np.array([row[name] for row in rows], kind) for name, kind in _DTYPES.items()},
        files=np.array([p.name for p in paths]),
        sizes=np.array([p.stat().st_size for p in paths]),
    )
    if os.access(directory, os.W_OK):
        temporary = directory / f".index-{split}.{os.getpid()}.npz"
        np.savez(temporary, **dataclasses.asdict(index))
        os.replace(temporary, _index_path(directory, split))
    return index


def _row(framed: bytes, metadata: dict) -> dict:
    """What the index says of a record that was verified."""
    features = parse(framed[_HEADER.size : -_FOOTER.size])
    name = next(name for name in _VALUES if name in features)
    value = features[name].bytes_list.value[0]
    begin = framed.index(value[:64], _HEADER.size)
    while framed[begin : begin + len(value)] != value:
        begin = framed.index(value[:64], begin + 1)
    phrase = features["phrase"].bytes_list.value[0] if "phrase" in features else None
    known = {k: features[k].int64_list.value[0] for k in ("signer", "label") if k in features}
    sure = features["confidence"].float_list.value[0] if "confidence" in features else 1.0
    return {
        "length": len(framed),
        "crc": google_crc32c.value(framed),
        "begin": begin,
        "end": begin + len(value),
        "frames": _frames(name, len(value), metadata),
        "text": phrase or b"",
        "phrase": -1 if phrase is None else google_crc32c.value(phrase),
        "characters": -1 if phrase is None else len(phrase),  # Each is a byte.
        "confidence": sure,
    } | {"signer": -1, "label": -1, **known}


def _frames(name: str, size: int, metadata: dict) -> int:
    if name == "image":
        return 1
    if name == "keypoints":
        return size // (2 * metadata["values"])
    return size // (len(landmarks.selection(metadata["selection"]).points) * 3 * 2)


def _walk(path: pathlib.Path) -> Iterator[tuple[int, bytes]]:
    """(offset, the record with its framing) of each record of a shard, verified."""
    with open(path, "rb") as f:
        offset = 0
        while header := f.read(_HEADER.size):
            where = f"{path} at byte {offset}"
            if len(header) < _HEADER.size or masked_crc(header[:8]) != _HEADER.unpack(header)[1]:
                raise CorruptRecord(f"{where}: damaged header; {_REMEDY}")
            length = _HEADER.unpack(header)[0] + _OVERHEAD
            framed = header + f.read(length - _HEADER.size)
            verified(framed, where)
            yield offset, framed
            offset += length


def _load(directory: pathlib.Path, split: str) -> Index | None:
    """The cached index, or None where it is missing, damaged or not of these shards."""
    try:
        with np.load(_index_path(directory, split)) as f:
            index = Index(**{field.name: f[field.name] for field in dataclasses.fields(Index)})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    paths = shards(directory, split)
    fresh = [p.name for p in paths] == index.files.tolist()
    fresh = fresh and [p.stat().st_size for p in paths] == index.sizes.tolist()
    return index if fresh else None


def _index_path(directory: pathlib.Path, split: str) -> pathlib.Path:
    return directory / f"index-{split}.npz"
