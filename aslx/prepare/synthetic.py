"""A kinematic hand that spells, written in the layout of Kaggle's asl-fingerspelling.

`train.csv`, `train_landmarks/{file_id}.parquet`, the supplemental set beside them, and
`character_to_prediction_index.json`; so what reads Kaggle's files reads these. Made by kinematics
and published statistics (`REAL`) alone: no recogniser was consulted. A file is a function of the
seed and its number, whatever the number of processes.
"""

import csv
import dataclasses
import io
import json
from collections.abc import Sequence

import numpy as np
import pyarrow.parquet as pq
import tqdm

from aslx import errors
from aslx.prepare import kaggle_layout, workers
from aslx.prepare.synthetic_hand import (
    body,
    camera,
    handshapes,
    kinematics,
    phrases,
    spelling,
    strokes,
)
from aslx.prepare.synthetic_hand import signers as people
from aslx.schema import vocab
from aslx.storage import files

VERSION = "1.0.0"
# Kaggle's train set, from the public exploration notebooks over all 67,208 sequences.
REAL = {
    "phrase length, mean": 17.8,
    "phrase length, std": 5.7,
    "phrase length, max": 31,
    "frames, mean": 159.7,
    "frames, std": 84.2,
    "frames, p25": 104,
    "frames, median": 148,
    "frames, p75": 207,
    "frames, max": 807,
    "frames a character, mean": 9.02,
    "frames a character, std": 3.84,
    "frames a character, median": 8.86,
    "frames with a hand, mean": 93.7,
    "frames with a hand, median": 81,
    "frames with a hand, p25": 35,
    "frames without a hand, mean": 66.0,
    "frames without the left hand, mean": 141.5,
    "frames without the right hand, mean": 83.5,
    "unique phrases, share": 46478 / 67208,
}
_CHUNK = 100  # Sequences in memory at a time; a row group.
_POOL = 1.35  # Phrases to draw from, a sequence: leaves Kaggle's share of unique ones.
_SENTENCES = 530


def statistics(
    texts: Sequence[str], frames: np.ndarray, left: np.ndarray, right: np.ndarray, both: np.ndarray
) -> dict[str, float]:
    """The quantities of `REAL` for these sequences: frames int[S] of each, and how many show the
    left hand, the right hand and both."""
    length = np.array([len(t) for t in texts])
    hands = left + right - both
    rate = frames / length
    found = {
        "phrase length, mean": length.mean(),
        "phrase length, std": length.std(),
        "phrase length, max": length.max(),
        "frames, mean": frames.mean(),
        "frames, std": frames.std(),
        "frames, p25": np.percentile(frames, 25),
        "frames, median": np.median(frames),
        "frames, p75": np.percentile(frames, 75),
        "frames, max": frames.max(),
        "frames a character, mean": rate.mean(),
        "frames a character, std": rate.std(),
        "frames a character, median": np.median(rate),
        "frames with a hand, mean": hands.mean(),
        "frames with a hand, median": np.median(hands),
        "frames with a hand, p25": np.percentile(hands, 25),
        "frames without a hand, mean": (frames - hands).mean(),
        "frames without the left hand, mean": (frames - left).mean(),
        "frames without the right hand, mean": (frames - right).mean(),
        "unique phrases, share": len(set(texts)) / len(texts),
    }
    return {name: round(float(value), 3) for name, value in found.items()}


def table(found: dict[str, float]) -> str:
    """Markdown: real beside synthetic."""
    rows = [f"| {name} | {REAL[name]:.4g} | {found[name]:.4g} |" for name in REAL]
    return "\n".join(["| | real | synthetic |", "| --- | --- | --- |", *rows])


