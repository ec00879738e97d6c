"""Plan -> read -> pad -> host batches, without JAX."""

import dataclasses
import functools
import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags

from aslx import errors
from aslx.data import framing
from aslx.data import plan as plan_lib
from aslx.data import record_fields as fields_lib
from aslx.data import records as records_lib

if TYPE_CHECKING:
    import grain

log = logging.getLogger("aslx")

BATCHES_AHEAD = 4  # Read by each thread while the device computes.


@dataclasses.dataclass(frozen=True)
class Batches:
    """Batch i of a plan as arrays: this host's rows, read from verified records.

    Besides the fields' arrays, a batch has `id` i32[B], the position of the row's first record in
    its split, or -1; `source` i32[B], 0 for `records` and i + 1 for `also[i]`; and `weight` f32[B],
    1, or 0 in rows without a record. A corrupt record is an error, or with `skip_corrupt` a warning
    and a row of weight 0.
    """

    records: records_lib.Records
    plan: plan_lib.Train | list[plan_lib.Batch]
    count: int
    fields: tuple
    shard: int = 0
    num_shards: int = 1
    skip_corrupt: bool = False
    also: tuple[tuple[records_lib.Records, tuple], ...] = ()
    """Further sources, each with its fields."""

    @functools.cached_property
    def _sources(self) -> list[tuple[records_lib.Records, tuple]]:
        return [(self.records, self.fields), *self.also]

    @functools.cached_property
    def _starts(self) -> np.ndarray:
        """i64: the number of each source's first record in the plan."""
        return np.cumsum([0, *(len(records) for records, _ in self._sources[:-1])])

    @functools.cached_property
    def _ids(self) -> np.ndarray:
        """i32: the position in its split of each record of the plan, and last that of NOTHING."""
        ids = [records.number for records, _ in self._sources]
        return np.concatenate([*ids, [plan_lib.NOTHING]]).astype(np.int32)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> fields_lib.Batch:
        batch = self.plan[i]
        first, *second = (
            np.split(rows, self.num_shards)[self.shard]
            for rows in (batch.records, batch.second)
            if rows is not None
        )
        source = np.maximum(np.searchsorted(self._starts, first, "right") - 1, 0).astype(np.int32)
        out: fields_lib.Batch = {
            "id": self._ids[first],
            "source": source,
            "weight": (first != plan_lib.NOTHING).astype(np.float32),
        }
        clip, *others = self.fields
        out |= clip.allocate(len(first), batch.shape.frames, np.empty)
        for field in others:
            out |= field.allocate(len(first), batch.shape.frames)
        for planned in (first, *second):  # Joined records belong to one source.
            self._write(out, planned)
        clip.pad(out)
        return out

    def _write(self, out: fields_lib.Batch, planned: np.ndarray) -> None:
        """Appends the planned record to each row."""
        for source, (records, (clip, *others)) in enumerate(self._sources):
            rows = np.flatnonzero((planned != plan_lib.NOTHING) & (out["source"] == source))
            if not len(rows):
                continue
            numbers = planned[rows] - self._starts[source]
            whole = np.ones(len(rows), bool)
            records.expect(numbers)
            for k, (row, i) in enumerate(zip(rows.tolist(), numbers.tolist(), strict=True)):
                try:
                    clip.load(out, row, records, i)
                except framing.CorruptRecord as error:
                    if not self.skip_corrupt:
                        raise
                    log.warning("skipped a record: %s", error)
                    out["weight"][row], whole[k] = 0, False
            if whole.any():
                for field in others:
                    field.write(out, rows[whole], records, numbers[whole])

    def __repr__(self) -> str:  # Grain prints its sources, and the plan is long.
        return f"Batches({self.records!r}, {self.count})"


def stream(batches: Batches, *, start: int = 0, workers: int = 0) -> "grain.IterDataset":
    """Batches start, start + 1, ...: the same ones for any number of workers.

    `workers` threads read besides the first, each a batch of its own. They run at once: copies of
    large clips and their CRCs hold no lock of Python's.
    """
    if workers < 0:
        raise errors.BadInput(f"data.workers {workers}: give 0 or more threads")
    import grain  # Late: commands that read single clips need not spend the memory.

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # Grain's threads read absl flags.
    source: Any = batches  # Grain needs __len__ and __getitem__ only.
    threads = 1 + workers
    ahead = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads * BATCHES_AHEAD)
    return grain.MapDataset.source(source)[start:].to_iter_dataset(ahead)
