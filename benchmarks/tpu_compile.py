"""The cost of a config on TPUs, read from its compiled programs. It needs libtpu, but no TPU.

python -m benchmarks.tpu_compile --config configs/quickstart.py --topology v5e:16x16

It compiles the steps of training, evaluation and prediction for all chips of a topology, and prints
their memory, FLOPs and bytes, the least time that these allow, and their collectives.
"""

import dataclasses
import importlib.metadata
import json
import os
import pathlib
import re
import time
from typing import Any

from aslx import cli, errors

# The compiler's error for a program that does not fit.
_TOO_MUCH = "RESOURCE_EXHAUSTED"
_UNITS = {"": 0, "K": 10, "M": 20, "G": 30}
_LIBTPU = {
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_LOG_DIR": "disabled",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
_HEAD = (
    "", "memory a chip", "GFLOPs", "HBM traffic", "least time", "bound by, share of peak",
    "collectives", "at least",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Chip:
    """Published peaks of a chip. `usable` is the limit of the compiler, from its message for a
    program that does not fit ("exceeds available HBM (15.75G)", libtpu 0.0.42)."""

    flops: float
    """FLOP/s of bfloat16 products."""
    bandwidth: float
    """Bytes/s of main memory."""
    memory: int
    """Bytes of main memory."""
    usable: int
    """Bytes of main memory that a program may use."""
    link: float
    """Bytes/s to a neighbour, one way; a chip has four neighbours, in a plane."""


CHIPS = {
    # cloud.google.com/tpu/docs/v5e: 197 TFLOPs, 16 GB, 819 GBps. Links of both chips:
    # jax-ml.github.io/scaling-book, "How to Think About TPUs".
    "v5e": Chip(197e12, 819e9, 16 * 2**30, int(15.75 * 2**30), 45e9),
    # cloud.google.com/tpu/docs/v6e: 918 TFLOPs, 32 GB, 1638 GBps.
    "v6e": Chip(918e12, 1638e9, 32 * 2**30, int(31.25 * 2**30), 90e9),
}

# Bytes that a chip sends for each byte of an array, in the bandwidth-optimal algorithms on a ring
# (jax-ml.github.io/scaling-book, "Sharded Matrices and How to Multiply Them").
_SENT = {"all-reduce": 2.0, "all-to-all": 0.25, "ragged-all-to-all": 0.25}
WHOLE_RING = 16  # Chips of an axis that is a ring; a shorter one is a line, half as fast.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Compiles the programs of a config for a TPU topology, and prints their cost."""

    config: str
    """A Python file with get_config(); its fields become options of this command."""
    topology: str = "v5e:2x2"
    """A chip, v5e or v6e, and the number of chips, in multiples of 2x2."""
    batch_per_chip: int = 0
    """Clips in the batch of each chip; 0 for the config's whole batch of clips of --frames."""
    frames: int = 384
    """Frames to which the clips are padded."""


def chip_of(topology: str) -> Chip:
    name = topology.split(":")[0]
    if name not in CHIPS:
        raise errors.BadInput(
            f"no figures for the chip of {topology!r}; there are {', '.join(CHIPS)}"
        )
    return CHIPS[name]


def sides(topology: str) -> list[int]:
    """Chips along each axis."""
    return [int(n) for n in topology.split(":")[1].split("x")]


def devices(topology: str) -> list:
    """The chips of a topology, to compile for; errors.BadInput for an unknown topology."""
    # Without these variables libtpu looks for a TPU, and one process alone may load it.
    for name, value in _LIBTPU.items():
        os.environ.setdefault(name, value)
    import libtpu  # noqa: F401 - aslx.cli says how to install it.
    from jax.experimental import topologies

    try:
        found = topologies.get_topology_desc(platform="tpu", topology_name=topology).devices
    except RuntimeError as error:
        raise errors.BadInput(f"no topology {topology!r}: {error}") from None
    return list(found)


def programs(cfg: Any, mesh: Any, rows: int, frames: int) -> dict[str, tuple[Any, tuple]]:
    """The jitted step of each program and its abstract arguments, with batches of `rows` clips."""
    import jax

    from aslx import optim, sharding
    from aslx.runs import evaluator, flat
    from aslx.train import setup

    sharding.check_rows(mesh, rows, cfg.microbatches)
    steps = 1000  # Any number gives the same program.
    tx = optim.build(cfg.optim, steps)
    state, _ = setup.state(cfg, mesh, tx)
    examples, key = batch(cfg, mesh, rows, frames), jax.eval_shape(lambda: jax.random.key(0))
    key = jax.ShapeDtypeStruct(key.shape, key.dtype, sharding=sharding.replicated(mesh))
    held, model = flat.Flat(state), flat.Flat(state.best_model)
    return {
        "train": (setup.train_step(cfg, mesh, tx, state, steps), (held, examples, key)),
        "evaluate": (evaluator.evaluate_step(cfg, mesh), (model, examples)),
        "predict": (jax.jit(evaluator.predict_step(cfg, mesh)), (model, examples)),
    }


def batch(cfg: Any, mesh: Any, rows: int, frames: int) -> dict[str, Any]:
    """A batch of `rows` clips, as abstract arrays."""
    import jax

    from aslx import sharding
    from benchmarks import batches

    place = sharding.batch(mesh)
    return {
        name: jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype, sharding=place)
        for name, x in batches.fillers(cfg, 1, frames).items()
    }


def rows_per_chip(cfg: Any, frames: int) -> int:
    """Rows of the config's own batch of clips of that length."""
    import numpy as np

    return cfg.data.batching.shapes(np.array([frames]))[-1].rows


def measure(step: Any, arguments: tuple, chip: Chip) -> dict[str, Any]:
    """Compiles a program and returns its cost on one chip; `fits` tells whether memory suffices."""
    from benchmarks import cost

    start = time.perf_counter()
    try:
        compiled = step.lower(*arguments).compile()
    except RuntimeError as error:
        if _TOO_MUCH not in str(error):
            raise
        return {"fits": False, "memory_bytes": _asked(str(error))}
    seconds = time.perf_counter() - start
    memory = compiled.memory_analysis()
    taken = (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
        + memory.generated_code_size_in_bytes
    )
    found = cost.cost(compiled.as_text())
    return {"fits": taken <= chip.usable, "memory_bytes": taken, **_figures(found, chip)} | {
        "compile_seconds": round(seconds, 1)
    }


def collective_seconds(collectives: list[dict], chip: Chip, topology: str) -> float:
    """The least time of collectives, one after another, each along both axes and in both ways."""
    ways = sum(2.0 if side >= WHOLE_RING else 1.0 for side in sides(topology))
    sent = sum(_SENT.get(c["op"], 1.0) * c["bytes"] * c["times"] for c in collectives)
    return sent / (ways * chip.link)


def _asked(message: str) -> int:
    """Bytes that a program would take, from the compiler's message; 0 if it does not say."""
    found = re.search(r"(?:Used|HLO temporaries \() ?([\d.]+)([KMG]?)", message)
    return int(float(found[1]) * 2 ** _UNITS[found[2]]) if found else 0


def _figures(found: Any, chip: Chip) -> dict[str, Any]:
    compute, memory = found.passes / chip.flops, found.bytes / chip.bandwidth
    return {
        "flops": found.flops,
        "bfloat16_flops": found.passes,
        "hbm_bytes": found.bytes,
        "compute_seconds": compute,
        "hbm_seconds": memory,
        "least_seconds": max(compute, memory),
        "unknown_loops": [
            {"flops": u.flops, "bfloat16_flops": u.passes, "hbm_bytes": u.bytes}
            for u in found.unknown
        ],
        "collectives": [
            {"op": c.op, "arrays": list(c.arrays), "bytes": c.bytes, "times": times}
            for c, times in found.collectives.items()
        ],
    }


def table(lines: list[dict]) -> str:
    """A table of the figures of one config and topology."""
    rows: list[tuple[str, ...]] = [_HEAD]
    for line in lines:
        if not line["fits"]:
            rows.append((line["program"], "does not fit", *[""] * (len(_HEAD) - 2)))
            continue
        share = line["memory_bytes"] / line["memory_usable_bytes"]
        loops = " + loop" * len(line["unknown_loops"])
        bound = "compute" if line["compute_seconds"] >= line["hbm_seconds"] else "HBM"
        moved = sum(c["bytes"] * c["times"] for c in line["collectives"])
        kinds = sorted({c["op"] for c in line["collectives"]})
        rows.append(
            (
                line["program"],
                f"{line['memory_bytes'] / 2**20:.0f} MiB, {share:.1%}",
                f"{line['flops'] / 1e9:.2f}{loops}",
                f"{line['hbm_bytes'] / 1e6:.1f} MB{loops}",
                f"{line['least_seconds'] * 1e3:.3f} ms{loops}",
                f"{bound}, {line['compute_seconds'] / line['least_seconds']:.0%}",
                f"{', '.join(kinds)}: {moved:,.0f} B" if kinds else "none",
                f"{line['collective_seconds'] * 1e3:.3f} ms",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def run(command: Command, cfg: Any) -> list[dict]:
    """Prints a line of figures for each program, and returns the lines."""
    from aslx import sharding

    chip, mesh = chip_of(command.topology), sharding.make_mesh(cfg.mesh, devices(command.topology))
    rows = command.batch_per_chip or rows_per_chip(cfg, command.frames)
    lines = []
    steps = programs(cfg, mesh, rows * mesh.size, command.frames)
    for name, (step, arguments) in steps.items():
        found = measure(step, arguments, chip)
        if "collectives" in found:
            told = collective_seconds(found["collectives"], chip, command.topology)
            found["collective_seconds"] = told
        line = {
            "benchmark": "tpu_compile",
            "config": pathlib.Path(command.config).stem,
            "topology": command.topology,
            "mesh": dict(mesh.shape),
            "program": name,
            "batch_per_chip": rows,
            "frames": command.frames,
            "memory_usable_bytes": chip.usable,
            **found,
            "versions": {p: importlib.metadata.version(p) for p in ("jax", "jaxlib", "libtpu")},
        }
        lines.append(line)
        print(json.dumps(line), flush=True)
    return lines


def main() -> int:
    from aslx import config

    command, cfg = config.parse(Command, lambda path: Command(config=path))
    import jax

    jax.config.update("jax_platforms", "cpu")  # Does not use a TPU of this machine.
    lines = run(command, cfg)
    print(table(lines))
    return 0 if all(line["fits"] for line in lines) else 1


if __name__ == "__main__":
    cli.run(main)
