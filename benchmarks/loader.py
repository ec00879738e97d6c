"""Padded batches from a warm page cache: clips a second of the loader and of other ways to read.

python -m benchmarks.loader
python -m benchmarks.loader --no-others

All contenders read the same random clips, verify their CRCs, and pad 64 clips to a batch. Each runs
in a process of its own, and they take turns. Threads that only copy clips from memory and compute
their CRCs say what the machine can do.
"""

import concurrent.futures
import dataclasses
import functools
import itertools
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import tyro

from aslx import cli
from benchmarks import machine, turns

_PHRASE = "3 creekhouse road"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(turns.Options):
    """Times the loader with one thread and with several, and other ways to read."""

    clips: int = 2000
    frames: int = 148
    """Frames of every clip; the default is the median of Kaggle's."""
    rows: int = 64
    """Clips in a batch."""
    threads: int = 2
    """Threads where there are several."""
    others: bool = True
    """A bare loop over the records, and two ways of tf.data."""
    steps: int = 200
    folder: str = ""
    """A folder for the clips, which are removed again; empty for the folder of temporary files."""


def prepare(folder: pathlib.Path, clips: int, frames: int) -> None:
    """Writes random clips as aslx.prepare does."""
    import tensorflow_datasets as tfds

    from aslx.prepare import shards, workers
    from aslx.schema import landmarks

    shape = (frames, len(landmarks.HOLISTIC130.points), 3)
    encoding = tfds.features.Encoding.BYTES

    def example(i: int) -> dict[str, Any]:
        clip_TN3 = np.random.default_rng(i).random(shape, np.float32).astype(np.float16)
        return {"landmarks": clip_TN3, "phrase": _PHRASE, "sequence_id": i, "signer": i % 100}

    shards.write(
        folder,
        name="random",
        description="Random clips.",
        features={
            "landmarks": tfds.features.Tensor(
                shape=(None, *shape[1:]), dtype=np.float16, encoding=encoding
            ),
            "phrase": tfds.features.Text(),
            "sequence_id": np.int64,
            "signer": np.int64,
        },
        metadata={"task": "transcription", "selection": landmarks.HOLISTIC130.name},
        parts={"train": range(clips)},
        example=example,
        size=lambda _: int(np.prod(shape)) * 2,
        run=functools.partial(workers.run, processes=1),
    )


def ours(folder: pathlib.Path, rows: int, threads: int) -> Any:
    """Batches as training reads them: planned and shuffled, with texts and signers."""
    from aslx.data import loader, plan, record_fields, records
    from aslx.kernels import malloc_tuning
    from aslx.schema import landmarks, vocab

    malloc_tuning.keep()
    data, points = records.Records(folder, "train"), landmarks.HOLISTIC130
    shapes = plan.Fixed(rows=rows).shapes(data.index.frames)
    wanted = (
        record_fields.landmarks_clip(points, points),
        record_fields.SIGNER,
        record_fields.Text(64, vocab.KAGGLE),
    )
    planned = plan.Train(data.index.frames, shapes, 0)
    every = loader.Batches(data, planned, 1 << 30, wanted)
    batches = iter(loader.stream(every, workers=threads - 1))

    def run(count: int) -> None:
        # The loader has already read some batches ahead; they do not count.
        for _ in range(count + loader.BATCHES_AHEAD * threads):
            next(batches)

    return turns.Work(run)


def limit(clips: int, frames: int, rows: int, threads: int) -> Any:
    """Copies of clips in memory into new batches, and their CRCs: nothing is read or planned."""
    import crc32c

    from aslx.kernels import malloc_tuning

    malloc_tuning.keep()
    source = np.random.default_rng(0).integers(256, size=(clips, frames * 130 * 6), dtype=np.uint8)
    order = np.random.default_rng(1).permutation(clips).tolist()

    def copy(batch: int) -> None:
        out = np.empty((rows, source.shape[1]), np.uint8)
        for row in range(rows):
            out[row] = source[order[(batch * rows + row) % clips]]
            crc32c.crc32c(out[row])

    pool = concurrent.futures.ThreadPoolExecutor(threads)

    def run(count: int) -> None:
        list(pool.map(copy, range(count)))

    return turns.Work(run)


def bare(folder: pathlib.Path, rows: int) -> Any:
    """One thread that calls pread, verifies, parses, and copies into one array for all batches."""
    from aslx.data import framing, records

    data = records.Records(folder, "train")
    index, files = data.index, [os.open(folder / str(f), os.O_RDONLY) for f in data.index.files]
    places = list(zip(index.shard.tolist(), index.length.tolist(), index.offset.tolist()))  # noqa: B905
    order = itertools.cycle(np.random.default_rng(0).permutation(len(places)).tolist())
    batch_BTN3 = np.zeros((rows, index.frames.max(), 130, 3), "<f2")

    def run(count: int) -> None:
        for _ in range(count):
            for row, i in zip(range(rows), order):  # noqa: B905
                file, length, offset = places[i]
                payload = framing.verified(os.pread(files[file], length, offset), "")
                features = framing.parse(payload, "")
                clip = np.frombuffer(features["landmarks"].bytes_list.value[0], "<f2")
                clip_TN3 = clip.reshape(-1, 130, 3)
                batch_BTN3[row, : len(clip_TN3)] = clip_TN3

    return turns.Work(run)


