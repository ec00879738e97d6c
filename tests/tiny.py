"""Small inputs: a prepared data set, a config that trains in seconds, pictures, a parquet file."""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from PIL import Image
from tensorflow_datasets.proto import tf_example_pb2

from aslx import config, optim
from aslx.data import framing, plan, records
from aslx.inputs import input_kinds, phrase_features
from aslx.models import fingerspelling_lstm, transformer
from aslx.runs import opening
from aslx.schema import landmarks, vocab
from aslx.tasks import heads, transcription

SELECTION = landmarks.HOLISTIC130
# The base of a class with those parts of a network that a test needs.
if TYPE_CHECKING:
    StandIn = Any
else:
    StandIn = object


def selection(cfg: config.Config) -> landmarks.Selection:
    """The points that a run reads of parquet files."""
    source = cfg.features.source
    assert isinstance(source, input_kinds.Columns)
    return source.selection


def holds(phrase: str, frames: int) -> np.ndarray:
    """i32[characters, 2]: the first and the last frame of each character's pose in a `clip`."""
    at = np.arange(frames) * len(phrase) // frames
    places = [np.flatnonzero(at == i) for i in range(len(phrase))]
    return np.array([(place[0], place[-1]) for place in places], "<i4")


def example(
    landmarks_TN3: np.ndarray, phrase: str, signer: int, sequence_id: int, held: bool = False
) -> bytes:
    """A record of a clip, without its framing."""
    message = tf_example_pb2.Example()  # pyright: ignore[reportAttributeAccessIssue]
    feature = message.features.feature
    feature["landmarks"].bytes_list.value.append(landmarks_TN3.astype("<f2").tobytes())
    feature["phrase"].bytes_list.value.append(phrase.encode())
    if held:
        feature["holds"].bytes_list.value.append(holds(phrase, len(landmarks_TN3)).tobytes())
    feature["signer"].int64_list.value.append(signer)
    feature["sequence_id"].int64_list.value.append(sequence_id)
    return message.SerializeToString(deterministic=True)


def clip(rng: np.random.Generator, phrase: str, frames: int, selection=SELECTION) -> np.ndarray:
    """f32[frames, points, 3]; each character is a pose of its own. The right hand is lost in a
    third of the frames, the left hand in all."""
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
    alphabet: str = vocab.KAGGLE.characters,
    characters=(1, 6),
    held: bool = False,
) -> pathlib.Path:
    """Writes shards of clips that spell random phrases; `counts`: the clips in each shard of each
    split. `frames` and `characters` are ranges whose end is excluded. Metadata name the alphabet
    where Kaggle's lacks one of its characters; records where a character is `held`."""
    counts = counts or {"train": [50, 30], "validation": [24]}
    rng, info, number = np.random.default_rng(seed), [], 0
    for split, shards in counts.items():
        for i, count in enumerate(shards):
            path = directory / f"tiny-{split}.tfrecord-{i:05d}-of-{len(shards):05d}"
            with open(path, "wb") as f:
                for _ in range(count):
                    number += 1
                    phrase = "".join(rng.choice(list(alphabet), rng.integers(*characters)))
                    landmarks_TN3 = clip(rng, phrase, int(rng.integers(*frames)), selection)
                    record = example(landmarks_TN3, phrase, number % 5, number, held)
                    f.write(framing.framed(record))
        info.append({"name": split, "shardLengths": [str(c) for c in shards]})
    (directory / "dataset_info.json").write_text(json.dumps({"splits": info}))
    metadata = {"task": "transcription", "selection": selection.name}
    if not set(alphabet) <= set(vocab.KAGGLE.characters):
        metadata["alphabet"] = alphabet
    (directory / "metadata.json").write_text(json.dumps(metadata))
    return directory


