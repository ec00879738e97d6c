"""Trains a model: python -m aslx.train --config configs/quickstart.py --workdir runs/quickstart

A run directory that holds checkpoints is resumed from the newest, to the bit.
"""

import dataclasses
import signal
import threading
from collections.abc import Callable

from aslx import cli, errors

TERMINATED = 128 + signal.SIGTERM  # What a shell reports, and launchers start again upon.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Trains a model, or goes on where the run directory left off."""

    config: str
    """A Python file with get_config(); its fields become options of this command."""
    workdir: str = ""
    """Where the run lives: config, checkpoints, metrics, plots, samples. Must be given."""
    distributed: bool = False
    """One process on each of several hosts: jax.distributed finds the others."""
    profile: int = 0
    """Steps to trace with jax.profiler into WORKDIR/profile."""


def main() -> int:
    from aslx import config  # After --help: JAX takes seconds.

    command, cfg = config.parse(Command, lambda path: Command(config=path))
    if not command.workdir:
        raise errors.BadInput("--workdir is missing: say where the run shall live")
    import jax
    from etils import epath

    from aslx import inference, loop, memory, sharding

    memory.keep()
    workdir = epath.Path(command.workdir)
    cfg = config.placed(cfg, workdir)
    sharding.use_cpu_devices(cfg.mesh)
    if command.distributed:
        jax.distributed.initialize()
    cfg = inference.settled(cfg)
    config.claim(workdir, cfg)
    stop = _on_sigterm()
    scores, ended = loop.run(cfg, workdir, stop=stop, profile=command.profile)
    inference.last_json({"workdir": str(workdir)} | scores)
    return 0 if ended else TERMINATED


def _on_sigterm() -> Callable[[int], bool]:
    """True, on every host at the same step, once any was told to end."""
    import jax
    from jax.experimental import multihost_utils

    if jax.process_count() > 1:
        return multihost_utils.reached_preemption_sync_point
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    return lambda step: told.is_set()


if __name__ == "__main__":
    cli.run(main)
