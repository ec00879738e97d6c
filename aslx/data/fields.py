"""What a record holds and how it lies in a batch: one small class a kind of field.

A task names its fields; the loader allocates each batch once and lets every field write its row.
Numpy only: workers import this and never JAX.
"""

import dataclasses
import functools

import numpy as np

from aslx import landmarks, vocab

Batch = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Landmarks:
    """`landmarks` f16[B, T, N, 3], NaN where the tracker lost a part, and zero past `length`.

    Of the record's points only those that the features want travel on.
    """

    stored: landmarks.Selection
    wanted: landmarks.Selection

    @functools.cached_property
    def _take(self) -> np.ndarray:
        return self.stored.indices(*self.wanted.points)

    def allocate(self, rows: int, frames: int) -> Batch:
        shape = (rows, frames, len(self.wanted.points), 3)
        return {"landmarks": np.zeros(shape, "<f2"), "length": np.zeros(rows, np.int32)}

    def write(self, batch: Batch, row: int, features: dict) -> None:
        raw = features["landmarks"].bytes_list.value[0]
        clip_TN3 = np.frombuffer(raw, "<f2").reshape(-1, len(self.stored.points), 3)
        batch["landmarks"][row, : len(clip_TN3)] = clip_TN3[:, self._take]
        batch["length"][row] = len(clip_TN3)


@dataclasses.dataclass(frozen=True)
class Text:
    """`tokens` i32[B, max_tokens]: the characters of the phrase, PAD after them."""

    max_tokens: int

    def allocate(self, rows: int, frames: int) -> Batch:
        del frames
        return {"tokens": np.full((rows, self.max_tokens), vocab.PAD, np.int32)}

    def write(self, batch: Batch, row: int, features: dict) -> None:
        ids = vocab.encode(features["phrase"].bytes_list.value[0])
        if len(ids) > self.max_tokens:
            raise ValueError(
                f"a phrase of {len(ids)} characters does not fit task.max_tokens={self.max_tokens}"
            )
        batch["tokens"][row, : len(ids)] = ids
