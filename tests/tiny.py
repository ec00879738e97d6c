"""Tiny inputs for tests: a prepared data set, and a config that trains in seconds."""

import json
import pathlib
import struct

import numpy as np
from tensorflow_datasets.proto import tf_example_pb2

from aslx import config, optim
from aslx.data import framing, plan, records
from aslx.inputs import phrase_features
from aslx.models import transformer
from aslx.schema import landmarks, vocab
from aslx.tasks import heads, transcription

SELECTION = landmarks.HOLISTIC130


def frame(payload: bytes) -> bytes:
    """A TFRecord around a payload."""
    length = struct.pack("<Q", len(payload))
    crc = [struct.pack("<I", framing.masked_crc(x)) for x in (length, payload)]
    return length + crc[0] + payload + crc[1]


def example(landmarks_TN3: np.ndarray, phrase: str, signer: int, sequence_id: int) -> bytes:
    message = tf_example_pb2.Example()
    feature = message.features.feature
    feature["landmarks"].bytes_list.value.append(landmarks_TN3.astype("<f2").tobytes())
    feature["phrase"].bytes_list.value.append(phrase.encode())
    feature["signer"].int64_list.value.append(signer)
    feature["sequence_id"].int64_list.value.append(sequence_id)
    return message.SerializeToString(deterministic=True)


def clip(rng: np.random.Generator, phrase: str, frames: int, selection=SELECTION) -> np.ndarray:
    """A pose of its own for each character, a third of the frames without the right hand, all
    without the left."""
    shape = (len(selection.points), 3)
    poses = [np.random.default_rng(ord(c)).uniform(0.2, 0.8, shape) for c in phrase]
    x_TN3 = np.array([poses[i * len(phrase) // frames] for i in range(frames)]).reshape(-1, *shape)
    x_TN3 = (x_TN3 + rng.normal(0, 0.01, x_TN3.shape)).astype(np.float32)
    x_TN3[:, selection.part("left_hand")] = np.nan
    lost = rng.random(frames) < 1 / 3
    x_TN3[np.ix_(lost, selection.part("right_hand"))] = np.nan
    return x_TN3


def dataset(
    directory: pathlib.Path,
    counts=None,
    selection=SELECTION,
    seed: int = 0,
    frames=(4, 60),
    alphabet: str = vocab.CHARACTERS,
    characters=(1, 6),
) -> pathlib.Path:
    """Shards of random phrases, spelled; `counts`: clips of each shard, by split."""
    counts = counts or {"train": [50, 30], "validation": [24]}
    rng, info, number = np.random.default_rng(seed), [], 0
    for split, shards in counts.items():
        for i, count in enumerate(shards):
            path = directory / f"tiny-{split}.tfrecord-{i:05d}-of-{len(shards):05d}"
            with open(path, "wb") as f:
                for _ in range(count):
                    number += 1
                    size = rng.integers(*characters)
                    phrase = "".join(rng.choice(list(alphabet), size))
                    length = int(rng.integers(*frames))
                    f.write(
                        frame(
                            example(
                                clip(rng, phrase, length, selection), phrase, number % 5, number
                            )
                        )
                    )
        info.append({"name": split, "shardLengths": [str(c) for c in shards]})
    (directory / "dataset_info.json").write_text(json.dumps({"splits": info}))
    metadata = {"task": "transcription", "selection": selection.name}
    (directory / "metadata.json").write_text(json.dumps(metadata))
    return directory


def damage(data: pathlib.Path, split: str, i: int) -> str:
    """One bit of a record; where the record lies."""
    found = records.Records(data, split)
    path = data / str(found.index.files[found.index.shard[i]])
    contents = bytearray(path.read_bytes())
    contents[int(found.index.offset[i]) + 100] ^= 4
    path.write_bytes(contents)
    return f"{path} at byte {found.index.offset[i]}"


def cfg(path: pathlib.Path, **changes) -> config.Config:
    """A CTC transformer of a few thousand parameters on the data set at `path`."""
    values = {
        "data": config.Data(
            path=str(path), batching=plan.Bucketed(frames=512, buckets=1, multiple=8)
        ),
        "task": transcription.Task(head=heads.CTC(), max_tokens=8),
        "features": phrase_features.Modern(max_frames=32),
        "model": transformer.Config(
            dim=16, num_layers=1, num_heads=2, decoder_layers=0, ctc=True, stride=2, kernel=3
        ),
        "optim": optim.Config(peak_lr=1e-3),
        "epochs": 2,
        "ema_decay": 0.9,
        "log_every": 1,
    }
    return config.Config(**(values | changes))


def config_file(path: pathlib.Path, data: pathlib.Path, **changes: int) -> pathlib.Path:
    """Writes a file that gives a command `cfg` of the data set at `data`."""
    values = "".join(f", {name}={value}" for name, value in changes.items())
    path.write_text(
        "import pathlib\nfrom tests import tiny\ndef get_config():\n"
        f"    return tiny.cfg(pathlib.Path({str(data)!r}){values})\n"
    )
    return path
