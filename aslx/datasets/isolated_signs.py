"""Kaggle's asl-signs -> shards: train.csv, a parquet for each clip, 543 rows for each frame."""

import csv
import functools
import json
import os
import pathlib
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aslx import errors, files, landmarks
from aslx.datasets import labelled

TRAIN, MAP = "train.csv", "sign_to_prediction_index_map.json"
_COLUMNS = ("path", "participant_id", "sign")
_FRAMES = 38  # Of a clip in Kaggle's set, on average.


def prepare(source: pathlib.Path, scratch: files.Path, options: labelled.Options) -> dict:
    """All clips, with the points of HOLISTIC130."""
    classes, stored = _classes(source / MAP), landmarks.HOLISTIC130
    points = [landmarks.POINTS.index(p) for p in stored.points]
    kind = labelled.Kind(
        name="isolated_signs",
        array="landmarks",
        shape=(None, len(points), 3),
        dtype=np.float16,
        size=_FRAMES * len(points) * 3 * 2,
        read=functools.partial(_half, points=points),
        metadata={"selection": stored.name},
    )
    items = table(source, classes)
    division = labelled.divide(items, options, source.name)
    return labelled.prepare(scratch, kind, division, classes, options, source.name)


def _classes(path: pathlib.Path) -> list[str]:
    """The signs in the order of Kaggle's scores."""
    if not path.exists():
        raise errors.BadInput(f"{path} is missing: point --source at Kaggle's folder")
    numbers = json.loads(path.read_text())
    if sorted(numbers.values()) != list(range(len(numbers))):
        raise errors.BadInput(f"{path} does not number its signs from 0 to {len(numbers) - 1}")
    return sorted(numbers, key=numbers.__getitem__)


def table(source: pathlib.Path, classes: list[str]) -> list[labelled.Item]:
    """BadInput names the file and the line."""
    path = source / TRAIN
    if not path.exists():
        raise errors.BadInput(f"{path} is missing: point --source at Kaggle's folder")
    items = []
    with open(path, newline="", encoding="utf-8-sig") as f:
        reader = csv.DictReader(f)
        lacking = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
        if lacking:
            raise errors.BadInput(f"{path} has no column {lacking[0]!r}")
        for line in reader:
            where = f"{path} line {reader.line_num}"
            if line["sign"] not in classes:
                raise errors.BadInput(f"{where}: the sign {line['sign']!r} is not in {MAP}")
            clip = source / line["path"]
            if not clip.is_file():
                raise errors.BadInput(f"{where}: {clip} is missing")
            signer = int(line["participant_id"])
            items.append(labelled.Item(line["path"], line["sign"], clip, signer))
    return items


def read(path: str | os.PathLike | BinaryIO) -> np.ndarray:
    """f32[T, 543, 3] of a clip's parquet, NaN where the tracker lost a part: Kaggle's own loader,
    with a check."""
    try:
        rows = pq.read_table(path, columns=["x", "y", "z"])
    except FileNotFoundError:
        raise errors.BadInput(f"there is no file {path}") from None
    except (pa.ArrowException, OSError) as error:
        raise errors.BadInput(
            f"{path} is damaged, or no parquet of x, y, z: fetch it again: {error}"
        ) from error
    points = len(landmarks.POINTS)
    if rows.num_rows % points:
        raise errors.BadInput(f"{path} has {rows.num_rows} rows, and a frame has {points}")
    values = [rows[axis].to_numpy().astype(np.float32) for axis in "xyz"]
    return np.stack(values, -1).reshape(-1, points, 3)


def _half(path: pathlib.Path, points: list[int]) -> np.ndarray:
    with np.errstate(over="ignore"):
        half_TN3 = read(path)[:, points].astype("<f2")
    if np.isinf(half_TN3).any():
        raise errors.BadInput(f"{path} holds a value beyond float16's 65504")
    return half_TN3
