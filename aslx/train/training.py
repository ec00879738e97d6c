"""A Config -> a trained run directory."""

from collections.abc import Callable

from etils import epath

from aslx import config, sharding
from aslx.checkpoints import hosts
from aslx.runs import opening, tracking
from aslx.storage import files
from aslx.train import loop, meeting


def train_run(
    cfg: config.Config,
    workdir: str | files.Path,
    *,
    stop: Callable[[int], bool] = lambda step: False,
    distributed: bool = False,
    profile: int = 0,
    other_data: bool = False,
    track: tracking.Kind | None = None,
) -> tuple[dict[str, float], bool]:
    """Trains what a config says, in `workdir`; a run that stands there is resumed, to the bit.

    Returns the last evaluation's scores, and whether the run has ended: after each step, `stop` of
    its number may ask for an end before that. With `distributed`, jax.distributed finds the other
    hosts; `profile`, `other_data` and `track` are as in `loop.run`.

    BadInput where the data set is missing or lacks what the config reads, where `workdir` is a run
    of another config, and where JAX has started with fewer or more devices than the run has. Call
    it before anything else of JAX, or give `mesh.cpu_devices`. Unavailable where another host
    cannot be reached.
    """
    workdir = epath.Path(workdir)
    cfg = config.placed(cfg, workdir)
    sharding.use_cpu_devices(cfg.mesh)
    if distributed:
        meeting.join()
    cfg = hosts.together(lambda: opening.settled(cfg, workdir))
    return loop.run(cfg, workdir, stop=stop, profile=profile, other_data=other_data, track=track)
