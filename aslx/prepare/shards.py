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

VERSION = "1.0.0"  # Of the layout of records; in dataset_info.json and metadata.json.
Item = TypeVar("Item")
_SHARD_BYTES = 128 << 20  # Large enough to stream from a bucket, small enough to copy in parallel.
_SHARDS, _SHARD_RECORDS = 8, 32  # Shards of a small part, if each then has that many records.


@dataclasses.dataclass(frozen=True)
class Shard:
    """Facts about a file that was written."""

    size: int  # Bytes.
    columns: Mapping[str, np.ndarray]  # Of the index.
    digests: Sequence[bytes]  # Of each record's clip or image.
    mended: collections.Counter[str]  # How many items each of the words of `mending` is about.


def array(shape: tuple[int | None, ...], dtype: Any) -> tfds.features.Tensor:
    """The feature of a clip or an image, which is stored as bytes."""
    return tfds.features.Tensor(shape=shape, dtype=dtype, encoding=tfds.features.Encoding.BYTES)


def duplicates(written: Mapping[str, Sequence[Shard]], label: str) -> dict[str, int]:
    """`duplicates.count` of the clips or images in all parts; their labels are in the column
    `label` of the index."""
    return duplicates_lib.count(
        (part, value, digest)
        for part, of in written.items()
        for shard in of
        for value, digest in zip(shard.columns[label].tolist(), shard.digests, strict=True)
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
    for `tfds.builder_from_directory`, tf.data and `records`. Answers the shards of each part.

    Each shard is a task of `run`. `example` makes the fields of a record from an item, of about
    `size` bytes; then `mended` tells what was put right in it. The items are shuffled once, in an
    order that depends on their number alone, for readers that only shuffle a window. `shards` is
    the number in each part: by default one for 128 MB, and up to 8 for reading in parallel.
    """
    folder.mkdir(parents=True, exist_ok=True)
    metadata = {**metadata, "version": VERSION}
    encoding = tfds.features.FeaturesDict(features)
    template = tfds.core.ShardedFileTemplate(
        data_dir=epath.Path(folder), dataset_name=name, filetype_suffix="tfrecord"
    )
    planned = {
        part: _plan(items, template.replace(split=part), size, shards)
        for part, items in parts.items()
    }
    tasks = [
        (folder / file, items, example, encoding, metadata, mended)
        for shard_items in planned.values()
        for file, items in shard_items.items()
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
                shard_lengths=[len(items) for items in shard_items.values()],
                num_bytes=sum(written[file].size for file in shard_items),
                filename_template=template.replace(split=part),
            )
            for part, shard_items in planned.items()
        ],
        version=VERSION,
        check_data=False,  # The check would need TensorFlow.
        description=description,
        metadata=tfds.core.MetadataDict(metadata),
    )
    for part, files_of in planned.items():
        of = {file: (written[file].size, written[file].columns) for file in files_of}
        index.save(folder, part, index.joined(of))
    return {part: [written[file] for file in files_of] for part, files_of in planned.items()}


def _plan(
    items: Sequence[Item], template: Any, size: Callable[[Item], int], wanted: int | None
) -> dict[str, list[Item]]:
    """The items of each shard of a part, by the file's name."""
    few = min(_SHARDS, len(items) // _SHARD_RECORDS)
    number = wanted or max(few, -(-sum(map(size, items)) // _SHARD_BYTES))
    number = max(1, min(number, len(items)))
    chosen = np.array_split(np.random.default_rng(0).permutation(len(items)), number)
    return {
        template.sharded_filepath(shard_index=i, num_shards=number).name: [items[j] for j in order]
        for i, order in enumerate(chosen)
    }


def _write_one(
    file: files.Path,
    items: Sequence[Item],
    example: Callable[[Item], Mapping[str, Any]],
    encoding: tfds.features.FeaturesDict,
    metadata: dict,
    mended: Callable[[Item], Sequence[str]] | None,
) -> Shard:
    """Writes one shard without TensorFlow, which takes seconds to import and a gigabyte to install.

    Protobuf's order of an Example's fields differs from process to process, so they are written in
    the order of their names: the same input gives the same bytes.
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
