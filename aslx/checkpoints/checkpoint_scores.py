"""The checkpoints of a run, and how each scored, by their files alone: no JAX, nothing is written.

Only what Orbax has given its final name counts: a folder named by its step.
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
    """Of the evaluation at that step, or None where there was none."""


def saved(workdir: files.Path) -> list[Saved]:
    """The checkpoints of a run directory, the oldest first."""
    folder = workdir / "checkpoints"
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    steps = sorted(int(name) for name in names if name.isdecimal())
    return [Saved(step, _score(folder / str(step) / "metrics" / "metrics")) for step in steps]


def best(found: list[Saved]) -> Saved | None:
    """The checkpoint of the best score, or the last where none was scored."""
    scored = [one for one in found if one.score is not None]
    return max(scored, key=lambda one: one.score or 0.0) if scored else (found or [None])[-1]


def _score(path: files.Path) -> float | None:
    """None where the file is not there, or says nothing that can be compared."""
    try:
        score = json.loads(path.read_bytes()[:1000])["score"]
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None
    return float(score) if isinstance(score, (int, float)) and math.isfinite(score) else None