def letters(
    count: int, *, seed: int = 0, characters: str = "abcdefghijklmnopqrstuvwxyz", signers: int = 200
) -> tuple[np.ndarray, np.ndarray]:
    """Still right hands: landmarks float32[count, 21, 3] in fractions of the image, and int[count]
    positions in `characters`. A character that moves is caught anywhere along its stroke."""
    rng = np.random.default_rng((seed, 2))
    crowd = people.draw(rng, signers)
    who, label = rng.integers(signers, size=count), rng.integers(len(characters), size=count)
    char = vocab.encode(characters).astype(int)[label]
    stroke = handshapes.STROKES[char, rng.integers(strokes.STEPS, size=count)]
    angles = crowd.angles[who, char] + np.radians(3.5) * rng.normal(size=(count, handshapes.JOINTS))
    palms = crowd.palms[who, char] + np.radians(4) * rng.normal(size=(count, 3))
    turn = kinematics.multiply(
        kinematics.quaternions(stroke[:, [4, 3, 5]]), kinematics.quaternions(palms)
    )
    hand = kinematics.hand(angles.astype(np.float32), crowd.bones[who])
    hand = hand @ kinematics.matrices(turn).transpose(0, 2, 1) + stroke[:, None, :3]
    hand = hand + 0.01 * rng.normal(size=hand.shape) * crowd.jitter[who][:, None, None]
    world = crowd.wrist[who][:, None] + crowd.palm[who][:, None, None] * hand
    views = people.cameras(rng, count)
    image = body.project(world, views, kinematics.matrices(kinematics.quaternions(views.rotation)))
    image[..., 2] -= image[:, :1, 2]
    image[..., 2] *= (views.scale[:, 0] * views.depth)[:, None]
    return image.astype(np.float32), label


@dataclasses.dataclass(frozen=True)
class _Job:
    """One file; a process needs no more than this."""

    out: files.Path
    folder: str  # train_landmarks or supplemental_landmarks
    number: int
    file_id: int
    first: int  # Sequences first to last - 1 of its set.
    last: int
    total: int
    seed: int
    signers: int
    columns: tuple[str, ...]


def _sequence_id(index: int, seed: int, folder: str) -> int:
    """Scattered like Kaggle's, and unique: an odd factor permutes the 31-bit numbers."""
    half = 2 * index + (folder != "train_landmarks")
    return (half * 1_640_531_527 + seed * 7_919 + 12_345) % 2**31


def _text(job: _Job, rng: np.random.Generator) -> str:
    if job.folder == "train_landmarks":
        return phrases.phrase((job.seed, 3, int(rng.integers(max(1, int(_POOL * job.total))))))
    return phrases.sentence((job.seed, 4, int(rng.integers(_SENTENCES))))


def _write_file(job: _Job) -> list[tuple]:
    """Writes one parquet; answers (sequence_id, participant_id, phrase, frames, left, right, both)
    of each of its sequences."""
    crowd = people.draw(np.random.default_rng((job.seed, 1)), job.signers)
    kind = int(job.folder != "train_landmarks")
    path = job.out / job.folder / f"{job.file_id}.parquet"
    schema, wanted, rows = (
        kaggle_layout.schema(job.columns),
        kaggle_layout.wanted_points(job.columns),
        [],
    )
    # Splitting floats into streams of bytes makes the files a quarter smaller, and faster.
    packing = {"compression": "zstd", "use_dictionary": False, "use_byte_stream_split": True}
    with files.writing(path) as f, pq.ParquetWriter(f, schema, **packing) as writer:
        for first in range(job.first, job.last, _CHUNK):
            last = min(first + _CHUNK, job.last)
            rng = np.random.default_rng((job.seed, 5 + kind, job.number, first))
            texts = [_text(job, rng) for _ in range(first, last)]
            ids = np.array([_sequence_id(i, job.seed, job.folder) for i in range(first, last)])
            batch = spelling.spell(rng, crowd, texts)
            parts = camera.record(rng, crowd, batch, wanted)
            writer.write_table(kaggle_layout.table(job.columns, parts, batch, ids))
            rows += _rows(crowd, batch, parts, ids, texts)
    return rows


def _rows(crowd, batch: spelling.Batch, parts, ids, texts) -> list[tuple]:
    left, right = (np.isfinite(parts[f"{side}_hand"][:, 0, 0]) for side in ("left", "right"))
    counts = [
        np.bincount(batch.sequence, seen, len(texts)).astype(int)
        for seen in (left, right, left & right)
    ]
    return list(
        zip(
            ids.tolist(),
            crowd.participant[batch.signer].tolist(),
            texts,
            batch.frames.tolist(),
            *(c.tolist() for c in counts),
            strict=True,
        )
    )


