"""What one pass over the data visits, in rows of one record or of two: drawn from its number alone.

Records of all sources are numbered one source after the other; see `pool`.
"""

import dataclasses
import functools

import numpy as np

NOTHING = -1  # Stands for no record.


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Part:
    """Records of which a pass makes `visits`, and not one of each.

    A unit is a record, or the records of one phrase, of which a visit takes one at random. Units
    come from an endless sequence of shuffles, in turn: none is visited a second time more than
    another, over any number of passes from the first.
    """

    records: np.ndarray  # i64[n], numbers in the plan,
    unit: np.ndarray  # i64[n], and the unit that each is of.
    weight: float  # Visits of a unit, a pass.

    @functools.cached_property
    def _units(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Records in the order of their units, and each unit's first and number of records."""
        _, first, sizes = np.unique(np.sort(self.unit), return_index=True, return_counts=True)
        return self.records[np.argsort(self.unit, kind="stable")], first, sizes

    @functools.cached_property
    def visits(self) -> int:
        return round(self.weight * len(self._units[1]))

    def drawn(self, rng: np.random.Generator, seed: list[int], number: int) -> np.ndarray:
        """i64[visits]: the records of pass `number`; `seed` is that of the shuffles."""
        records, first, sizes = self._units
        begin, end, n = number * self.visits, (number + 1) * self.visits, len(first)
        turns = range(begin // n, -(-end // n))
        shuffles = [np.random.default_rng([*seed, turn]).permutation(n) for turn in turns]
        units = np.concatenate(shuffles)[begin - turns[0] * n :][: end - begin]
        return records[first[units] + rng.integers(sizes[units])]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Join:
    """Rows that are two records, one after the other: `share` of a pass's rows, less those pairs
    that exceed the longest clip or, with a space between them, `max_tokens`.

    Both are by one signer: features ask once a clip which hand spells, and where.
    """

    share: float
    max_tokens: int
    characters: np.ndarray  # i64[n]
    signer: np.ndarray  # i64[n]; who is unknown, -1, is not joined.

    def pairs(self, lengths: np.ndarray, order: np.ndarray) -> np.ndarray:
        """i64[R, 2]: the records of `order` in rows, NOTHING in the second place of single ones."""
        count = int(len(order) * self.share / (1 + self.share))
        tried, rest = np.split(order, [2 * count])
        pairs = tried[np.argsort(self.signer[tried], kind="stable")].reshape(-1, 2)
        by = self.signer[pairs]
        fits = (by[:, 0] == by[:, 1]) & (by[:, 0] != -1) & (pairs[:, 0] != pairs[:, 1])
        fits &= lengths[pairs].sum(1) <= lengths.max()
        fits &= self.characters[pairs].sum(1) + 1 <= self.max_tokens
        alone = np.concatenate([pairs[~fits].ravel(), rest])
        single = np.stack([alone, np.full_like(alone, NOTHING)], 1)
        return np.concatenate([pairs[fits], single])


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """What passes visit: the records that are in no part, which stand first, once, and of the parts
    their visits."""

    lengths: np.ndarray  # i64[n]: frames of each record.
    parts: tuple[Part, ...] = ()
    join: Join | None = None

    @property
    def constant(self) -> bool:
        """Whether all passes have rows of the same lengths."""
        return not self.parts and self.join is None

    def drawn(
        self, rng: np.random.Generator, seed: int, salt: int, number: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """i64[R]: the records of pass `number`, in its order, and those that follow them."""
        once = len(self.lengths) - sum(len(part.records) for part in self.parts)
        order = rng.permutation(once)
        for i, part in enumerate(self.parts):
            # The fourth word tells it from the seed of a pass, which has three.
            visited = part.drawn(rng, [seed, salt, i, 1], number)
            order = np.concatenate([order, visited])
        if self.parts:
            order = rng.permutation(order)
        if self.join is None:
            return order, None
        first, second = rng.permutation(self.join.pairs(self.lengths, order)).T
        return first, second

    def frames(self, first: np.ndarray, second: np.ndarray | None) -> np.ndarray:
        """i64[R]: of the rows."""
        if second is None:
            return self.lengths[first]
        return self.lengths[first] + np.where(second == NOTHING, 0, self.lengths[second])

    def sample(self, seed: int) -> np.ndarray:
        """i64: frames of the rows of a pass, the longest clip among them: what shapes are for."""
        drawn = self.drawn(np.random.default_rng([seed, 0, 0]), seed, 0, 0)
        frames, longest = self.frames(*drawn), self.lengths.max(initial=0)
        return frames if longest in frames else np.append(frames, longest)
