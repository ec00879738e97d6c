"""The prepared data sets that a run trains on, with their records numbered consecutively."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from aslx import errors
from aslx.data import epoch_draws, loader, plan, records
from aslx.data import record_fields as fields_lib


def evenly(data: records.Records, limit: int) -> records.Records:
    """`limit` records, evenly spaced over a split; all of them where there are fewer, or for 0."""
    if not 0 < limit < len(data):
        return data
    return data.only(np.arange(limit) * len(data) // limit)


def confident(data: records.Records, least: float) -> records.Records:
    """The records whose phrases people wrote, or a model read with at least this confidence."""
    kept = np.flatnonzero(data.index.confidence >= least)
    if not len(kept):
        raise errors.BadInput(
            f"no record of {data.directory} has the confidence {least}: ask for less"
        )
    return data.only(kept)


def same_people(a: records.Records, b: records.Records) -> bool:
    """Whether signers have the same numbers in two data sets: they share a folder or a source."""
    one = a.directory.resolve() == b.directory.resolve()
    return one or a.metadata.get("source", "") == b.metadata.get("source")


@dataclasses.dataclass(frozen=True, eq=False)
class Pool:
    """The sources of a run, each as records and the fields that read them.

    A pass visits each record of the first source once, and the others as `parts` says."""

    sources: tuple[tuple[records.Records, tuple], ...]
    parts: tuple[epoch_draws.Part, ...] = ()
    join: epoch_draws.Join | None = None

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        return np.concatenate([data.index.frames for data, _ in self.sources])

    @functools.cached_property
    def signers(self) -> np.ndarray:
        """i64[n]: a number per signer, -1 if unknown; signers of two sources are never the same."""
        each = (data.index.signer for data, _ in self.sources)
        count = len(self.sources)
        return np.concatenate([np.where(s == -1, -1, s * count + i) for i, s in enumerate(each)])

    def adding(
        self, data: records.Records, fields: tuple, weight: float, one_per_phrase: bool
    ) -> "Pool":
        """With a further source, of which a pass visits each record, or phrase, `weight` times."""
        numbers = len(self.lengths) + np.arange(len(data))
        unit = data.index.phrase if one_per_phrase else numbers
        if (unit == -1).any():
            raise errors.BadInput(f"{data.directory} has no phrases to visit one record of each")
        part = epoch_draws.Part(records=numbers, unit=unit, weight=weight)
        if part.visits < 1:
            raise errors.BadInput(f"{data.directory} with the weight {weight} is never visited")
        return Pool((*self.sources, (data, fields)), (*self.parts, part))

    def joining(self, share: float) -> "Pool":
        """With two records in `share` of the rows, where they fit."""
        if not 0 <= share <= 1:
            raise errors.BadInput(f"data.join={share}: it is a share, from 0 to 1")
        if not share:
            return self
        text = next((f for f in self.sources[0][1] if isinstance(f, fields_lib.Text)), None)
        if text is None:
            raise errors.BadInput(
                f"data.join={share}: only phrases can be joined, and there are none"
            )
        characters = np.concatenate([data.index.characters for data, _ in self.sources])
        join = epoch_draws.Join(
            share=share,
            max_tokens=text.max_tokens,
            between=len(text.between),
            characters=characters,
            signer=self.signers,
        )
        return dataclasses.replace(self, join=join)

    def shapes(self, batching: plan.Batching, seed: int) -> list[plan.Shape]:
        """The shapes of batches, chosen for the rows of a pass."""
        return batching.shapes(epoch_draws.Rows(self.lengths, self.parts, self.join).sample(seed))

    def train(self, shapes: Sequence[plan.Shape], seed: int, salt: int = 0) -> plan.Train:
        return plan.Train(
            self.lengths, list(shapes), seed, salt, self.parts, self.join, self.signers
        )

    def batches(self, planned: plan.Train, count: int, **options: Any) -> loader.Batches:
        (data, fields), *also = self.sources
        return loader.Batches(data, planned, count, fields, also=tuple(also), **options)
