"""Kinematic hands that spell, written in the layout of Kaggle's asl-fingerspelling.

Kinematics and published statistics make the landmarks, and no recogniser. Each file depends on its
number and the random seed alone, whatever the number of processes.
"""

import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from aslx import errors
from aslx.prepare import (
    fingerspelling,
    kaggle_layout,
    phrase_clips,
    spelled_texts,
    summary,
    workers,
)
from aslx.prepare.many_hands import clips as many_hands
from aslx.prepare.synthetic_hand import clips as one_hand
from aslx.prepare.synthetic_hand import phrases, spelling
from aslx.schema import landmarks, vocab
from aslx.storage import files

Version = Literal["1.0.0", "2.0.0"]
Texts = Literal["kaggle", "spelled"]


class _Generator(NamedTuple):
    """What makes the clips."""

    signers: Callable[[int], int]  # For a number of sequences.
    make: Callable[..., one_hand.Clips]


_GENERATORS = {
    "1.0.0": _Generator(one_hand.signers, one_hand.make),
    "2.0.0": _Generator(many_hands.signers, many_hands.make),
}
_TEXTS: dict[Texts, Callable[[tuple[int, ...]], str]] = {
    "kaggle": phrases.phrase,
    "spelled": spelled_texts.text,
}
_TRAIN, _SUPPLEMENTAL = "train_landmarks", "supplemental_landmarks"
_CSV = {_TRAIN: fingerspelling.TRAIN, _SUPPLEMENTAL: fingerspelling.SUPPLEMENTAL}
_CHUNK = 100  # Sequences in memory at a time, which are a row group.
_POOL = 1.35  # Phrases to draw from, for each sequence: leaves Kaggle's share of unique ones.
_SENTENCES = 530


@dataclasses.dataclass(frozen=True, kw_only=True)
class Synthetic(fingerspelling.Options):
    """Fingerspelling by a kinematic hand: Kaggle's layout in OUT/kaggle, then shards from it."""

    sequences: int = 4000
    """Clips in train.csv."""
    sentences: int = 0
    """Clips in supplemental_metadata.csv, of some 500 sentences."""
    generator: Version = "1.0.0"
    """1.0.0: one way to make each character, and Kaggle's lengths and gaps. 2.0.0: several ways,
    and many people, speeds and cameras; records have the frames in which each character is held."""
    fps: float | None = None
    """Frames a second of every camera, for generator 2.0.0; by default cameras differ, from 10 to
    60. A network that reads streams is trained on one rate."""
    texts: Texts = "kaggle"
    """kaggle: addresses, telephone numbers and web addresses, as in Kaggle's train.csv. spelled:
    mostly words, names, short sentences and single letters."""

    def prepare(self, scratch: files.Path) -> dict:
        if self.fps is not None and not 1 <= self.fps <= 240:
            raise errors.BadInput(f"--fps {self.fps:g}: a camera has 1 to 240 frames a second")
        if self.fps is not None and self.generator == "1.0.0":
            raise errors.BadInput(
                f"--fps {self.fps:g}: generator 1.0.0 has Kaggle's numbers of frames and no camera:"
                " pass --generator 2.0.0 too"
            )
        kaggle, run = scratch / "out" / "kaggle", self.runner(scratch)
        write(
            kaggle,
            sequences=self.sequences,
            seed=self.seed,
            columns=landmarks.selection(self.keep.selection).columns,
            supplemental=self.sentences,
            generator=self.generator,
            texts=self.texts,
            fps=self.fps,
            run=run,
        )
        origin = f"synthetic {self.generator}, {self.texts} texts, seed {self.seed}"
        origin += f", {self.fps:g} frames a second" if self.fps is not None else ""
        return fingerspelling.prepare(kaggle, scratch, self, origin, run)


def statistics(
    texts: Sequence[str], frames: np.ndarray, left: np.ndarray, right: np.ndarray, both: np.ndarray
) -> dict[str, float]:
    """Statistics of sequences: their texts, frames int[S] of each, and how many of these frames
    show the left hand, the right hand and both."""
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
    """Everything that a process needs to write one file."""

    out: files.Path
    folder: str  # One of `_CSV`.
    number: int
    file_id: int
    sequences: range  # Of its set.
    total: int  # Sequences of the set.
    seed: int
    signers: int
    generator: Version
    texts: Texts
    fps: float | None
    columns: tuple[str, ...]

    @property
    def path(self) -> str:
        return f"{self.folder}/{self.file_id}.parquet"

    def text(self, rng: np.random.Generator) -> str:
        if self.folder == _TRAIN:
            pool = max(1, int(_POOL * self.total))
            return _TEXTS[self.texts]((self.seed, 3, int(rng.integers(pool))))
        return phrases.sentence((self.seed, 4, int(rng.integers(_SENTENCES))))


def _sequence_id(index: int, seed: int, folder: str) -> int:
    """Scattered like Kaggle's, and unique: an odd factor permutes the 31-bit numbers."""
    half = 2 * index + (folder != _TRAIN)
    return (half * 1_640_531_527 + seed * 7_919 + 12_345) % 2**31