def _jobs(out, folder, total, per_file, seed, signers, columns) -> list[_Job]:
    # Small sets get several files all the same, so that a split by file has something to split.
    size = max(1, min(per_file, -(-total // 8)))
    rng = np.random.default_rng((seed, 7, int(folder != "train_landmarks")))
    starts = range(0, total, size)
    file_ids = np.cumsum(rng.integers(1_000, 30_000_000, len(starts))) % 2**31 + len(starts)
    return [
        _Job(
            out, folder, number, int(file_id), first, min(first + size, total), total, seed,
            signers, columns,
        )
        for number, (first, file_id) in enumerate(zip(starts, file_ids, strict=True))
    ]  # fmt: skip


def write(
    out: files.Path,
    *,
    sequences: int,
    seed: int = 0,
    columns: Sequence[str] | None = None,
    signers: int | None = None,
    supplemental: int = 0,
    sequences_per_file: int = 1000,
    run: workers.Run,
) -> None:
    """Writes a set of `sequences` (and `supplemental` sentences) under `out`, each file in a task
    of `run`.

    `columns` are the landmark columns to write, all 1,629 where None. `signers` is Kaggle's 94 for
    large sets and fewer for small ones where None. Files appear under their names when whole, the
    csv after them and synthetic.json last. BadInput names what cannot be."""
    chosen = kaggle_layout.COLUMNS if columns is None else kaggle_layout.checked(columns)
    if sequences < 1 or supplemental < 0 or sequences_per_file < 1 or seed < 0:
        raise errors.BadInput(
            f"{sequences} sequences, {supplemental} supplemental, {sequences_per_file} a file, seed"
            f" {seed}: needs at least 1, 0, 1 and 0"
        )
    if (out / "train.csv").exists() and not (out / "synthetic.json").exists():
        raise errors.BadInput(
            f"{out} holds a train.csv that is not synthetic; choose another folder"
        )
    signers = signers or min(94, max(4, sequences // 50))
    sets = {"train_landmarks": sequences, "supplemental_landmarks": supplemental}
    jobs = []
    for folder, total in sets.items():
        if total:
            (out / folder).mkdir(parents=True, exist_ok=True)
            jobs += _jobs(out, folder, total, sequences_per_file, seed, signers, chosen)
    written = _run(jobs, run)
    ids = {c: i for i, c in enumerate(vocab.CHARACTERS)}
    files.write(out / "character_to_prediction_index.json", json.dumps(ids))
    found = {}
    for folder, total in sets.items():
        if total:
            found[folder] = _write_csv(out, folder, [w for w in written if w[0].folder == folder])
    facts = {"version": VERSION, "seed": seed, "signers": signers, "columns": len(chosen)}
    files.write(out / "synthetic.json", json.dumps(facts | {"statistics": found}, indent=1))


def _run(jobs: list[_Job], run: workers.Run) -> list[tuple[_Job, list[tuple]]]:
    rows: list[list[tuple]] = [[]] * len(jobs)
    total = sum(job.last - job.first for job in jobs)
    with tqdm.tqdm(total=total, desc="spelling", unit=" clips", disable=None) as bar:
        for i, answer in run(_write_file, [(job,) for job in jobs]):
            rows[i] = answer
            bar.update(len(answer))
    return list(zip(jobs, rows, strict=True))


def _write_csv(out: files.Path, folder: str, written: list[tuple[_Job, list]]) -> dict:
    name = "train.csv" if folder == "train_landmarks" else "supplemental_metadata.csv"
    rows = [row for _, file_rows in written for row in file_rows]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "file_id", "sequence_id", "participant_id", "phrase"])
    for job, file_rows in written:
        for sequence_id, participant, phrase, *_ in file_rows:
            path = f"{folder}/{job.file_id}.parquet"
            writer.writerow([path, job.file_id, sequence_id, participant, phrase])
    files.write(out / name, text.getvalue())
    counts = (np.array(c) for c in list(zip(*rows, strict=True))[3:])
    return statistics([row[2] for row in rows], *counts)