def baselines(folder: pathlib.Path, rows: int) -> Any:
    """tf.data as both fingerspelling baselines use it: one list of floats for each column, and one
    record after the other."""
    import tensorflow as tf

    from aslx.data import records
    from aslx.schema import landmarks

    columns, path = landmarks.HOLISTIC130.columns, str(folder / "baselines.tfrecord")
    data = records.Records(folder, "train")
    with tf.io.TFRecordWriter(path) as writer:
        for i in range(len(data)):
            clip = np.frombuffer(data[i]["landmarks"].bytes_list.value[0], "<f2")
            clip_CT = clip.reshape(-1, 130, 3).transpose(2, 1, 0).reshape(len(columns), -1)
            example = tf.train.Example()
            for name, values in zip(columns, clip_CT.astype(np.float32).tolist(), strict=True):
                example.features.feature[name].float_list.value.extend(values)
            example.features.feature["phrase"].bytes_list.value.append(_PHRASE.encode())
            writer.write(example.SerializeToString())
    schema: dict[str, Any] = {name: tf.io.VarLenFeature(tf.float32) for name in columns}
    schema["phrase"] = tf.io.FixedLenFeature([], tf.string)

    def decode(record: Any) -> Any:
        found = tf.io.parse_single_example(record, schema)
        clip_TC = tf.stack([tf.sparse.to_dense(found[name]) for name in columns], -1)
        return clip_TC, found["phrase"]

    dataset = tf.data.TFRecordDataset(path).repeat().map(decode).padded_batch(rows)
    return _reading(iter(dataset.prefetch(tf.data.AUTOTUNE)))


def tuned(folder: pathlib.Path, rows: int) -> Any:
    """The fastest tf.data pipeline for aslx's records: parallel shards, parsed in batches."""
    import tensorflow as tf

    from aslx.data import records

    data = records.Records(folder, "train")
    frames = int(data.index.frames.max())
    schema = {name: tf.io.FixedLenFeature([], tf.string) for name in ("landmarks", "phrase")}

    def decode(several: Any) -> Any:
        found = tf.io.parse_example(several, schema)
        raw = found["landmarks"]
        # TensorFlow has no float16 kernel for padded bytes.
        clips = tf.io.decode_raw(raw, tf.uint16, fixed_length=frames * 130 * 6)
        length = tf.strings.length(raw) // (130 * 6)
        clips = tf.reshape(tf.bitcast(clips, tf.float16), (rows, frames, 130, 3))
        return clips, length, found["phrase"]

    auto = tf.data.AUTOTUNE
    paths = tf.data.Dataset.from_tensor_slices([str(folder / str(f)) for f in data.index.files])
    several = paths.repeat().interleave(
        tf.data.TFRecordDataset, num_parallel_calls=auto, deterministic=False
    )
    batched = several.batch(rows, drop_remainder=True)
    return _reading(iter(batched.map(decode, num_parallel_calls=auto).prefetch(auto)))


def _reading(batches: Iterator) -> Any:
    """Work that reads batches."""

    def run(count: int) -> None:
        for _ in range(count):
            next(batches)

    return turns.Work(run)


def contenders(command: Command, folder: pathlib.Path) -> list[Any]:
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": ""}
    size = command.clips, command.frames, command.rows
    builds = {
        "aslx": functools.partial(ours, folder, command.rows, 1),
        "aslx, threads": functools.partial(ours, folder, command.rows, command.threads),
        "copy and CRC": functools.partial(limit, *size, 1),
        "copy and CRC, threads": functools.partial(limit, *size, command.threads),
    }
    others = {
        "bare loop": functools.partial(bare, folder, command.rows),
        "tf.data, the baselines'": functools.partial(baselines, folder, command.rows),
        "tf.data, tuned": functools.partial(tuned, folder, command.rows),
    }
    builds |= others if command.others else {}
    return [turns.Contender(name, build, quiet) for name, build in builds.items()]


def main() -> None:
    command = tyro.cli(Command)
    with tempfile.TemporaryDirectory(dir=command.folder or None) as temporary:
        folder = pathlib.Path(temporary)
        prepare(folder, command.clips, command.frames)
        times = turns.race(contenders(command, folder), turns=command.turns, steps=command.steps)
    table = []
    megabytes = command.frames * 130 * 6 / 1e6  # A clip in float16.
    for name, found in times.items():
        rates = sorted(command.rows / s for s in found.seconds)
        low, rate, high = (round(float(np.quantile(rates, q))) for q in (0, 0.5, 1))
        # Turns that follow each other are compared, because both meet the same disturbances.
        against = np.divide(found.seconds, times["aslx"].seconds)
        cpu = float(np.median(found.cpu_seconds)) / command.rows
        line = {"benchmark": "loader", "contender": name, "rows": command.rows}
        line |= {"frames": command.frames, "threads": command.threads}
        line |= {"seq_per_s": rate, "seq_per_s_min": low, "seq_per_s_max": high}
        line |= {"mb_per_s": round(rate * megabytes), "cpu_us_per_seq": round(cpu * 1e6, 1)}
        line |= {"ratio": round(float(np.median(against)), 2)}
        print(json.dumps(line | machine.facts()), flush=True)
        spread = f"{rate:,} ({low:,} to {high:,})"
        table.append((name, spread, line["mb_per_s"], line["cpu_us_per_seq"], line["ratio"]))
    print(machine.table(("", "seq/s", "MB/s", "µs of CPU a clip", "times ours"), table))


if __name__ == "__main__":
    cli.run(main)
