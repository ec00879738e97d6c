"""Kaggle's asl-signs -> shards: train.csv, a parquet for each clip, 543 rows for each frame."""

import functools
import pathlib
from collections.abc import Sequence

import numpy as np

from aslx import errors
from aslx.prepare import class_dataset, phrase_clips, unreadable
from aslx.readers import csv_files, sign_parquet
from aslx.schema import landmarks
from aslx.storage import files

TRAIN, MAP = "train.csv", "sign_to_prediction_index_map.json"
_COLUMNS = ("path", "participant_id", "sign")
_FRAMES = 38  # Of a clip in Kaggle's set, on average.


def prepare(source: pathlib.Path, scratch: files.Path, options: class_dataset.Options) -> dict:
    """All clips, with the points of HOLISTIC130."""
    classes, stored = _classes(source / MAP), landmarks.HOLISTIC130
    points = [landmarks.POINTS.index(p) for p in stored.points]
    items, names = table(source, classes)
    named = {"signers": {str(number): names[number] for number in sorted(names)}} if names else {}
    kind = class_dataset.Kind(
        name="isolated_signs",
        array="landmarks",
        shape=(None, len(points), 3),
        dtype=np.float16,
        size=_FRAMES * len(points) * 3 * 2,
        read=functools.partial(_half, points=points),
        mended=_mended,
        metadata={"selection": stored.name} | named,
    )

    def build(found: class_dataset.Found) -> dict:
        division = class_dataset.divide(found, options, source.name)
        return class_dataset.prepare(scratch, kind, division, classes, options, source.name)

    return unreadable.whole(build, class_dataset.Found(items), kind, scratch, options)


def _classes(path: pathlib.Path) -> list[str]:
    """The signs in the order of Kaggle's scores."""
    _check_there(path)
    numbers = files.read_json(path)
    told = list(numbers.values()) if isinstance(numbers, dict) else []
    if not all(type(number) is int for number in told) or {*told} != {*range(len(numbers))}:
        raise errors.BadInput(f"{path} does not number its signs from 0 on, each with its own")
    return sorted(numbers, key=numbers.__getitem__)


def _check_there(path: pathlib.Path) -> None:
    if not path.is_file():
        raise errors.BadInput(f"{path} is missing: point --source at Kaggle's folder")


def table(
    source: pathlib.Path, classes: Sequence[str]
) -> tuple[list[class_dataset.Item], dict[int, str]]:
    """What train.csv lists, and the signers' names by their numbers, where they have names.

    BadInput names the file and the line."""
    path = source / TRAIN
    _check_there(path)
    lines = list(csv_files.read(path, _COLUMNS))
    signers, names = csv_files.signers([line["participant_id"] for line in lines])
    known, items = set(classes), {}
    for line, signer in zip(lines, signers, strict=True):
        name, sign = line.path(), line["sign"]
        if sign not in known:
            raise errors.BadInput(f"{line.where}: the sign {sign!r} is not in {MAP}")
        if name in items:
            raise errors.BadInput(f"{line.where}: {name} is listed a second time")
        with files.given(source / name):
            there = (source / name).is_file()
        if not there:
            raise errors.BadInput(f"{line.where}: {source / name} is missing")
        items[name] = class_dataset.Item(name, sign, source / name, signer)
    return list(items.values()), names


@functools.lru_cache(1)
def _last(path: pathlib.Path) -> sign_parquet.Clip:
    return sign_parquet.clip(path)


def _mended(path: pathlib.Path) -> tuple[str, ...]:
    return _last(path).mended


def _half(path: pathlib.Path, points: list[int]) -> np.ndarray:
    points_TN3 = _last(path).points[:, points]
    if not len(points_TN3):
        raise class_dataset.Empty(phrase_clips.NO_FRAMES)
    if np.isnan(points_TN3).all():
        raise class_dataset.Empty(phrase_clips.NO_LANDMARK)
    with np.errstate(over="ignore"):
        half_TN3 = points_TN3.astype("<f2")
    if np.isinf(half_TN3).any():
        raise errors.BadInput(f"{path} holds a value beyond float16's 65504")
    return half_TN3
