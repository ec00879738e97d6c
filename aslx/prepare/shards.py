"""Examples -> a folder of TFDS-format TFRecord shards."""

import collections
import pathlib
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import tensorflow_datasets as tfds
import tqdm
from etils import epath
from tensorflow_datasets.proto import tf_example_pb2

from aslx.data import framing, records
from aslx.prepare import workers
from aslx.storage import files, remote_files

VERSION = "1.0.0"  # Of the records' layout; in dataset_info.json and metadata.json.
Item = TypeVar("Item")
_SHARD_BYTES = 128 << 20  # Large enough to stream from a bucket, small enough to copy in parallel.
_SHARDS, _SHARD_RECORDS = 8, 32  # As many shards, where each then has as many records.


def _nothing(item: Any) -> Sequence[str]:
    del item
    return ()


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
    mended: Callable[[Item], Sequence[str]] = _nothing,
) -> collections.Counter[str]:
    """Writes into `folder`: shards, features.json, dataset_info.json, metadata.json and the index,
    for `tfds.builder_from_directory`, tf.data and `records`. Each shard is a task of `run`.

    `example` makes the fields of a record from an item of a part, and `size` tells its bytes. The
    items are shuffled once and for all, for readers that only shuffle a window; so the bytes depend
    on the arguments alone. `shards` is the number in each part, by default one for 128 MB, and a
    few at least for reading in parallel.

    Answers how often each of the words came that `mended` has of an item, once its fields are made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    encoding = tfds.features.FeaturesDict(features)
    template = tfds.core.ShardedFileTemplate(
        data_dir=epath.Path(folder), dataset_name=name, filetype_suffix="tfrecord"
    )
    planned = {
        part: _planned(items, template.replace(split=part), size, shards)
        for part, items in parts.items()
    }
    tasks = [
        (folder / file, items, example, encoding, mended)
        for held in planned.values()
        for file, items in held.items()
    ]
    sizes, words = _written(tasks, run)
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=encoding,
        split_infos=[
            tfds.core.SplitInfo(
                name=part,
                shard_lengths=[len(items) for items in held.values()],
                num_bytes=sum(sizes[file] for file in held),
                filename_template=template.replace(split=part),
            )
            for part, held in planned.items()
        ],
        version=VERSION,
        check_data=False,  # Which would need TensorFlow.
        description=description,
        metadata=tfds.core.MetadataDict(metadata),
    )
    if isinstance(folder, pathlib.Path):
        records.write_index(folder)
    else:
        list(run(_index_one, [(folder, part, list(held)) for part, held in planned.items()]))
    return words


def _written(
    tasks: list[tuple], run: workers.Run
) -> tuple[dict[str, int], collections.Counter[str]]:
    """The bytes of each shard's records, once it is written, and how often each word came."""
    words, sizes, total = collections.Counter(), {}, sum(len(items) for _, items, *_ in tasks)
    with tqdm.tqdm(total=total, desc="writing", unit=" records", disable=None) as bar:
        for i, (size, counts) in run(_write_one, tasks):
            sizes[tasks[i][0].name] = size
            words.update(counts)
            bar.update(len(tasks[i][1]))
    return sizes, words


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
    mended: Callable[[Item], Sequence[str]],
) -> tuple[int, collections.Counter[str]]:
    """Writes one shard, and answers its bytes and the words about its items: TFRecords without
    TensorFlow, which takes seconds to import and a gigabyte to install.

    Protobuf writes the fields of an Example in an order that differs from process to process;
    they are put into the order of their names, so that the same input gives the same bytes.
    """
    parse = tf_example_pb2.Example.FromString  # pyright: ignore[reportAttributeAccessIssue]
    words = collections.Counter()
    with files.writing(file) as f:
        for item in items:
            serialized = encoding.serialize_example(example(item))
            words.update(mended(item))
            payload = parse(serialized).SerializeToString(deterministic=True)
            length = struct.pack("<Q", len(payload))
            f.write(length + struct.pack("<I", framing.masked_crc(length)))
            f.write(payload)
            f.write(struct.pack("<I", framing.masked_crc(payload)))
        return f.tell(), words


def _index_one(folder: epath.Path, part: str, shards: Sequence[str]) -> None:
    """Writes the index of a part beside its shards in a bucket; readers are local, so the shards
    are brought to the disk of whoever does it."""
    index = f"index-{part}.npz"
    with remote_files.here(folder, ["dataset_info.json", "metadata.json", *shards]) as local:
        records.Records(local, part)  # Scans, for want of an index.
        (folder / index).write_bytes((local / index).read_bytes())
