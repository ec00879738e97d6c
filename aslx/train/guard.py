"""Rollback: a run without finite gradients goes back, and takes the data in a new order."""

import dataclasses
from collections.abc import Callable

from aslx import errors
from aslx.checkpoints import checkpoint
from aslx.train import step

MAX_STREAK = 10  # Steps in a row without a finite gradient before the run rolls back.
MAX_ROLLBACKS = 3


class Diverged(RuntimeError):
    """Too many steps in a row had no finite gradient."""


def watch(i: int, streak: int) -> None:
    """Diverged if the steps up to `i` were too many in a row without a finite gradient."""
    if streak >= MAX_STREAK:
        raise Diverged(f"{streak} steps up to {i} had no finite gradient")


def roll_back(
    abstract: step.State,
    init: Callable[[], step.State],
    saved: checkpoint.Checkpoints,
    progress: checkpoint.Progress,
    error: Diverged,
) -> tuple[step.State, checkpoint.Progress]:
    """The state of the last evaluation with a finite gradient, or else the first state, and a new
    order of the data. Checkpoints of `save_every` or of a signal are not used, so neither changes a
    result."""
    if progress.salt == MAX_ROLLBACKS:
        raise errors.BadInput(
            f"{error}, after {MAX_ROLLBACKS} rollbacks: lower optim.peak_lr, or look at the data"
        )
    saved.back_to_sound()
    first, at = saved.restore_latest(abstract) or (init(), checkpoint.Progress())
    return first, dataclasses.replace(at, salt=progress.salt + 1)
