"""Which clips train, validate and test: pure functions of a table and a random seed.

A score on a signer or a phrase that the model was trained on says little about new signers and
phrases. So the parts of the default split share neither.
"""

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Literal, TypeVar, get_args

import numpy as np

from aslx import errors

Method = Literal["signer-and-phrase", "signer", "phrase", "file-70-15-15", "file-80-20", "none"]
Item = TypeVar("Item")
PARTS = ("train", "validation", "test")
_DRAWS = 100  # Random draws; the one nearest to the wanted sizes is taken.


@dataclasses.dataclass(frozen=True)
class Split:
    """The part of each clip, and how the clips were divided."""

    parts: tuple[str | None, ...]  # One of PARTS for each clip; None where it fits in none.
    # The split that was done, which may not be the one that was asked; given: by the data set.
    method: Method | Literal["given"]
    note: str = ""  # Why it is not the one that was asked.


def assign(
    method: Method,
    *,
    signers: Sequence[Hashable],
    phrases: Sequence[Hashable],
    files: Sequence[Hashable],
    validation: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
) -> Split:
    """Divides clips that each have one signer, phrase and file.

    "signer-and-phrase": no part shares a signer or a phrase with another; a clip whose signer and
    phrase fell into different parts is dropped (None). "signer" and "phrase" hold one of the two
    apart. `validation` and `test` are the shares of the signers or phrases and, as nearly as the
    draws allow, of the clips. "file-70-15-15" and "file-80-20" cut the list of files, in order of
    appearance, as the two fingerspelling baselines do. "none" trains on everything.

    Where signers or phrases are fewer than the parts, the split is by the other, or none at all.
    """
    if method not in get_args(Method):
        raise errors.BadInput(f"no split {method!r}; there are {', '.join(get_args(Method))}")
    fractions = _fractions(validation, test)
    if method.startswith("file"):
        return _by_file(method, files)
    if method == "none" or not (validation or test):
        return Split(("train",) * len(phrases), method)
    every: dict[Method, Sequence[Hashable]] = {"signer": signers, "phrase": phrases}
    columns: dict[Method, Sequence[Hashable]] = {u: every[u] for u in every if u in method}
    return _by_unit(method, columns, fractions, np.random.default_rng(seed))


def stratified(
    labels: Sequence[Hashable], validation: float, test: float, seed: int
) -> tuple[str, ...]:
    """A part for each example: the same shares of every class, at random. Shares are rounded, so a
    small class may have no example outside the training part."""
    _fractions(validation, test)
    rng, codes = np.random.default_rng(seed), _codes(labels)
    parts = np.full(len(labels), PARTS[0], object)
    for code in range(codes.max(initial=-1) + 1):
        mine = rng.permutation(np.flatnonzero(codes == code))
        first, second = round(test * len(mine)), round((test + validation) * len(mine))
        parts[mine[:first]], parts[mine[first:second]] = PARTS[2], PARTS[1]
    return tuple(parts)


def grouped(items: Iterable[Item], part: Callable[[Item], str | None]) -> dict[str, list[Item]]:
    """The items of each part that has any, train first."""
    items = list(items)
    groups = {name: [item for item in items if part(item) == name] for name in PARTS}
    return {name: group for name, group in groups.items() if group}


def _fractions(validation: float, test: float) -> np.ndarray:
    """[3]: the shares of train, validation and test."""
    if not (validation >= 0 and test >= 0 and validation + test < 1):
        raise errors.BadInput(f"validation {validation} and test {test} leave no share to train on")
    return np.array([1 - validation - test, validation, test])


def _by_unit(
    method: Method,
    columns: Mapping[Method, Sequence[Hashable]],
    fractions: np.ndarray,
    rng: np.random.Generator,
) -> Split:
    """A split by signer, by phrase or by both, as far as there are enough of them."""
    codes = {unit: _codes(column) for unit, column in columns.items()}
    counts = {unit: len(set(column)) for unit, column in columns.items()}
    parts = np.count_nonzero(fractions)
    few = [f"{n} {unit}{'s' * (n != 1)}" for unit, n in counts.items() if n < parts]
    units: list[Method] = [unit for unit in columns if counts[unit] >= parts]
    verb = "is" if len(few) == 1 and few[0].startswith("1 ") else "are"
    note = f"{' and '.join(few)} {verb} too few for {parts} parts" if few else ""
    if len(units) == 2:
        home = _both(codes["signer"], codes["phrase"], fractions, rng)
        if all((home == part).any() for part in np.flatnonzero(fractions)):
            return Split(_named(home), method)
        note = "no phrase is left for some part once its signers are apart"
    if not units:
        clips = len(next(iter(columns.values())))
        return Split(("train",) * clips, "none", f"{note}: everything trains")
    unit = units[0]
    home = _draw(codes[unit], fractions, rng)[codes[unit]]
    return Split(_named(home), unit, f"{note}: split by {unit} alone" if note else "")


