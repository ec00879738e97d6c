"""A config's network and data sets, opened."""

import dataclasses
import functools
import pathlib

import jax
from etils import epath
from flax import nnx

from aslx import config as config_lib
from aslx import errors
from aslx.data import records, training_data
from aslx.kernels import random_streams
from aslx.models import stateless
from aslx.storage import files, hub


def dtype(cfg: config_lib.Config) -> str:
    """The type in which the network multiplies."""
    return getattr(cfg.model, "dtype", "float32")


def network(cfg: config_lib.Config) -> nnx.Module:
    """The config's network; BadInput where it keeps more than parameters."""
    key = random_streams.named(jax.random.key(cfg.seed), "parameters")
    return stateless.checked(cfg.task.build(cfg.model, cfg.features, nnx.Rngs(key)))


def settled(cfg: config_lib.Config, workdir: files.Path | None = None) -> config_lib.Config:
    """The config with what the data set decides: the names of classes, the alphabet, the size of
    images. A run that stands in `workdir`, or whose weights are taken, keeps its alphabet."""
    metadata = records.read_metadata(pathlib.Path(cfg.data.path))
    before = config_lib.of_run(workdir) if workdir else None
    if before is None and cfg.weights:
        weights = epath.Path(hub.local(cfg.weights)) / "config.json"
        before = config_lib.read(weights) if files.exists(weights) else None
    metadata |= before.task.kept if before else {}
    features = dataclasses.replace(cfg.features, **cfg.features.source.settled(metadata))
    return dataclasses.replace(cfg, task=cfg.task.settled(metadata), features=features)


def split(cfg: config_lib.Config, split: str, path: str = "") -> records.Records:
    """A split of `path`, or of the config's data set; BadInput where it is empty or lacks what the
    config's features need."""
    path = path or cfg.data.path
    data = records.Records(path, split)
    try:
        cfg.task.fields(data.metadata, cfg.features)
    except errors.BadInput as error:
        raise errors.BadInput(
            f"{path} does not hold what the config reads ({error}): "
            "prepare it otherwise, or take another config"
        ) from None
    if not len(data):
        raise errors.BadInput(f"the split {split} of {path} is empty")
    return data


def fields(cfg: config_lib.Config, data: records.Records) -> tuple:
    """The fields that the config reads; BadInput where the index tells that a record lacks one."""
    clip, *others = cfg.task.fields(data.metadata, cfg.features)
    for field in others:
        field.check(data)
    return clip, *others


def fields_to_train(cfg: config_lib.Config, data: records.Records) -> tuple:
    """`fields`; BadInput also where a phrase is longer than the config's."""
    clip, *others = fields(cfg, data)
    for field in others:
        field.check_fits(data)
    return clip, *others


def training(cfg: config_lib.Config) -> training_data.Pool:
    """All data sets that a config trains on."""
    read = functools.partial(fields_to_train, cfg)
    main = training_data.evenly(split(cfg, cfg.data.train_split), cfg.data.limit)
    found = training_data.Pool(((main, read(main)),))
    for source in cfg.data.also:
        more = split(cfg, source.split, source.path)
        more = training_data.confident(more, source.min_confidence)
        found = found.adding(more, read(more), source.weight, source.one_per_phrase)
    return found.joining(cfg.data.join)
