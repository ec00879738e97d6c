"""Kaggle's asl-signs -> shards. It has train.csv and a parquet a clip, of 543 rows a frame; or
.pose files, listed in such a csv or in a folder for each class.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence

import numpy as np

from aslx import errors
from aslx.prepare import class_dataset, class_items, phrase_clips
from aslx.readers import csv_files, folders, pose_files, sign_parquet
from aslx.schema import landmarks
from aslx.storage import files

TRAIN, MAP = "train.csv", "sign_to_prediction_index_map.json"
_COLUMNS = ("path", "sign", "participant_id")
_FRAMES = 38  # Of a clip in Kaggle's set, on average.


@dataclasses.dataclass(frozen=True, kw_only=True)
class IsolatedSigns(class_dataset.Options):
    """Kaggle's asl-signs, a parquet of landmarks for each clip, or .pose files, into TFRecord
    shards."""

    source: str
    """The folder of train.csv and sign_to_prediction_index_map.json. A csv of .pose files needs the
    columns path and sign only, and no map; without a csv, the folder holds CLASS/NAME.pose."""

    def prepare(self, scratch: files.Path) -> dict:
        """Writes all clips, with the points of HOLISTIC130."""
        source, stored = self.folder(), landmarks.HOLISTIC130
        if files.is_file(source / TRAIN):
            classes = _classes(source / MAP) if files.is_file(source / MAP) else None
            items, names = table(source, classes)
        else:
            classes, items, names = None, _in_folders(source), {}
        signers = {str(number): name for number, name in sorted(names.items())}
        kind = class_items.Kind(
            name="isolated_signs",
            array="landmarks",
            shape=(None, len(stored.points), 3),
            dtype=np.float16,
            size=_FRAMES * len(stored.points) * 3 * 2,
            read=_read,
            mended=_mended,
            metadata={"selection": stored.name} | ({"signers": signers} if names else {}),
        )
        found = class_items.Found(items, classes=classes)
        return class_dataset.prepare(scratch, kind, found, self)


def _classes(path: pathlib.Path) -> list[str]:
    """The signs in the order of Kaggle's scores."""
    numbers = files.read_json(path)
    ids = list(numbers.values()) if isinstance(numbers, dict) else []
    if not all(type(number) is int for number in ids) or {*ids} != {*range(len(numbers))}:
        raise errors.BadInput(f"{path} does not number its signs from 0 on, each with its own")
    return sorted(numbers, key=numbers.__getitem__)


def table(
    source: pathlib.Path, classes: Sequence[str] | None
) -> tuple[list[class_items.Item], dict[int, str]]:
    """The clips that train.csv lists, and the names of signers by their numbers.

    `classes` is None where no map numbers the signs, as where all clips are .pose files. BadInput
    names the file and the line."""
    path = source / TRAIN
    lines = list(csv_files.read(path, _COLUMNS[:2]))
    if not all(pose_files.is_pose(line["path"]) for line in lines):
        if classes is None:
            raise _no_source(source / MAP)
        lines = list(csv_files.read(path, _COLUMNS))
    signers, names = csv_files.signers([line.values.get("participant_id", "") for line in lines])
    known, items = set(classes or [line["sign"] for line in lines]), {}
    for line, signer in zip(lines, signers, strict=True):
        name, sign = line.path(), line["sign"]
        if sign not in known:
            raise errors.BadInput(f"{line.where}: the sign {sign!r} is not in {MAP}")
        if name in items:
            raise errors.BadInput(f"{line.where}: {name} is listed a second time")
        if not files.is_file(source / name):
            raise errors.BadInput(f"{line.where}: {source / name} is missing")
        items[name] = class_items.Item(name, sign, source / name, signer)
    return list(items.values()), names


def _in_folders(source: pathlib.Path) -> list[class_items.Item]:
    """The .pose files of a folder for each class."""
    items = [
        class_items.Item(f"{folder.name}/{path.name}", folder.name, path)
        for folder in folders.classes(source)
        for path in folders.inside(folder)
        if pose_files.is_pose(path.name)
    ]
    if not items:
        raise _no_source(source / TRAIN)
    return items


def _no_source(path: pathlib.Path) -> errors.BadInput:
    return errors.BadInput(
        f"{path} is missing: point --source at Kaggle's folder, or at one of CLASS/NAME.pose"
    )


@functools.lru_cache(1)
def _last(path: pathlib.Path) -> sign_parquet.Clip | pose_files.Clip:
    return pose_files.read(path) if pose_files.is_pose(path.name) else sign_parquet.clip(path)


def _mended(path: pathlib.Path) -> tuple[str, ...]:
    return _last(path).mended


def _read(path: pathlib.Path) -> np.ndarray:
    stored = landmarks.HOLISTIC130
    points_TN3 = _last(path).points[:, landmarks.ALL.indices(*stored.points)]
    if not len(points_TN3):
        raise class_items.Empty(phrase_clips.NO_FRAMES)
    if np.isnan(points_TN3).all():
        raise class_items.Empty(phrase_clips.NO_LANDMARK)
    return phrase_clips.half(points_TN3, stored, str(path))
