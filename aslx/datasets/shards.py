"""Examples -> a folder of TFDS-format TFRecord shards, whole or not there at all."""

import contextlib
import errno
import fcntl
import functools
import io
import os
import pathlib
import shutil
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import tensorflow_datasets as tfds
import tqdm
from tensorflow_datasets.core import writer as tfds_writer
from tensorflow_datasets.proto import tf_example_pb2

from aslx.data import records

VERSION = "1.0.0"  # Of the records' layout; in dataset_info.json and metadata.json.
Item = TypeVar("Item")
_SHARD_BYTES = 128 << 20  # Large enough to stream from a bucket, small enough to copy in parallel.
_SHARDS, _SHARD_RECORDS = 8, 32  # As many shards, where each then has as many records.


@contextlib.contextmanager
def building(out: pathlib.Path, *, overwrite: bool = False) -> Iterator[pathlib.Path]:
    """A scratch folder beside `out`; what stands in its "out" at the end becomes `out`.

    The last step is a rename, so `out` is whole or absent whatever happens. A scratch folder that
    an interrupted run left behind is emptied first. Raises FileExistsError where `out` is not
    empty, unless it is a prepared data set and `overwrite` is true.
    """
    out = out.absolute()
    check_free(out, overwrite)
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = out.parent / f".{out.name}.incomplete"
    scratch.mkdir(exist_ok=True)
    lock = os.open(scratch, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FileExistsError(f"another process is preparing {out}: wait for it") from None
        try:
            _empty(scratch)
            yield scratch
            check_free(out, overwrite)
            if out.exists():
                out.rename(scratch / "replaced")
            (scratch / "out").rename(out)
        except OSError as error:
            if _is_full(error):
                raise OSError(f"{out.parent} is full, make room and run again: {error}") from error
            raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    finally:
        os.close(lock)


def _is_full(error: BaseException | None) -> bool:
    """Whether a disk, a quota or a limit on files is the cause; TFDS wraps what it raises."""
    codes = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return error is not None and (
        getattr(error, "errno", None) in codes or _is_full(error.__cause__)
    )


def check_free(out: pathlib.Path, overwrite: bool) -> None:
    """FileExistsError, or NotADirectoryError, where `out` may not be written."""
    if not out.exists():
        return
    if not out.is_dir():
        raise NotADirectoryError(f"{out} is a file: choose another --out")
    if not any(out.iterdir()):
        return
    if not (out / "dataset_info.json").exists():
        raise FileExistsError(f"{out} holds something else than a data set: choose another --out")
    if not overwrite:
        raise FileExistsError(f"{out} exists already: pass --overwrite to replace it")


def _empty(folder: pathlib.Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def write(
    folder: pathlib.Path,
    *,
    name: str,
    description: str,
    features: Mapping[str, Any],
    metadata: Mapping[str, Any],
    parts: Mapping[str, Sequence[Item]],
    example: Callable[[Item], tuple[str, Mapping[str, Any]]],
    size: Callable[[Item], int],
    shards: int | None = None,
) -> None:
    """Writes `folder`, which must not exist: shards, features.json, dataset_info.json,
    metadata.json and the index, for `tfds.builder_from_directory`, tf.data and `records`.

    `example` makes an item of a part into (unique key, fields), and `size` tells its bytes. The
    items are shuffled once and for all, for readers that only shuffle a window; so the bytes depend
    on the arguments alone. `shards` is the number in each part, by default one for 128 MB, and a
    few at least for reading in parallel.
    """
    root = folder.parent / f"{folder.name}.tfds"
    total = sum(map(len, parts.values()))
    with tqdm.tqdm(total=total, desc="writing", unit=" records", disable=None) as bar:

        def counted(item: Item) -> tuple[str, Mapping[str, Any]]:
            bar.update()
            return example(item)

        planned = {}
        for part, items in parts.items():
            number = _number(len(items), sum(map(size, items)), shards)
            order = np.random.default_rng(0).permutation(len(items))
            planned[part] = [
                functools.partial(_examples, [items[i] for i in chosen], counted)
                for chosen in np.array_split(order, number)
            ]
        builder = _Builder(name, description, features, metadata, planned, data_dir=str(root))
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(try_download_gcs=False)
            )
    records.write_index(builder.data_path)
    pathlib.Path(builder.data_path).rename(folder)
    shutil.rmtree(root)


def _number(count: int, size: int, wanted: int | None) -> int:
    """How many shards for `count` records of `size` bytes in all."""
    few = min(_SHARDS, count // _SHARD_RECORDS)
    return max(1, min(wanted or max(few, -(-size // _SHARD_BYTES)), count))


def _examples(items: Sequence[Item], example: Callable) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for item in items:
        yield example(item)


class _Builder(tfds.core.ShardBasedBuilder, skip_registration=True):
    """Any examples in TFDS's terms: a list of generators for each part, one for each shard."""

    VERSION = tfds.core.Version(VERSION)
    code_path = None  # No checksums of downloads lie beside this file.

    def __init__(self, name, description, features, metadata, planned, **options):
        self.name = name  # pyright: ignore[reportAttributeAccessIssue] As TFDS's own AdhocBuilder.
        self._wanted = {
            "description": description,
            "features": tfds.features.FeaturesDict(features),
            "metadata": tfds.core.MetadataDict(metadata),
        }
        self._planned = planned
        super().__init__(**options)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(builder=self, **self._wanted)

    def _shard_iterators_per_split(self, dl_manager):
        del dl_manager  # Nothing is downloaded.
        return self._planned

    def _example_writer(self) -> tfds_writer.ExampleWriter:
        return _Writer(tfds.core.FileFormat.TFRECORD)


class _Writer(tfds_writer.ExampleWriter):
    """TFRecords without TensorFlow, which takes seconds to import and a gigabyte to install.

    Protobuf writes the fields of an Example in an order that differs from process to process;
    they are put into the order of their names, so that the same input gives the same bytes.
    """

    def write(self, path, examples) -> None:
        with open(path, "wb") as f:
            for _, serialized in examples:
                example = tf_example_pb2.Example.FromString(serialized)  # pyright: ignore[reportAttributeAccessIssue]
                payload = example.SerializeToString(deterministic=True)
                length = struct.pack("<Q", len(payload))
                f.write(length + struct.pack("<I", records.masked_crc(length)))
                f.write(payload)
                f.write(struct.pack("<I", records.masked_crc(payload)))
