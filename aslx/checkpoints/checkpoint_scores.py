"""A run's checkpoints and their scores, read from files alone: without JAX, writing nothing.

Only checkpoints with their final name count: a folder named by its step.
"""

import dataclasses
import json
import math

from aslx.storage import files


@dataclasses.dataclass(frozen=True)
class Saved:
    """A checkpoint."""

    step: int
    score: float | None
    """The score of the evaluation at that step, or None where there was none."""


def saved(workdir: files.Path) -> list[Saved]:
    """The checkpoints of a run directory, the oldest first."""
    folder = workdir / "checkpoints"
    names = [path.name for path in folder.iterdir()] if files.is_folder(folder) else []
    steps = sorted(int(name) for name in names if name.isdecimal())
    return [Saved(step, _score(folder / str(step) / "metrics" / "metrics")) for step in steps]


def best(found: list[Saved]) -> Saved | None:
    """The checkpoint with the best score, or the last one where none has a score."""
    scored = [one for one in found if one.score is not None]
    return max(scored, key=lambda one: one.score or 0.0) if scored else (found or [None])[-1]


def _score(path: files.Path) -> float | None:
    """The score, or None where there is no file or no finite number in it."""
    try:
        score = json.loads(path.read_bytes()[:1000])["score"]
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None
    return float(score) if isinstance(score, (int, float)) and math.isfinite(score) else None
