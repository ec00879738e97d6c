"""Small data sets in Kaggle's layout."""

import csv
import dataclasses
import json
import pathlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aslx.schema import landmarks, vocab

SELECTION = landmarks.HANDS_ARMS
FLAGS = ("--selection", "hands_arms", "--processes", "1")  # Of aslx.prepare.


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of train.csv, and the frames that its parquet has for it."""

    id: int
    signer: int
    phrase: str
    frames: int
    path: str


def some(n: int = 24, signers: int = 8, frames: int = 30) -> list[Line]:
    """Different phrases in two files."""
    digits = np.random.default_rng(n).integers(0, 10**6, n)
    paths = [f"train_landmarks/{i * 2 // n + 1}.parquet" for i in range(n)]
    return [
        Line(1000 + 7 * i, i % signers, f"no {digits[i]} st", frames + i % 5, path)
        for i, path in enumerate(paths)
    ]


def columns(sequence: Line) -> np.ndarray:
    """float32[T, C]: what the parquet holds: fractions of an image, the left hand often lost."""
    rng = np.random.default_rng(sequence.id)
    values = rng.normal(0.5, 0.2, (sequence.frames, len(SELECTION.columns))).astype(np.float32)
    left = np.array(["left_hand" in name for name in SELECTION.columns])
    values[np.ix_(rng.random(sequence.frames) < 0.7, left)] = np.nan
    return values


def table(sequences: Sequence[Line], values: Sequence[np.ndarray] | None = None) -> pa.Table:
    """The rows of one parquet, `frame` first and `sequence_id` last."""
    values = values or [columns(s) for s in sequences]
    ids = np.repeat([s.id for s in sequences], [len(v) for v in values])
    frame = np.concatenate([np.arange(len(v)) for v in values])
    named = {"frame": frame.astype(np.int16)}
    named |= dict(zip(SELECTION.columns, np.concatenate(values).T, strict=True))
    return pa.table(named | {"sequence_id": ids.astype(np.int64)})


def write(folder: pathlib.Path, sequences: Sequence[Line]) -> pathlib.Path:
    """The whole layout; answers `folder`."""
    for path in dict.fromkeys(s.path for s in sequences):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table([s for s in sequences if s.path == path]), folder / path)
    write_csv(folder / "train.csv", sequences)
    ids = {c: i for i, c in enumerate(vocab.KAGGLE.characters)}
    (folder / "character_to_prediction_index.json").write_text(json.dumps(ids))
    return folder


def write_csv(path: pathlib.Path, sequences: Sequence[Line]) -> None:
    with open(path, "w", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(["path", "file_id", "sequence_id", "participant_id", "phrase"])
        writer.writerows([s.path, 1, s.id, s.signer, s.phrase] for s in sequences)


def half(sequence: Line) -> np.ndarray:
    """float16[T, N, 3]: what a record should hold."""
    return SELECTION.from_columns(columns(sequence)).astype(np.float16)


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """To the bit, NaN too."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def left(folder: pathlib.Path) -> list[str]:
    """The names in a folder, except `kaggle`."""
    return sorted(path.name for path in folder.iterdir() if path.name != "kaggle")
