"""Lists a run's checkpoints, and chooses among them."""

import logging
import os
import re
from collections.abc import Callable
from typing import Any

from aslx import errors
from aslx.checkpoints import stored
from aslx.storage import files

log = logging.getLogger("aslx")

LAST = 2  # Number of last checkpoints that are kept beside the best.
_TRIES = 10


def listed(directory: files.Path) -> list[stored.Stored]:
    """The checkpoints in a folder, by step; none where there is no folder."""
    with files.given(directory):
        found = [directory / n for n in names(directory) if re.fullmatch("0|[1-9][0-9]*", n)]
        return sorted(map(stored.Stored, filter(stored.is_final, found)), key=lambda one: one.step)


def names(directory: files.Path) -> list[str]:
    """The names in a folder; none where there is no folder."""
    try:
        if files.in_bucket(directory):
            return [path.name for path in directory.iterdir()]
        return os.listdir(directory)
    except FileNotFoundError:
        return []


def best_of(scores: dict[int, float | None]) -> int | None:
    """The step with the best score, the first of equal ones; None where no step has a score."""
    scored = {step: score for step, score in scores.items() if score is not None}
    return max(sorted(scored), key=scored.__getitem__) if scored else None


def best(directory: files.Path) -> list[stored.Stored]:
    """A list of the checkpoint with the best score, or of the last where none has a score."""
    found = {one.step: one for one in _legible(directory)}
    chosen = best_of({step: one.score for step, one in found.items()})
    return [found[max(found) if chosen is None else chosen]]


def newest(directory: files.Path, count: int) -> list[stored.Stored]:
    """The last `count` checkpoints; BadInput where there are fewer."""
    found = _legible(directory)
    if len(found) < count:
        raise errors.BadInput(
            f"{directory} keeps {len(found)} checkpoints, the last {LAST} and the best: there are "
            f"no {count} to average"
        )
    return found[-count:]


def read(choose: Callable[[], list[stored.Stored]], abstract: Any) -> tuple[list[int], list[Any]]:
    """The steps and states of the checkpoints that `choose` returns.

    It is called again where one of them was removed meanwhile, as a training removes superseded
    checkpoints.
    """
    for _ in range(_TRIES):
        try:
            chosen = choose()
            for one in chosen:
                one.summed()
            return [one.step for one in chosen], [one.restore(abstract) for one in chosen]
        except stored.Gone:
            continue
    raise errors.Unavailable(f"the checkpoints were removed {_TRIES} times while they were read")


def spellable(directory: files.Path) -> None:
    """BadInput where a folder's name is no UTF-8, which is all that TensorStore takes."""
    try:
        os.fspath(directory).encode()
    except UnicodeEncodeError:
        raise errors.BadInput(
            f"{os.fspath(directory)!a} has letters that the locale does not know: set "
            "PYTHONUTF8=1, or LC_ALL=C.UTF-8"
        ) from None


def _legible(directory: files.Path) -> list[stored.Stored]:
    """The checkpoints whose notes can be read, by step; BadInput where there is none."""
    spellable(directory)
    found = []
    for one in listed(directory):
        try:
            _ = one.progress, one.score
        except stored.Damaged as error:
            log.warning("passed over: %s", error)
        else:
            found.append(one)
    if not found:
        raise errors.BadInput(f"{directory} holds no checkpoint yet: train first")
    return found
