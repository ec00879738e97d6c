"""Random access to the records of a data set of TFRecord shards in TFDS's layout.

`framing` checks the bytes of a record, `index` knows where it lies.
"""

import copy
import dataclasses
import glob
import os
import pathlib

import crc32c
import numpy as np

from aslx import errors
from aslx.data import framing
from aslx.data import index as index_lib
from aslx.data import shard as shard_lib
from aslx.storage import files


class Records:
    """The verified records of one split, for any number of threads. It opens shards late."""

    def __init__(self, directory: str | os.PathLike, split: str):
        self._shards: dict[int, shard_lib.Shard] = {}
        self._blocks = -1  # `shard.disk_reads` when `expect` last asked.
        self.directory = pathlib.Path(directory)
        self.split = split
        self.metadata = read_metadata(self.directory)
        which = self.directory, split, self.metadata, shards(self.directory, split)
        self.index = index_lib.load(*which) or index_lib.scan(*which)
        self.number = np.arange(len(self))  # i64: each record's position in the split.

    def only(self, numbers: np.ndarray) -> "Records":
        """A split that consists of the records at `numbers`."""
        some = copy.copy(self)
        columns = {name: getattr(self.index, name)[numbers] for name in index_lib.DTYPES}
        some.index = dataclasses.replace(self.index, **columns)
        some.number, some._shards = self.number[numbers], {}
        return some

    def __len__(self) -> int:
        return len(self.index.offset)

    def __getitem__(self, i: int) -> dict:
        """The features of record `i` by name; CorruptRecord names the file and the offset."""
        return framing.parse(self._verified(i), self._where(i))

    def expect(self, numbers: np.ndarray) -> None:
        """Asks the kernel to load these records, unless the last ones were all in memory."""
        blocks = shard_lib.disk_reads()
        if blocks != self._blocks:
            self._blocks = blocks
            for shard, offset, length, *_ in self.index.places[numbers].tolist():
                self._shard(shard).expect(offset, length)

    def read(self, i: int, into: np.ndarray) -> None:
        """Reads the clip or image of record `i` into an array of the same size, copied once.

        CorruptRecord unless every byte of the record is as it was indexed, so the index's values
        are right for what was read. After an error the contents of `into` are undefined.
        """
        shard, offset, length, crc, begin, end = self.index.places.item(i)
        body = into.reshape(-1).view(np.uint8)
        if len(body) != end - begin:
            raise ValueError(f"{self._where(i)}: {end - begin} bytes do not fit into {len(body)}")
        around = np.empty(length - len(body), np.uint8)
        head, tail = around[:begin], around[begin:]
        if self._shard(shard).read(offset, [head, body, tail]):
            found = crc32c.crc32c(body.data, crc32c.crc32c(head.data))
            marker = index_lib.marker(len(body))
            placed = head[-len(marker) :].tobytes() == marker
            if placed and crc32c.crc32c(tail.data, found) == crc:
                return
        self._verified(i)  # Raises an error that says what is damaged.
        stale = index_lib.path(self.directory, self.split)
        raise framing.CorruptRecord(
            f"{self._where(i)}: not the record of the index; remove {stale}"
        )

    def _verified(self, i: int) -> bytes:
        shard, offset, length, *_ = self.index.places.item(i)
        with open(self._path(shard), "rb") as f:
            f.seek(offset)
            return framing.verified(f.read(length), self._where(i))

    def _shard(self, number: int) -> shard_lib.Shard:
        if number not in self._shards:
            self._shards[number] = shard_lib.Shard(self._path(number))
        return self._shards[number]

    def _where(self, i: int) -> str:
        return f"{self._path(int(self.index.shard[i]))} at byte {self.index.offset[i]}"

    def _path(self, file: int) -> pathlib.Path:
        return self.directory / str(self.index.files[file])

    def __repr__(self) -> str:
        return f"Records({str(self.directory)!r}, {self.split!r})"


def there(directory: str | os.PathLike) -> bool:
    """Whether a folder holds a prepared data set."""
    return files.exists(pathlib.Path(directory) / "metadata.json")


def read_metadata(directory: pathlib.Path) -> dict:
    """What prepare wrote about a data set: task, selection, source, how it was split."""
    if not there(directory):
        raise errors.BadInput(f"{directory} holds no prepared data set: run aslx.prepare first")
    return files.read_object(directory / "metadata.json")


def shards(directory: pathlib.Path, split: str) -> list[pathlib.Path]:
    """The shard files of a split, in order; BadInput lists the splits that there are."""
    counts = _shard_counts(directory)
    if split not in counts:
        raise errors.BadInput(
            f"{directory} has no split {split!r}; it has {', '.join(counts)}: name one of these, "
            "or prepare more clips"
        )
    paths = sorted(directory.glob(f"*-{glob.escape(split)}.tfrecord-*-of-*"))
    if len(paths) != counts[split]:
        raise errors.BadInput(
            f"{directory} has {len(paths)} of the {counts[split]} shards of {split}"
        )
    return paths


def splits(directory: pathlib.Path) -> list[str]:
    """The names of the splits that have shards."""
    return [name for name, count in _shard_counts(directory).items() if count]


def _shard_counts(directory: pathlib.Path) -> dict[str, int]:
    path = directory / "dataset_info.json"
    info = files.read_json(path)
    try:
        return {split["name"]: len(split["shardLengths"]) for split in info["splits"]}
    except (KeyError, TypeError):
        raise errors.BadInput(
            f"{path} is damaged, it does not name splits and their shards: prepare the data again"
        ) from None
