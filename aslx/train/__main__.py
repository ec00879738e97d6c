"""Trains a model: python -m aslx.train --config configs/quickstart.py --workdir runs/quickstart

A run directory that holds checkpoints is resumed from the newest, to the bit.
"""

import dataclasses
import pathlib
import shlex
from typing import TYPE_CHECKING, Literal

from aslx import errors
from aslx.train import stopping

if TYPE_CHECKING:
    from aslx import config


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Trains a model, or goes on where the run directory left off."""

    config: str
    """A Python file with get_config(), or the name of one in configs/, such as quickstart; the
    fields of the config become options of this command."""
    workdir: str = ""
    """Where the run lives: config, checkpoints, metrics, plots, samples. Must be given."""
    distributed: bool = False
    """One process on each of several hosts: jax.distributed finds the others."""
    profile: int = 0
    """Steps to trace with jax.profiler into WORKDIR/profile; prints their longest kernels."""
    other_data: bool = False
    """Go on even if a data set is not the one that the run began with. From there on it is another
    run than the unbroken one."""
    track: Literal["wandb", "mlflow", "aim"] | None = None
    """Also tell a tracker of experiments what is logged; its own variables say where it is, such as
    WANDB_MODE or MLFLOW_TRACKING_URI. A run that resumes goes on in the same tracked run."""


def main(signals: stopping.Signals | None = None) -> int:
    with signals or stopping.Signals() as stop:
        return _train(stop)


def _train(stop: stopping.Signals) -> int:
    from aslx import config  # After --help: JAX takes seconds.

    command, cfg = config.parse(Command, lambda path: Command(config=path))
    if not command.workdir:
        raise errors.BadInput("--workdir is missing: say where the run shall live")
    import jax
    from etils import epath

    from aslx import cli
    from aslx.kernels import malloc_tuning
    from aslx.train import training

    malloc_tuning.keep()
    workdir = epath.Path(command.workdir)
    scores, ended = training.train_run(
        cfg,
        workdir,
        stop=stop,
        distributed=command.distributed,
        profile=command.profile,
        other_data=command.other_data,
        track=command.track,
    )
    if ended and jax.process_index() == 0:
        print(_next(cfg, shlex.quote(str(workdir))))
    cli.last_json({"workdir": str(workdir)} | scores)
    return 0 if ended else stop.status


def _next(cfg: "config.Config", workdir: str) -> str:
    """What to do with a run that has ended."""
    from aslx.data import records

    if cfg.task.pretrains:
        return f"next: train a recogniser that begins from it, with --weights {workdir}"
    splits = records.splits(pathlib.Path(cfg.data.path))
    split = "test" if "test" in splits else cfg.data.eval_split
    return (
        f"next: python -m aslx.evaluate --workdir {workdir} --split {split}\n"
        f"      python -m aslx.export --workdir {workdir}"
    )


if __name__ == "__main__":
    signals = stopping.Signals()  # Before the imports: a signal during one is a line, too.
    from aslx import cli

    cli.run(lambda: main(signals))
