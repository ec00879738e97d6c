"""Random access to the records of TFDS-format TFRecord shards, every byte under its CRC.

A TFRecord is: uint64 length, uint32 CRC of the length, payload, uint32 CRC of the payload; CRCs are
CRC-32C, masked (tensorflow/core/lib/io/record_writer.h). An index beside the shards says where each
record lies, so that shuffling is global and exact. It is a cache: it is checked against the shards
and rebuilt by a scan where it is missing or stale.
"""

import copy
import dataclasses
import io
import json
import os
import pathlib
import struct
import zipfile
from collections.abc import Iterator

import google_crc32c
import numpy as np
from tensorflow_datasets.proto import tf_example_pb2

from aslx import landmarks

# protobuf makes the class when the module is imported.
_EXAMPLE = tf_example_pb2.Example  # pyright: ignore[reportAttributeAccessIssue]
_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_OVERHEAD = _HEADER.size + _FOOTER.size
_REMEDY = "restore the file or prepare the data again"


class CorruptRecord(ValueError):
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
    return _EXAMPLE.FromString(payload).features.feature


@dataclasses.dataclass(frozen=True)
class Index:
    """One row a record, in file order. `length` counts the record with its framing."""

    shard: np.ndarray  # i32: position in `files`.
    offset: np.ndarray  # i64: bytes.
    length: np.ndarray  # i64: bytes.
    frames: np.ndarray  # i32: of the clip; 1 for an image.
    signer: np.ndarray  # i64: -1 where unknown.
    phrase: np.ndarray  # i64: CRC-32C of the phrase, -1 where there is none.
    characters: np.ndarray  # i32: of the phrase, -1 where there is none.
    confidence: np.ndarray  # f32: of a phrase that a model read; 1 of any other.
    files: np.ndarray  # Names of the shards,
    sizes: np.ndarray  # and their bytes: what the index is checked against.


class Records:
    """The verified records of one split. Opens files lazily, so it may be sent to workers."""

    def __init__(self, directory: str | os.PathLike, split: str):
        self._files: dict[int, io.FileIO] = {}
        self.directory = pathlib.Path(directory)
        self.split = split
        self.metadata = read_metadata(self.directory)
        self.index = _load(self.directory, split) or _scan(self.directory, split)
        self.number = np.arange(len(self))  # Where each stands in the split.

    def only(self, numbers: np.ndarray) -> "Records":
        """The split, of which no more than the records at `numbers` are there."""
        some = copy.copy(self)
        columns = {f.name: getattr(self.index, f.name) for f in dataclasses.fields(Index)}
        of_records = {k: v[numbers] for k, v in columns.items() if k not in ("files", "sizes")}
        some.index = dataclasses.replace(self.index, **of_records)
        some.number, some._files = self.number[numbers], {}
        return some

    def __len__(self) -> int:
        return len(self.index.offset)

    def __getitem__(self, i: int) -> dict:
        """Features of record `i`, by name; CorruptRecord names the file and the offset."""
        file, offset = int(self.index.shard[i]), int(self.index.offset[i])
        if file not in self._files:
            self._files[file] = io.FileIO(self._path(file))
        framed = os.pread(self._files[file].fileno(), int(self.index.length[i]), offset)
        return parse(verified(framed, f"{self._path(file)} at byte {offset}"))

    def _path(self, file: int) -> pathlib.Path:
        return self.directory / str(self.index.files[file])

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_files": {}}

    def __repr__(self) -> str:
        return f"Records({str(self.directory)!r}, {self.split!r})"


def read_metadata(directory: pathlib.Path) -> dict:
    """What prepare noted of the data set: task, selection, source, how it was split."""
    path = directory / "metadata.json"
    if not path.exists():
        raise FileNotFoundError(f"{directory} holds no prepared data set: run aslx.prepare first")
    return json.loads(path.read_text())


def shards(directory: pathlib.Path, split: str) -> list[pathlib.Path]:
    """The shard files of a split, in order; an error says which splits there are."""
    info = json.loads((directory / "dataset_info.json").read_text())
    counts = {s["name"]: len(s["shardLengths"]) for s in info["splits"]}
    if split not in counts:
        raise ValueError(f"{directory} has no split {split!r}; it has {', '.join(counts)}")
    paths = sorted(directory.glob(f"*-{split}.tfrecord-*-of-*"))
    if len(paths) != counts[split]:
        raise FileNotFoundError(
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
    paths, rows, sure = shards(directory, split), [], []
    for file, path in enumerate(paths):
        for offset, length, payload in _walk(path):
            features = parse(payload)
            frames, signer = _frames(features, metadata), _signer(features)
            rows.append((file, offset, length, frames, signer, *_phrase(features)))
            said = "confidence" in features
            sure.append(features["confidence"].float_list.value[0] if said else 1.0)
    table = np.array(rows, np.int64).reshape(-1, 7)
    index = Index(
        shard=table[:, 0].astype(np.int32),
        offset=table[:, 1],
        length=table[:, 2],
        frames=table[:, 3].astype(np.int32),
        signer=table[:, 4],
        phrase=table[:, 5],
        characters=table[:, 6].astype(np.int32),
        confidence=np.array(sure, np.float32),
        files=np.array([p.name for p in paths]),
        sizes=np.array([p.stat().st_size for p in paths]),
    )
    if os.access(directory, os.W_OK):
        temporary = directory / f".index-{split}.{os.getpid()}.npz"
        np.savez(temporary, **dataclasses.asdict(index))
        os.replace(temporary, _index_path(directory, split))
    return index


def _frames(features: dict, metadata: dict) -> int:
    if "image" in features:
        return 1
    if "keypoints" in features:
        return len(features["keypoints"].bytes_list.value[0]) // (2 * metadata["values"])
    points = len(landmarks.selection(metadata["selection"]).points)
    return len(features["landmarks"].bytes_list.value[0]) // (points * 3 * 2)


def _signer(features: dict) -> int:
    return features["signer"].int64_list.value[0] if "signer" in features else -1


def _phrase(features: dict) -> tuple[int, int]:
    """Its CRC-32C and its number of characters, each of which is a byte."""
    if "phrase" not in features:
        return -1, -1
    phrase = features["phrase"].bytes_list.value[0]
    return google_crc32c.value(phrase), len(phrase)


def _walk(path: pathlib.Path) -> Iterator[tuple[int, int, bytes]]:
    """(offset, framed length, payload) of each record of a shard."""
    with open(path, "rb") as f:
        offset = 0
        while header := f.read(_HEADER.size):
            where = f"{path} at byte {offset}"
            if len(header) < _HEADER.size or masked_crc(header[:8]) != _HEADER.unpack(header)[1]:
                raise CorruptRecord(f"{where}: damaged header; {_REMEDY}")
            length = _HEADER.unpack(header)[0] + _OVERHEAD
            framed = header + f.read(length - _HEADER.size)
            yield offset, length, verified(framed, where)
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