def _write_file(job: _Job) -> list[tuple]:
    """Writes one parquet; answers (sequence_id, participant_id, phrase, holds, frames, left, right,
    both) of each of its sequences."""
    make = _GENERATORS[job.generator].make
    if job.fps is not None:
        make = functools.partial(make, fps=job.fps)
    schema, wanted, rows = kaggle_layout.schema(job.columns), _wanted(job.columns), []
    # Splitting floats into streams of bytes makes the files a quarter smaller, and faster.
    packing = {"compression": "zstd", "use_dictionary": False, "use_byte_stream_split": True}
    with (
        files.writing(job.out / job.path) as f,
        pq.ParquetWriter(f, schema, **packing) as writer,
    ):
        for first in job.sequences[::_CHUNK]:
            chunk = range(first, min(first + _CHUNK, job.sequences.stop))
            stream = 5 if job.folder == _TRAIN else 6
            rng = np.random.default_rng((job.seed, stream, job.number, first))
            texts = [job.text(rng) for _ in chunk]
            ids = np.array([_sequence_id(i, job.seed, job.folder) for i in chunk])
            clips = make(rng, job.seed, job.signers, texts, wanted)
            frame = spelling.frame_numbers(clips.frames)
            values = _values(job.columns, wanted, clips.parts)
            table = kaggle_layout.table(job.columns, frame, values, ids[clips.sequence])
            writer.write_table(table)
            hands = [np.isfinite(clips.parts[h][:, 0, 0]) for h in ("left_hand", "right_hand")]
            counts = [
                np.bincount(clips.sequence, seen, len(texts)).astype(int).tolist()
                for seen in (*hands, hands[0] & hands[1])
            ]
            holds = [phrase_clips.written(held) for held in clips.holds]
            who, frames = clips.participant.tolist(), clips.frames.tolist()
            rows += zip(ids.tolist(), who, texts, holds, frames, *counts, strict=True)
    return rows


def _wanted(columns: Sequence[str]) -> dict[str, list[int]]:
    """Part -> its points that a column needs; all points of a hand."""
    used = {c[2:] for c in columns}
    return {
        part: [i for i in range(n) if "hand" in part or f"{part}_{i}" in used]
        for part, n in landmarks.PARTS.items()
    }


def _values(
    columns: Sequence[str], wanted: Mapping[str, list[int]], parts: Mapping[str, np.ndarray]
) -> Iterator[np.ndarray]:
    """f32[F] of each column, from the parts of `camera.record`."""
    at = {f"{part}_{i}": (part, k) for part, points in wanted.items() for k, i in enumerate(points)}
    by_axis = {part: np.ascontiguousarray(p.transpose(2, 1, 0)) for part, p in parts.items()}
    for column in columns:
        part, point = at[column[2:]]
        yield by_axis[part][landmarks.AXES.index(column[0]), point]


def write(
    out: files.Path,
    *,
    sequences: int,
    seed: int = 0,
    columns: tuple[str, ...],
    supplemental: int = 0,
    sequences_per_file: int = 1000,
    generator: Version = "1.0.0",
    texts: Texts = "kaggle",
    fps: float | None = None,
    run: workers.Run,
) -> None:
    """Writes `sequences` clips of phrases, and `supplemental` clips of sentences, under `out`, with
    these landmark columns. Each file is a task of `run`.

    Files appear under their names when whole, the csv after them and synthetic.json last. BadInput
    names a number that is too small."""
    if sequences < 1 or supplemental < 0 or sequences_per_file < 1 or seed < 0:
        raise errors.BadInput(
            f"{sequences} sequences, {supplemental} supplemental, {sequences_per_file} a file, seed"
            f" {seed}: needs at least 1, 0, 1 and 0"
        )
    signers = _GENERATORS[generator].signers(sequences)
    sets = {_TRAIN: sequences} | ({_SUPPLEMENTAL: supplemental} if supplemental else {})
    jobs = []
    for folder, total in sets.items():
        (out / folder).mkdir(parents=True, exist_ok=True)
        # Small sets get several files all the same, so that a split by file has some to split.
        size = max(1, min(sequences_per_file, -(-total // 8)))
        starts = range(0, total, size)
        rng = np.random.default_rng((seed, 7, int(folder != _TRAIN)))
        file_ids = np.cumsum(rng.integers(1_000, 30_000_000, len(starts))) % 2**31 + len(starts)
        for number, (first, file_id) in enumerate(zip(starts, file_ids.tolist(), strict=True)):
            mine = range(first, min(first + size, total))
            about = (mine, total, seed, signers, generator, texts, fps, columns)
            jobs += [_Job(out, folder, number, file_id, *about)]
    tasks, counts = [(job,) for job in jobs], [len(job.sequences) for job in jobs]
    written = workers.gathered(run, _write_file, tasks, counts, "spelling", "clips")
    ids = {c: i for i, c in enumerate(vocab.KAGGLE.characters)}
    files.write(out / fingerspelling.MAP, json.dumps(ids))
    found = {}
    for folder in sets:
        mine = [pair for pair in zip(jobs, written, strict=True) if pair[0].folder == folder]
        rows = [(job.path, job.file_id, *row) for job, of in mine for row in of]
        told = any(row[5] for row in rows)
        kaggle_layout.write_csv(out / _CSV[folder], [row[: 5 + told] for row in rows], holds=told)
        spelled, _, *numbers = list(zip(*rows, strict=True))[4:]
        found[folder] = statistics(spelled, *map(np.array, numbers))
    facts = {"version": generator, "texts": texts, "seed": seed, "signers": signers}
    facts |= {"columns": len(columns)} | ({"fps": fps} if fps is not None else {})
    files.write(out / "synthetic.json", json.dumps(facts | {"statistics": found}, indent=1))