def _codes(values: Sequence[Hashable]) -> np.ndarray:
    """int[clips]: values numbered from 0 in order of appearance."""
    number: dict[Hashable, int] = {}
    return np.array([number.setdefault(v, len(number)) for v in values], np.int64)


def _named(home: np.ndarray) -> tuple[str | None, ...]:
    return tuple(PARTS[part] if part >= 0 else None for part in home.tolist())


def _by_file(method: Method, files: Sequence[Hashable]) -> Split:
    """The LSTM baseline's int(0.7 n), int(0.15 n) and the other files, or the transformer
    baseline's int(0.8 n) and the others: 47, 10 and 11 of Kaggle's 68, or 54 and 14."""
    codes = _codes(files)
    n = int(codes.max(initial=-1)) + 1
    train, validation = n * 70 // 100, n * 15 // 100
    if method == "file-80-20":
        train, validation = n * 80 // 100, n - n * 80 // 100
    if not train:
        note = f"{n} file{'s' * (n != 1)} cannot be divided: everything trains"
        return Split(("train",) * len(codes), "none", note)
    home = np.searchsorted([train, train + validation], codes, side="right")
    note = "" if validation else f"{n} files are too few for a validation part"
    return Split(_named(home), method, note)


def _draw(codes: np.ndarray, fractions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int[units]: a part for each signer or phrase. Every wanted part gets its fraction of the
    units, at least one. Of many draws, the clips of this one come nearest to the fractions."""
    sizes = np.bincount(codes)
    numbers = _shares(len(sizes), fractions)
    cuts = np.cumsum(numbers)[:-1]
    best, least = np.zeros(len(sizes), np.int64), np.inf
    for _ in range(_DRAWS):
        home = np.empty(len(sizes), np.int64)
        for part, members in enumerate(np.split(rng.permutation(len(sizes)), cuts)):
            home[members] = part
        shares = np.bincount(home, sizes, minlength=3) / sizes.sum()
        error = np.abs(shares - fractions).sum()
        if error < least:
            best, least = home, error
    return best


def _shares(units: int, fractions: np.ndarray) -> np.ndarray:
    """int[3]: the number of units in each part, at least one where its fraction is not zero."""
    numbers = np.where(fractions > 0, np.maximum(1, np.round(fractions * units)), 0).astype(int)
    while numbers.sum() != units:
        numbers[0] += units - numbers.sum()
        if numbers[0] < 1:
            numbers[0], numbers[1 + np.argmax(numbers[1:])] = 1, numbers[1:].max() - 1
    return numbers


def _both(
    signers: np.ndarray, phrases: np.ndarray, fractions: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """int[clips]: the part of a clip's signer and phrase, or -1 where these two differ.

    A phrase belongs where most of its clips are, which drops the fewest. Where many signers share a
    few phrases, nearly all phrases belong to the training part; so a part with less than its share
    of the phrases takes over those whose move costs the fewest clips.
    """
    signer_home = _draw(signers, fractions, rng)[signers]
    count = int(phrases.max()) + 1
    clips = np.bincount(phrases * 3 + signer_home, minlength=count * 3).reshape(count, 3)
    ties = rng.random((count, 3)) * 0.5
    home = np.argmax(clips + ties * (clips > 0), axis=1)
    for part in (1, 2):
        short = _shares(count, fractions)[part] - np.count_nonzero(home == part)
        movable = np.flatnonzero((home == 0) & (clips[:, part] > 0))
        cost = clips[movable, 0] - clips[movable, part] + ties[movable, 0]
        home[movable[np.argsort(cost)][: max(0, short)]] = part
    return np.where(home[phrases] == signer_home, signer_home, -1)
