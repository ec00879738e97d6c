"""The time of a config's training step on one device, beside what was computed for it.

python -m benchmarks.gpu_step --config squeezeformer --batch-per-chip 704 --compiled FILE

FILE holds lines of `python -m aslx compile`. Prints one JSON line.
"""

import dataclasses
import json
import pathlib
import statistics
import time
from typing import Any

from aslx import cli, config


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Times steps on one batch of noise."""

    config: str
    """A Python file with get_config(), or the name of a file in configs/."""
    batch_per_chip: int = 0
    """Clips in the batch; 0 for the config's own batch of clips of --frames."""
    frames: int = 384
    """Frames of every clip."""
    graphs: bool = True
    """On a GPU, launch loops as a whole; otherwise the host launches each of their trips."""
    steps: int = 20
    """Steps in a reading."""
    turns: int = 3
    """Readings; their median is the result."""
    compiled: str = ""
    """A file of lines that `python -m aslx compile` printed."""


def measure(command: Command, cfg: config.Config) -> dict[str, Any]:
    """Milliseconds of a step, and the share of the device's peak where that is known."""
    import jax
    import numpy as np

    from aslx import optim, sharding
    from aslx.describe import programs
    from aslx.kernels import peaks
    from aslx.runs import flat, model_flops
    from aslx.train import setup
    from benchmarks import batches

    mesh, tx = sharding.make_mesh(cfg.mesh, jax.devices()[:1]), optim.build(cfg.optim, 1000)
    rows = command.batch_per_chip or programs.rows_per_chip(cfg, command.frames)
    abstract, init = setup.state(cfg, mesh, tx)
    (batch,) = sharding.put(mesh, iter([batches.noise(cfg, np.full(rows, command.frames))]))
    key = jax.device_put(jax.random.key(0), sharding.replicated(mesh))
    options: dict[str, Any] = {}
    if sharding.platform(mesh) == "gpu" and not command.graphs:
        name = "xla_gpu_enable_command_buffer"
        options[name] = str(sharding.options(mesh, False)[name]).replace(",WHILE", "")
    start = time.perf_counter()
    step = setup.train_step(cfg, mesh, tx, abstract, 1000)
    step = step.lower(flat.Flat(abstract), batch, key).compile(compiler_options=options)
    seconds, state, readings = time.perf_counter() - start, flat.Flat(init()), []
    for _ in range(1 + command.turns):  # The first one warms up.
        jax.block_until_ready(state)
        begin = time.perf_counter()
        for _ in range(command.steps):
            state, _ = step(state, batch, key)
        jax.block_until_ready(state)
        readings.append((time.perf_counter() - begin) / command.steps)
    took = statistics.median(readings[1:])
    line: dict[str, Any] = {"batch_per_chip": rows, "frames": command.frames}
    line |= {"step_ms": round(took * 1e3, 3), "seq_per_s": round(rows / took, 1)}
    line |= {"graphs": command.graphs, "compile_seconds": round(seconds, 1)}
    line |= {"device": jax.devices()[0].device_kind, "jax": jax.__version__}
    if chip := peaks.of(jax.devices()[0].device_kind):
        peak = chip.flops[model_flops.kind(cfg)]
        line["mfu"] = round(model_flops.of(cfg, batch) / took / peak, 4)
    return line


def main() -> None:
    command, cfg = config.parse(Command, lambda path: Command(config=path))
    line = {"benchmark": "gpu_step", "config": pathlib.Path(command.config).stem}
    line |= measure(command, cfg)
    if command.compiled:
        from aslx.describe import compile

        same = ("config", "batch_per_chip", "frames")
        for told in compile.read(command.compiled):
            if told["program"] == "train" and all(told[k] == line[k] for k in same):
                line["least_ms"] = round(told["least_seconds"] * 1e3, 3)
                line["kernels"] = told["kernels"]
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    cli.run(main)
