"""The records that one pass over the data visits, in rows of one record or two.

A pass is drawn from the run's seed and its own number. The records of all sources are numbered
consecutively; see `training_data.Pool`.
"""

import dataclasses
import functools

import numpy as np

NOTHING = -1  # The number of no record.


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Part:
    """A source whose units a pass visits `weight` times on average, instead of each record once.

    A unit is a record, or all records of one phrase, of which a visit takes one at random. Units
    are taken in turn from an endless sequence of shuffles, so over any number of passes from the
    first, the visits of two units differ by one at most.
    """

    records: np.ndarray  # i64[n]: the records' numbers in the plan.
    unit: np.ndarray  # i64[n]: the unit of each record.
    weight: float  # Visits to a unit per pass.

    @functools.cached_property
    def _units(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The records in order of their units; each unit's first place there, and its size."""
        _, first, sizes = np.unique(np.sort(self.unit), return_index=True, return_counts=True)
        return self.records[np.argsort(self.unit, kind="stable")], first, sizes

    @functools.cached_property
    def visits(self) -> int:
        return round(self.weight * len(self._units[1]))

    def drawn(self, rng: np.random.Generator, seed: list[int], number: int) -> np.ndarray:
        """i64[visits]: the records of pass `number`; `seed` seeds the shuffles."""
        records, first, sizes = self._units
        begin, end, n = number * self.visits, (number + 1) * self.visits, len(first)
        turns = range(begin // n, -(-end // n))
        shuffles = [np.random.default_rng([*seed, turn]).permutation(n) for turn in turns]
        units = np.concatenate(shuffles)[begin - turns[0] * n :][: end - begin]
        return records[first[units] + rng.integers(sizes[units])]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Join:
    """Joins two records in one row, in `share` of a pass's rows.

    Pairs longer than the longest clip, or than `max_tokens` with what separates the phrases, stay
    apart. Both records are by one signer, since the features decide once per clip which hand
    spells, and where.
    """

    share: float
    max_tokens: int
    between: int  # Characters that separate two phrases.
    characters: np.ndarray  # i64[n]
    signer: np.ndarray  # i64[n]; records of unknown signers, -1, are not joined.

    def pairs(self, lengths: np.ndarray, order: np.ndarray) -> np.ndarray:
        """i64[R, 2]: the records of `order` in rows, with NOTHING second in a row of one."""
        count = int(len(order) * self.share / (1 + self.share))
        tried, rest = np.split(order, [2 * count])
        pairs = tried[np.argsort(self.signer[tried], kind="stable")].reshape(-1, 2)
        by = self.signer[pairs]
        fits = (by[:, 0] == by[:, 1]) & (by[:, 0] != -1) & (pairs[:, 0] != pairs[:, 1])
        fits &= lengths[pairs].sum(1) <= lengths.max()
        fits &= self.characters[pairs].sum(1) + self.between <= self.max_tokens
        alone = np.concatenate([pairs[~fits].ravel(), rest])
        single = np.stack([alone, np.full_like(alone, NOTHING)], 1)
        return np.concatenate([pairs[fits], single])


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """The rows of every pass: each record of the first source once, then the visits to `parts`."""

    lengths: np.ndarray  # i64[n]: frames of each record.
    parts: tuple[Part, ...] = ()
    join: Join | None = None

    @property
    def constant(self) -> bool:
        """Whether the rows of all passes have the same lengths."""
        return not self.parts and self.join is None

    def drawn(
        self, rng: np.random.Generator, seed: int, salt: int, number: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """i64[R]: the shuffled records of pass `number`, and those that are joined to them."""
        once = len(self.lengths) - sum(len(part.records) for part in self.parts)
        order = rng.permutation(once)
        for i, part in enumerate(self.parts):
            # Four words, so that the shuffles' seed differs from a pass's, which has three.
            order = np.concatenate([order, part.drawn(rng, [seed, salt, i, 1], number)])
        if self.parts:
            order = rng.permutation(order)
        if self.join is None:
            return order, None
        first, second = rng.permutation(self.join.pairs(self.lengths, order)).T
        return first, second

    def frames(self, first: np.ndarray, second: np.ndarray | None) -> np.ndarray:
        """i64[R]: the frames of each row."""
        if second is None:
            return self.lengths[first]
        return self.lengths[first] + np.where(second == NOTHING, 0, self.lengths[second])

    def sample(self, seed: int) -> np.ndarray:
        """i64: frames of a pass's rows, and of the longest clip: shapes are chosen for these."""
        drawn = self.drawn(np.random.default_rng([seed, 0, 0]), seed, 0, 0)
        frames, longest = self.frames(*drawn), self.lengths.max(initial=0)
        return frames if longest in frames else np.append(frames, longest)
