"""Saves and restores the train state with Orbax.

Leaves are stored under their path ("model/encoder/0/up/kernel"), so the names on disk depend on our
attribute names and on nothing else, and a state restores onto any mesh and number of hosts.
"""

import dataclasses
import json
import logging
from collections.abc import Callable
from typing import Any

import jax
from etils import epath
from orbax.checkpoint import v1 as ocp

from aslx import errors, files

log = logging.getLogger("aslx")

_KEEP_LAST = 2
_preserve = ocp.training.preservation_policies


def flatten(tree: Any) -> dict[str, Any]:
    leaves = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): x for path, x in leaves}


@dataclasses.dataclass(frozen=True)
class Progress:
    """What a run knows beside its arrays. A score is better when it is higher."""

    best: float = float("-inf")
    stale: int = 0  # Evaluations since the best.
    salt: int = 0  # Times that the run was rolled back.


class OtherNetwork(errors.BadInput):
    """A checkpoint that is whole, of parameters that have other names."""


def _score(saved: Any) -> float:
    return saved.metrics["score"]


def _drop_unreadable(directory: epath.Path) -> None:
    """Deletes the checkpoints whose score cannot be read: Orbax reads all of them first."""
    for metrics in directory.glob("*/metrics/metrics") if directory.exists() else ():
        try:
            json.loads(metrics.read_text())
        except ValueError as error:
            checkpoint = metrics.parent.parent
            log.warning("checkpoint %s is damaged, deleting it: %s", checkpoint.name, error)
            checkpoint.rmtree()


class Checkpoints:
    """The last few states of a run and the best; none is visible before it is whole."""

    def __init__(self, directory: files.Path):
        best = _preserve.BestN(
            n=1, get_metric_fn=lambda m: m["score"], keep_checkpoints_without_metrics=False
        )
        _drop_unreadable(files.absolute(directory))
        context = ocp.Context()
        context.pytree.loading.partial_load = True  # Evaluation and export read the model alone.
        # The policies are Orbax's own; its annotations do not know them.
        keep: Any = _preserve.AnyPreservationPolicy([_preserve.LatestN(_KEEP_LAST), best])
        self._ckpt = ocp.training.Checkpointer(
            files.absolute(directory),
            preservation_policy=keep,
            cleanup_tmp_directories=True,
            context=context,
        )

    @property
    def steps(self) -> list[int]:
        return [c.step for c in self._ckpt.checkpoints]

    def save(self, step: int, state: Any, progress: Progress, score: float | None = None) -> None:
        """Returns once the state is copied off the device; writing goes on beside the training."""
        if step in self.steps:
            return
        with jax.transfer_guard_device_to_host("allow"):  # The loop refuses what is not explicit.
            self._ckpt.save_async(
                step,
                flatten(state),
                force=True,
                metrics=None if score is None else {"score": score},
                custom_metadata=dataclasses.asdict(progress),
            )

    def restore_latest(
        self, abstract: Any, accept: Callable[[Any], bool] = lambda state: True
    ) -> tuple[Any, Progress] | None:
        """The newest state that can be read and is accepted, placed as `abstract` says, or None.

        Those passed over are deleted: the run will write them again.
        """
        for step in reversed(self.steps):
            try:
                state = self.restore(step, abstract)
                noted: Any = self._ckpt.metadata(step).custom_metadata or {}
                # Orbax reads damaged metadata as none: a field that is missing is a KeyError.
                progress = Progress(*(noted[f.name] for f in dataclasses.fields(Progress)))
            except OtherNetwork:
                raise
            except (OSError, ValueError, KeyError) as error:
                log.warning("checkpoint %s is damaged, trying the one before: %.200s", step, error)
            else:
                if accept(state):
                    return state, progress
            self._ckpt.delete(step)
        return None

    def restore(self, step: int, abstract: Any) -> Any:
        """Placed as `abstract` says; OtherNetwork names a leaf that was not saved."""
        want = flatten(abstract)
        have = self._ckpt.load(step, want)
        # What is not there comes back as it was asked for.
        missing = [name for name in want if isinstance(have[name], jax.ShapeDtypeStruct)]
        if missing:
            raise OtherNetwork(
                f"{self._ckpt.directory} has no {missing[0]} at step {step}: another version of "
                "aslx, or of the network, trained it"
            )
        return jax.tree.unflatten(jax.tree.structure(abstract), [have[k] for k in want])

    def best(self) -> int:
        """The step of the best score, or the last where none was scored."""
        saved = self._ckpt.checkpoints
        if not saved:
            raise errors.BadInput(f"{self._ckpt.directory} holds no checkpoint: train first")
        scored = [c for c in saved if c.metrics]
        return max(scored, key=_score).step if scored else saved[-1].step

    def newest(self, count: int) -> list[int]:
        """The last so many steps; BadInput where fewer are kept."""
        if len(self.steps) < count:
            raise errors.BadInput(
                f"{self._ckpt.directory} keeps {len(self.steps)} checkpoints, the last "
                f"{_KEEP_LAST} and the best: there are no {count} to average"
            )
        return self.steps[-count:]

    def wait(self) -> None:
        self._ckpt.wait()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self._ckpt.close()