def damage(data: pathlib.Path, split: str, i: int) -> str:
    """Flips one bit of a record; returns where the record lies, as errors name it."""
    found = records.Records(data, split)
    path = data / str(found.index.files[found.index.shard[i]])
    contents = bytearray(path.read_bytes())
    contents[int(found.index.offset[i]) + 100] ^= 4
    path.write_bytes(contents)
    return f"{path} at byte {found.index.offset[i]}"


@functools.cache
def abstract(name: str) -> Any:
    """The network of one of the house's configs, without values."""
    return jax.eval_shape(functools.partial(opening.network, config.load(name)))


def shallow(cfg: config.Config) -> config.Config:
    """A config whose network has two blocks of each kind at most: the others are their like."""
    most = {"num_layers": 2, "decoder_layers": 2, "halve_after": 1}
    names = {field.name for field in dataclasses.fields(cfg.model)} & most.keys()
    fewer = {name: min(most[name], getattr(cfg.model, name)) for name in names}
    return dataclasses.replace(cfg, model=dataclasses.replace(cfg.model, **fewer))


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


def small(path: pathlib.Path, **changes) -> config.Config:
    """A config whose programs compile in a third of the time of `cfg`'s: an LSTM that predicts the
    character of each place, with five steps an epoch. It has no dropout: no step depends on a
    key."""
    values = {
        "data": config.Data(
            path=str(path), batching=plan.Bucketed(frames=1024, buckets=1, multiple=16)
        ),
        "task": transcription.Task(head=heads.PerPosition(), max_tokens=62),
        "features": phrase_features.Baseline(),
        "model": fingerspelling_lstm.Config(),
    }
    return cfg(path, **(values | changes))


def with_data(cfg: config.Config, **changes) -> config.Config:
    """A config with other values in `data`."""
    return dataclasses.replace(cfg, data=dataclasses.replace(cfg.data, **changes))


def config_file(
    path: pathlib.Path, data: pathlib.Path, make=cfg, **changes: int | float
) -> pathlib.Path:
    """Writes a config file whose config is `make(data, **changes)`, with `cfg` or `small`."""
    values = "".join(f", {name}={value}" for name, value in changes.items())
    path.write_text(
        "import pathlib\nfrom tests import tiny\ndef get_config():\n"
        f"    return tiny.{make.__name__}(pathlib.Path({str(data)!r}){values})\n"
    )
    return path


def filled(make: Callable[[], Any], seed: int = 1) -> Any:
    """The network that `make` makes with other values, as if trained: with biases at zero, padding
    would do no harm that shows. The initialisers need not be compiled, which takes seconds."""
    rng = np.random.default_rng(seed)

    def value(path: tuple, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        x = rng.normal(size=leaf.shape)
        if len(leaf.shape) > 1 and "bias" not in jax.tree_util.keystr(path):
            x = x / leaf.size**0.25  # About the square root of a square matrix' inputs.
        else:
            x = 0.1 * x + ("scale" in jax.tree_util.keystr(path))
        return jnp.asarray(x, leaf.dtype)

    return jax.tree_util.tree_map_with_path(value, jax.eval_shape(make))


def pictures(folder: pathlib.Path, classes: Mapping[str, tuple[int, int]], count: int) -> None:
    """Writes `count` noisy pictures of 40 x 40 pixels for each class, in a folder of its name; a
    class is the grey levels of a picture's upper and lower half."""
    rng = np.random.default_rng(0)
    for name, levels in classes.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = np.repeat(np.array(levels), 20)[:, None] + rng.normal(0, 9, (40, 40))
            grey = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
            grey.convert("RGB").save(folder / name / f"{i}.png")


def parquet(path: pathlib.Path, clips: Mapping[int, np.ndarray], selection=SELECTION) -> None:
    """Writes clips, [T, points, 3] by sequence id, in the layout of Kaggle's landmark files."""
    tables = [
        pd.DataFrame(
            landmarks.columns(clip),
            pd.Index([sequence_id] * len(clip), name="sequence_id"),
            list(selection.columns),
        )
        for sequence_id, clip in clips.items()
    ]
    pd.concat(tables).to_parquet(path)
