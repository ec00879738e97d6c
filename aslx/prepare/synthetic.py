"""A kinematic hand that spells, written in the layout of Kaggle's asl-fingerspelling.

`train.csv`, `train_landmarks/{file_id}.parquet`, the supplemental set beside them, and
`character_to_prediction_index.json`; so what reads Kaggle's files reads these. Made by kinematics
and published statistics alone, without a recogniser. A file is a function of the
seed and its number, whatever the number of processes.
"""

import csv
import dataclasses
import io
import json
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow.parquet as pq

from aslx import errors
from aslx.prepare import fingerspelling, kaggle_layout, summary, workers
from aslx.prepare.synthetic_hand import camera, phrases, spelling
from aslx.prepare.synthetic_hand import signers as people
from aslx.schema import landmarks, vocab
from aslx.storage import files

VERSION = "1.0.0"
_CHUNK = 100  # Sequences in memory at a time; a row group.
_POOL = 1.35  # Phrases to draw from, a sequence: leaves Kaggle's share of unique ones.
_SENTENCES = 530


@dataclasses.dataclass(frozen=True, kw_only=True)
class Synthetic(fingerspelling.Options):
    """Fingerspelling by a kinematic hand: Kaggle's layout in OUT/kaggle, then shards from it."""

    sequences: int = 4000
    """Clips in train.csv."""
    sentences: int = 0
    """Clips in supplemental_metadata.csv, of some 500 sentences."""

    def prepare(self, scratch: files.Path) -> dict:
        kaggle, run = scratch / "out" / "kaggle", self.runner(scratch)
        write(
            kaggle,
            sequences=self.sequences,
            seed=self.seed,
            columns=landmarks.selection(self.keep.selection).columns,
            supplemental=self.sentences,
            run=run,
        )
        origin = f"synthetic {VERSION}, seed {self.seed}"
        return fingerspelling.prepare(kaggle, scratch, self, origin, run)


def statistics(
    texts: Sequence[str], frames: np.ndarray, left: np.ndarray, right: np.ndarray, both: np.ndarray
) -> dict[str, float]:
    """Of sequences with these texts, frames int[S] of each, and how many of the frames show the
    left hand, the right hand and both."""
    length = np.array([len(t) for t in texts])
    hands = left + right - both
    found = {
        f"{name}, {kind}": summary.distribution(values, 3)[kind]
        for name, values, kinds in (
            ("phrase length", length, ("mean", "std", "max")),
            ("frames", frames, ("mean", "std", "p25", "median", "p75", "max")),
            ("frames a character", frames / length, ("mean", "std", "median")),
            ("frames with a hand", hands, ("mean", "median", "p25")),
            ("frames without a hand", frames - hands, ("mean",)),
            ("frames without the left hand", frames - left, ("mean",)),
            ("frames without the right hand", frames - right, ("mean",)),
        )
        for kind in kinds
    }
    return found | {"unique phrases, share": round(len(set(texts)) / len(texts), 3)}


@dataclasses.dataclass(frozen=True)
class _Job:
    """All that a process needs to write one file."""

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
    schema, wanted, rows = kaggle_layout.schema(job.columns), _wanted(job.columns), []
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
            starts = np.cumsum(batch.frames) - batch.frames
            frame = np.arange(len(batch.sequence)) - starts[batch.sequence]
            values = _values(job.columns, wanted, parts)
            table = kaggle_layout.table(job.columns, frame, values, ids[batch.sequence])
            writer.write_table(table)
            rows += _rows(crowd, batch, parts, ids, texts)
    return rows


def _wanted(columns: Sequence[str]) -> dict[str, list[int]]:
    """Part -> those of its points that a column needs; of a hand, all points."""
    used = {c[2:] for c in columns}
    return {
        part: [i for i in range(n) if "hand" in part or f"{part}_{i}" in used]
        for part, n in landmarks.PARTS.items()
    }


def _values(
    columns: Sequence[str], wanted: dict[str, list[int]], parts: dict[str, np.ndarray]
) -> Iterator[np.ndarray]:
    """f32[F] of each column, of `camera.record`'s parts."""
    at = {f"{part}_{i}": (part, k) for part in wanted for k, i in enumerate(wanted[part])}
    by_axis = {part: np.ascontiguousarray(p.transpose(2, 1, 0)) for part, p in parts.items()}
    for column in columns:
        part, point = at[column[2:]]
        yield by_axis[part][landmarks.AXES.index(column[0]), point]


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
    columns: tuple[str, ...],
    signers: int | None = None,
    supplemental: int = 0,
    sequences_per_file: int = 1000,
    run: workers.Run,
) -> None:
    """Writes a set of `sequences` (and `supplemental` sentences) under `out`, each file in a task
    of `run`.

    `columns` are the landmark columns to write. `signers` is Kaggle's 94 for
    large sets and fewer for small ones where None. Files appear under their names when whole, the
    csv after them and synthetic.json last. BadInput names what cannot be."""
    if sequences < 1 or supplemental < 0 or sequences_per_file < 1 or seed < 0:
        raise errors.BadInput(
            f"{sequences} sequences, {supplemental} supplemental, {sequences_per_file} a file, seed"
            f" {seed}: needs at least 1, 0, 1 and 0"
        )
    signers = signers or min(94, max(4, sequences // 50))
    sets = {"train_landmarks": sequences, "supplemental_landmarks": supplemental}
    jobs = []
    for folder, total in sets.items():
        if total:
            (out / folder).mkdir(parents=True, exist_ok=True)
            jobs += _jobs(out, folder, total, sequences_per_file, seed, signers, columns)
    counts = [job.last - job.first for job in jobs]
    tasks = [(job,) for job in jobs]
    rows = workers.gathered(run, _write_file, tasks, counts, "spelling", "clips")
    written = list(zip(jobs, rows, strict=True))
    ids = {c: i for i, c in enumerate(vocab.CHARACTERS)}
    files.write(out / "character_to_prediction_index.json", json.dumps(ids))
    found = {}
    for folder, total in sets.items():
        if total:
            found[folder] = _write_csv(out, folder, [w for w in written if w[0].folder == folder])
    facts = {"version": VERSION, "seed": seed, "signers": signers, "columns": len(columns)}
    files.write(out / "synthetic.json", json.dumps(facts | {"statistics": found}, indent=1))


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
