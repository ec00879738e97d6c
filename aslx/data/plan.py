"""The records of batch i: a pure function of (lengths, seed, salt, i).

Clips are bucketed by length, so a batch has one of a few static shapes and few padded frames. A
pass visits every record once: rows that do not fill a batch of their bucket move to the next longer
bucket, and the last batch of the longest is completed with rows of weight zero. Further sources and
joined clips are drawn anew for each pass, so passes may differ by a few batches; they follow one
another without a gap. An epoch is a fixed number of steps: the batches of the first pass.
"""

import bisect
import dataclasses
import threading
from typing import Protocol

import numpy as np

from aslx import errors
from aslx.data import epoch_draws

NOTHING = epoch_draws.NOTHING


@dataclasses.dataclass(frozen=True)
class Shape:
    frames: int
    rows: int


@dataclasses.dataclass(frozen=True)
class Batch:
    """The records of one batch, row by row."""

    shape: Shape
    records: np.ndarray  # i64[rows]: NOTHING in rows that only complete the batch.
    second: np.ndarray | None = None  # i64[rows]: joined to the first, or NOTHING. None: no joins.


class Batching(Protocol):
    """How the shapes of batches are chosen."""

    @property
    def multiple(self) -> int:
        """Rows come in multiples of this number."""
        ...

    def shapes(self, lengths: np.ndarray) -> list[Shape]:
        """Of clips with these lengths, in frames; the shortest shape first."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bucketed:
    """Batches of a few shapes, all with about the same number of frames."""

    frames: int = 8192
    """Frames of a batch, padding included."""
    buckets: int = 8
    """Number of shapes. Each costs one compilation of the step."""
    multiple: int = 8
    """The number of rows is a multiple of this, so this many devices can share a batch."""
    cap: int = 0
    """The features' max_frames: longer clips cost the network no more, so all of them share one
    shape. 0: the network computes every frame."""

    def shapes(self, lengths: np.ndarray) -> list[Shape]:
        costs = np.minimum(lengths, self.cap) if self.cap else lengths
        edges = bucket_edges(costs, self.buckets)
        units = [max(1, round(self.frames / (edge * self.multiple))) for edge in edges]
        edges[-1] = max(edges[-1], _round_up(int(lengths.max(initial=1))))
        return [Shape(e, u * self.multiple) for e, u in zip(edges, units, strict=True)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fixed:
    """Batches of one shape, as long as the longest clip, as in the published baselines."""

    rows: int = 64

    @property
    def multiple(self) -> int:
        return self.rows

    def shapes(self, lengths: np.ndarray) -> list[Shape]:
        return [Shape(_round_up(int(lengths.max(initial=1))), self.rows)]


FRAME_STEP = 4  # Buckets end at multiples of this: whole strides, and fewer candidates.


def _round_up(frames: int) -> int:
    return max(FRAME_STEP, -(-frames // FRAME_STEP) * FRAME_STEP)


def bucket_edges(lengths: np.ndarray, buckets: int) -> list[int]:
    """The at most `buckets` lengths that pad the fewest frames; the last is >= every clip's.

    Dynamic programming over the distinct rounded lengths: cost[j] after k buckets is the least
    number of computed frames for all clips up to candidate j.
    """
    units = np.maximum(1, -(-np.asarray(lengths, np.int64) // FRAME_STEP))
    candidates, counts = np.unique(units, return_counts=True)
    total = np.concatenate([[0], np.cumsum(counts)])
    cost = np.where(np.arange(len(candidates) + 1) == 0, 0.0, np.inf)
    choices = []
    for _ in range(min(buckets, len(candidates))):
        # through[i, j]: the cost where candidates i to j - 1 share a bucket.
        span = (total[None, 1:] - total[:-1, None]) * candidates[None, :]
        through = cost[:-1, None] + np.where(span > 0, span, np.inf)
        choices.append(through.argmin(0))
        cost = np.concatenate([[np.inf], through.min(0)])
    edges, j = [], len(candidates)
    for choice in reversed(choices):
        edges.append(int(candidates[j - 1]) * FRAME_STEP)
        j = int(choice[j - 1])
    return edges[::-1]


def epoch(lengths: np.ndarray, shapes: list[Shape], order: np.ndarray) -> list[Batch]:
    """Batches of the records of `order`, each record once, shortest shapes first."""
    bucket = np.searchsorted([s.frames for s in shapes], lengths[order])
    if (bucket == len(shapes)).any():
        raise errors.BadInput(f"a clip of {lengths.max()} frames exceeds {shapes[-1].frames}")
    batches, left = [], order[:0]
    for b, shape in enumerate(shapes):
        pool = np.concatenate([order[bucket == b], left])
        full = len(pool) // shape.rows * shape.rows
        batches += [Batch(shape, rows) for rows in pool[:full].reshape(-1, shape.rows)]
        left = pool[full:]
    if len(left):
        fill = np.full(shapes[-1].rows - len(left), NOTHING)
        batches.append(Batch(shapes[-1], np.concatenate([left, fill])))
    return batches


class Train:
    """An endless sequence of shuffled batches, `plan[i]`, with one shuffle per pass. Any number of
    threads may ask at once.

    `salt` is part of the order's seed; it stays 0 until a run rolls back and needs other batches.
    Rows of a batch are sorted by `signers` i64[n], so that CutMix partners are adjacent, which
    keeps the exchange between chips to one row.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        shapes: list[Shape],
        seed: int,
        salt: int = 0,
        parts: tuple[epoch_draws.Part, ...] = (),
        join: epoch_draws.Join | None = None,
        signers: np.ndarray | None = None,
    ):
        self._rows, self._shapes = epoch_draws.Rows(lengths, parts, join), shapes
        self._seed, self._salt = seed, salt
        self._signers = np.zeros_like(lengths) if signers is None else signers
        self.steps_per_epoch = len(self._drawn(0, salt=0)[-1])
        self._starts = [0]  # The number of each pass's first batch.
        self._made: dict[int, list[Batch]] = {}  # The batches of the last passes asked for.
        self._lock = threading.Lock()

    def __getitem__(self, i: int) -> Batch:
        with self._lock:
            number = self._pass(i)
            if number not in self._made:
                # Two passes: at the border of two, threads ask for batches of both in turn.
                newest = list(self._made.items())[-1:]
                self._made = dict(newest) | {number: self._shuffle(number)}
            return self._made[number][i - self._starts[number]]

    def _pass(self, i: int) -> int:
        """The pass that contains batch i. Counts the batches of the passes up to it, once."""
        while self._starts[-1] <= i:
            count = self.steps_per_epoch
            if not self._rows.constant:
                count = len(self._drawn(len(self._starts) - 1, self._salt)[-1])
            self._starts.append(self._starts[-1] + count)
        return bisect.bisect_right(self._starts, i) - 1

    def _drawn(
        self, number: int, salt: int
    ) -> tuple[np.random.Generator, np.ndarray, np.ndarray | None, list[Batch]]:
        """A pass: its generator, its rows' first and second records, and batches of row numbers."""
        rng = np.random.default_rng([self._seed, salt, number])
        first, second = self._rows.drawn(rng, self._seed, salt, number)
        rows = np.arange(len(first))
        return rng, first, second, epoch(self._rows.frames(first, second), self._shapes, rows)

    def _shuffle(self, number: int) -> list[Batch]:
        rng, first, second, batches = self._drawn(number, self._salt)
        # Rows without a record have the number -1: the last entry, which sorts behind all signers.
        last = self._signers.max(initial=-1) + 1
        signer = np.append(self._signers[first], last)
        first = np.append(first, NOTHING)
        second = None if second is None else np.append(second, NOTHING)
        made = []
        for b in (batches[j] for j in rng.permutation(len(batches))):
            rows = b.records[np.argsort(signer[b.records], kind="stable")]
            made.append(Batch(b.shape, first[rows], None if second is None else second[rows]))
        return made


def evaluation(lengths: np.ndarray, shapes: list[Shape]) -> list[Batch]:
    """Every record once, in file order within each shape."""
    return epoch(lengths, shapes, np.arange(len(lengths)))
