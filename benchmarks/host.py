"""What the host does in Python for each training step, whatever the device does.

python -m benchmarks.host --config configs/squeezeformer.py --data.path data/synthetic

Measures the time of the main thread for a call of a step that does nothing with the config's state,
given as a tree and as the training loop holds it; and for a turn of the loop around that step, with
its placing of batches.
"""

import contextlib
import dataclasses
import json
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

from aslx import cli

_WARM = 20  # Steps before the first that is measured.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Times what the host does for each step."""

    config: str
    """A Python file with get_config(); its fields become options of this command."""
    steps: int = 200


class _Measured(Exception):
    """Ends the loop."""


def call(step: Callable[[Any], Any], state: Any, steps: int) -> float:
    """Median seconds of the main thread for a call."""
    seconds = []
    for _ in range(_WARM + steps):
        start = time.thread_time()
        state = step(state)
        seconds.append(time.thread_time() - start)
    return statistics.median(seconds[_WARM:])


def turn(cfg: Any, steps: int) -> float:
    """Median seconds of the main thread for a turn of the training loop."""
    import jax
    import jax.numpy as jnp
    from etils import epath

    from aslx.checkpoints import checkpoint
    from aslx.train import logs, loop, setup, throughput

    # Neither an evaluation nor a checkpoint falls among the steps.
    cfg = dataclasses.replace(cfg, epochs=1 + _WARM + steps, eval_every=10**6, save_every=10**6)
    s, at = setup.of(cfg), []

    def step(state: Any, batch: Any, key: Any) -> tuple[Any, dict[str, Any]]:
        zero = jnp.zeros((), jnp.int32)
        return state, {"loss": batch["weight"].sum(), "streak": zero, "skipped": zero}

    def stop(i: int) -> bool:
        at.append(time.thread_time())
        if i == _WARM + steps:
            raise _Measured
        return False

    with tempfile.TemporaryDirectory() as folder:
        workdir, train = epath.Path(folder), jax.jit(step, donate_argnums=0)
        s = dataclasses.replace(s, train=train)
        with (
            logs.Log(workdir, start=0, steps=s.steps) as log,
            checkpoint.Checkpoints(workdir / "checkpoints") as saved,
            contextlib.suppress(_Measured),
        ):
            speed = throughput.of(s.cfg, s.mesh)
            around = loop.Loop(s, workdir, saved, log, logs.Clock(), speed, stop, 0)
            around.run_until_stopped(s.init(), checkpoint.Progress())
    return statistics.median(b - a for a, b in zip(at[_WARM:], at[_WARM + 1 :], strict=False))


def main() -> None:
    from aslx import config

    command, cfg = config.parse(Command, lambda path: Command(config=path))
    import jax

    from aslx import optim, sharding
    from aslx.runs import flat
    from aslx.train import setup
    from benchmarks import machine

    cfg = config.placed(cfg)
    sharding.use_cpu_devices(dataclasses.replace(cfg.mesh, cpu_devices=1))
    _, init = setup.state(cfg, sharding.make_mesh(cfg.mesh), optim.build(cfg.optim, 1000))
    same = jax.jit(lambda state: state, donate_argnums=0)
    found = {
        "arrays": len(jax.tree.leaves(init())),
        "tree_ms": 1e3 * call(same, init(), command.steps),
        "flat_ms": 1e3 * call(same, flat.Flat(init()), command.steps),
        "turn_ms": 1e3 * turn(cfg, command.steps),
    }
    found = {name: round(value, 2) for name, value in found.items()}
    line = {"benchmark": "host", "config": pathlib.Path(command.config).stem, **found}
    print(json.dumps(line | machine.facts()))
    rows = list(zip(("arrays of the state", "a call with the tree, ms", "a call as trained, ms",
                     "a turn of the loop, ms"), map(str, found.values()), strict=True))  # fmt: skip
    print(machine.table((line["config"], "main thread"), rows))


if __name__ == "__main__":
    cli.run(main)
