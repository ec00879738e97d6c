"""Examples -> a folder of TFDS-format TFRecord shards, and the index of each part."""

import collections
import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import tensorflow_datasets as tfds
from etils import epath
from tensorflow_datasets.proto import tf_example_pb2

from aslx.data import framing, index
from aslx.prepare import duplicates as duplicates_lib
from aslx.prepare import workers
from aslx.storage import files

VERSION = "1.0.0"  # Of the records' layout; in dataset_info.json and metadata.json.
Item = TypeVar("Item")
_SHARD_BYTES = 128 << 20  # Large enough to stream from a bucket, small enough to copy in parallel.
_SHARDS, _SHARD_RECORDS = 8, 32  # As many shards, where each then has as many records.


@dataclasses.dataclass(frozen=True)
class Shard:
    """What was written into a file: its bytes, the columns of the index, the digest of each clip or
    image, and how often each word came that `mended` has of an item."""

    size: int
    columns: Mapping[str, np.ndarray]
    digests: Sequence[bytes]
    mended: collections.Counter[str]


def array(shape: tuple[int | None, ...], dtype: Any) -> tfds.features.Tensor:
    """The feature of a clip or an image, which is stored as its bytes."""
    return tfds.features.Tensor(shape=shape, dtype=dtype, encoding=tfds.features.Encoding.BYTES)


def duplicates(written: Mapping[str, Sequence[Shard]], label: str) -> dict[str, int]:
    """Counts the clips or images that are the same, of all parts; `label` is the column of the
    index that should then be the same too."""
    return duplicates_lib.count(
        (part, said, digest)
        for part, of in written.items()
        for shard in of
        for said, digest in zip(shard.columns[label].tolist(), shard.digests, strict=True)
    )


def write(
    folder: files.Path,
    *,
    name: str,
    description: str,
    features: Mapping[str, Any],
    metadata: Mapping[str, Any],
    parts: Mapping[str, Sequence[Item]],
    example: Callable[[Item], Mapping[str, Any]],
    size: Callable[[Item], int],
    run: workers.Run,
    shards: int | None = None,
    mended: Callable[[Item], Sequence[str]] | None = None,
) -> dict[str, list[Shard]]:
    """Writes into `folder`: shards, features.json, dataset_info.json, metadata.json and the index,
    for `tfds.builder_from_directory`, tf.data and `records`. Each shard is a task of `run`.

    `example` makes the fields of a record from an item of a part, and `size` tells its bytes. The
    items are shuffled once, for readers that only shuffle a window; so the bytes depend on the
    arguments alone. `shards` is the number in each part: by default one for 128 MB, and up to
    8 for reading in parallel. `mended` is asked once an item's fields are made.

    Answers the shards of each part.
    """
    folder.mkdir(parents=True, exist_ok=True)
    metadata = {**metadata, "version": VERSION}
    encoding = tfds.features.FeaturesDict(features)
    template = tfds.core.ShardedFileTemplate(
        data_dir=epath.Path(folder), dataset_name=name, filetype_suffix="tfrecord"
    )
    planned = {
        part: _planned(items, template.replace(split=part), size, shards)
        for part, items in parts.items()
    }
    tasks = [
        (folder / file, items, example, encoding, metadata, mended)
        for held in planned.values()
        for file, items in held.items()
    ]
    counts = [len(items) for _, items, *_ in tasks]
    done = workers.gathered(run, _write_one, tasks, counts, "writing", "records")
    written = dict(zip((file.name for file, *_ in tasks), done, strict=True))
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=encoding,
        split_infos=[
            tfds.core.SplitInfo(
                name=part,
                shard_lengths=[len(items) for items in held.values()],
                num_bytes=sum(written[file].size for file in held),
                filename_template=template.replace(split=part),
            )
            for part, held in planned.items()
        ],
        version=VERSION,
        check_data=False,  # Which would need TensorFlow.
        description=description,
        metadata=tfds.core.MetadataDict(metadata),
    )
    for part, held in planned.items():
        of = {file: (written[file].size, written[file].columns) for file in held}
        index.save(folder, part, index.joined(of))
    return {part: [written[file] for file in held] for part, held in planned.items()}


def _planned(
    items: Sequence[Item], template: Any, size: Callable[[Item], int], wanted: int | None
) -> dict[str, list[Item]]:
    """The shards of a part: their names, and the items that each holds."""
    number = _number(len(items), sum(map(size, items)), wanted)
    chosen = np.array_split(np.random.default_rng(0).permutation(len(items)), number)
    return {
        template.sharded_filepath(shard_index=i, num_shards=number).name: [items[j] for j in order]
        for i, order in enumerate(chosen)
    }


def _number(count: int, size: int, wanted: int | None) -> int:
    """How many shards for `count` records of `size` bytes in all."""
    few = min(_SHARDS, count // _SHARD_RECORDS)
    return max(1, min(wanted or max(few, -(-size // _SHARD_BYTES)), count))


def _write_one(
    file: files.Path,
    items: Sequence[Item],
    example: Callable[[Item], Mapping[str, Any]],
    encoding: tfds.features.FeaturesDict,
    metadata: dict,
    mended: Callable[[Item], Sequence[str]] | None,
) -> Shard:
    """Writes one shard without TensorFlow, which takes seconds to import and a gigabyte to install.

    Protobuf writes the fields of an Example in an order that differs from process to process; the
    fields are put into the order of their names, so that the same input gives the same bytes.
    """
    parse = tf_example_pb2.Example.FromString  # pyright: ignore[reportAttributeAccessIssue]
    rows, digests, words, size = [], [], collections.Counter(), 0
    with files.writing(file) as f:
        for item in items:
            message = parse(encoding.serialize_example(example(item)))
            words.update(mended(item) if mended else ())
            framed = framing.framed(message.SerializeToString(deterministic=True))
            where = f"{file} at byte {size}"
            row = index.row(message.features.feature, framed, size, metadata, where)
            value = framed[row["begin"] : row["end"]]
            digests.append(hashlib.blake2b(value, digest_size=16).digest())
            rows.append(row)
            f.write(framed)
            size += len(framed)
    return Shard(size, index.columns(rows), digests, words)
