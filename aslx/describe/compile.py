"""What a config costs on accelerators, read from its compiled programs: `python -m aslx compile`.

The compilers need no accelerator: libtpu has the one for TPUs (the extra `tpu`), JAX's plugin for
CUDA the one for GPUs (the extra `gpu-compile`).
"""

import dataclasses
import json
import math
import os
import pathlib
import re
import tempfile
import time
from typing import Any

from aslx import cli, config, errors
from aslx.describe import chips
from aslx.kernels import peaks

_PROGRAMS = ("train", "evaluate", "predict")
# The compiler's error for a program that does not fit.
_TOO_MUCH = "RESOURCE_EXHAUSTED"
_UNITS = {"": 0, "K": 10, "M": 20, "G": 30}
_LARGEST = 10
_KAGGLE = 67_208  # Clips of Kaggle's asl-fingerspelling.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Compiles a config's programs for an accelerator that need not be there, and prints what they
    cost."""

    config: str
    """A Python file with get_config(), or the name of a file in configs/, such as quickstart. The
    fields of the config become options of this command."""
    topology: str = "v5e:2x2"
    """A chip and how many: v5e or v6e with the sides of their plane, in multiples of 2x2; h100 or
    h200 with their number, such as h200:8."""
    programs: tuple[str, ...] = _PROGRAMS
    """Which to compile: train, evaluate, predict."""
    batch_per_chip: int = 0
    """Clips in the batch of each chip; 0 for the config's whole batch of clips of --frames."""
    frames: int = 384
    """Frames to which the clips are padded."""
    clips: int = _KAGGLE
    """Clips of the training split, for the time of an epoch; the default is Kaggle's."""
    price: float = 0.0
    """What an hour of one chip costs; 0 leaves the cost out."""
    against: str = ""
    """A file of lines that this command printed before: print what has changed since."""


def measure(
    step: Any, arguments: tuple, chip: peaks.Chip, options: dict[str, Any]
) -> dict[str, Any]:
    """Compiles a program and returns its cost on one chip; `fits` tells whether memory suffices."""
    from aslx.describe import cost, graphs, hlo

    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        dump = graphs.dumped_to(folder) if chip.platform == "cuda" else {}
        try:
            compiled = step.lower(*arguments).compile(compiler_options=options | dump)
        except RuntimeError as error:
            if _TOO_MUCH not in str(error):
                raise
            return {"fits": False, "memory_bytes": _asked(str(error))}
        launches = graphs.launches(folder) if chip.platform == "cuda" else {}
    seconds = time.perf_counter() - start
    memory, text = compiled.memory_analysis(), compiled.as_text()
    taken = (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
        + memory.generated_code_size_in_bytes
    )
    found = cost.cost(text)
    figures = _figures(found, chip) | launches | {"largest": _largest(found, hlo.sources(text))}
    return {"fits": taken <= chip.usable, "memory_bytes": taken, **figures} | {
        "compile_seconds": round(seconds, 1)
    }


def _asked(message: str) -> int:
    """Bytes that a program would take, from the compiler's message; 0 if it does not say."""
    found = re.search(r"(?:Used|HLO temporaries \() ?([\d.]+)([KMG]?)", message)
    return int(float(found[1]) * 2 ** _UNITS[found[2]]) if found else 0


def _figures(found: Any, chip: peaks.Chip) -> dict[str, Any]:
    compute, memory = chip.compute_seconds(found.products), found.bytes / chip.bandwidth
    return {
        "flops": found.flops,
        "products": found.products,
        "hbm_bytes": found.bytes,
        "kernels": found.kernels,
        "compute_seconds": compute,
        "hbm_seconds": memory,
        "least_seconds": max(compute, memory),
        "unknown_loops": [
            {"products": u.products, "hbm_bytes": u.bytes, "kernels": u.kernels}
            for u in found.unknown
        ],
        "collectives": [
            {"op": c.op, "arrays": list(c.arrays), "bytes": c.bytes, "times": times}
            for c, times in found.collectives.items()
        ],
    }


def _largest(found: Any, sources: dict[int, str]) -> list[tuple[str, float]]:
    """The lines of code whose instructions read and write most of the memory, and their bytes."""
    by_line: dict[str, float] = {}
    for frame, moved in found.sources.items():
        line = sources.get(frame, "the compiler's own copies")
        by_line[line] = by_line.get(line, 0.0) + moved
    return sorted(by_line.items(), key=lambda pair: -pair[1])[:_LARGEST]


def lines(command: Command, cfg: config.Config) -> list[dict[str, Any]]:
    """A line of figures for each program, printed as JSON as soon as it is known."""
    import jax

    from aslx import sharding
    from aslx.describe import programs
    from aslx.runs import model_flops

    unknown = set(command.programs) - set(_PROGRAMS)
    if unknown:
        raise errors.BadInput(f"--programs {unknown.pop()}: there are {', '.join(_PROGRAMS)}")
    chip, devices = chips.of(command.topology), chips.devices(command.topology)
    mesh = sharding.make_mesh(cfg.mesh, devices)
    rows = command.batch_per_chip or programs.rows_per_chip(cfg, command.frames)
    options: dict[str, Any] = {}
    if chip.platform == "cuda":
        # XLA cannot time Triton's tiles here, and some of those that it takes untimed do not fit.
        options = sharding.options(mesh, False) | {"xla_gpu_enable_triton_gemm": False}
    found = []
    for name, (step, arguments) in programs.of(cfg, mesh, rows * mesh.size, command.frames).items():
        if name not in command.programs:
            continue
        line = {
            "config": pathlib.Path(command.config).stem,
            "topology": command.topology,
            "mesh": dict(mesh.shape),
            "program": name,
            "batch_per_chip": rows,
            "frames": command.frames,
            "memory_usable_bytes": chip.usable,
            **measure(step, arguments, chip, options),
            "jax": jax.__version__,
        }
        if line["fits"]:
            told = chips.collective_seconds(line["collectives"], command.topology)
            line["collective_seconds"] = told
            if name == "train":
                needed = model_flops.of(cfg, programs.batch(cfg, mesh, rows, command.frames))
                line["model_flops"] = needed
                peak = chip.flops[model_flops.kind(cfg)]
                line["share_of_peak"] = needed / peak / line["least_seconds"]
        found.append(line)
        print(json.dumps(line), flush=True)
    return found


def table(found: list[dict]) -> str:
    """A table of the figures of one config and topology."""
    head = (
        "", "memory a chip", "GFLOPs", "memory traffic", "kernels", "least time", "bound by",
        "share of peak", "collectives", "at least",
    )  # fmt: skip
    rows: list[tuple[str, ...]] = [head]
    for line in found:
        if not line["fits"]:
            rows.append((line["program"], "does not fit", *[""] * (len(head) - 2)))
            continue
        share = line["memory_bytes"] / line["memory_usable_bytes"]
        loops = " + loop" * len(line["unknown_loops"])
        bound = "products" if line["compute_seconds"] >= line["hbm_seconds"] else "memory"
        moved = sum(c["bytes"] * c["times"] for c in line["collectives"])
        kinds = sorted({c["op"] for c in line["collectives"]})
        rows.append(
            (
                line["program"],
                f"{line['memory_bytes'] / 2**20:.0f} MiB, {share:.1%}",
                f"{line['flops'] / 1e9:.2f}{loops}",
                f"{line['hbm_bytes'] / 1e6:.1f} MB{loops}",
                _kernels(line) + loops,
                f"{line['least_seconds'] * 1e3:.3f} ms{loops}",
                bound,
                f"{line['share_of_peak']:.0%}" if "share_of_peak" in line else "",
                f"{', '.join(kinds)}: {moved:,.0f} B" if kinds else "none",
                f"{line['collective_seconds'] * 1e3:.3f} ms",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _kernels(line: dict) -> str:
    outside = line.get("launches")
    return f"{line['kernels']:,.0f}" + (f", {outside} launches" if outside is not None else "")


def largest(line: dict) -> str:
    """Which lines of code read and write most of a program's memory traffic."""
    whole = line["hbm_bytes"]
    rows = (f"  {moved / 1e6:9.1f} MB {moved / whole:4.0%}  {at}" for at, moved in line["largest"])
    return "\n".join([f"{line['program']} reads and writes most in", *rows])


def priced(line: dict, command: Command, epochs: int) -> str:
    """What a step, an epoch and a run of training take at least, and cost."""
    chip, count = chips.of(command.topology), math.prod(chips.sides(command.topology))
    # No step is shorter than its collectives, nor than its kernels one after another.
    step = max(line["least_seconds"], line["kernels"] * chip.launch, line["collective_seconds"])
    clips = line["batch_per_chip"] * count
    epoch = -(-command.clips // clips) * step
    said = (
        f"at least {step * 1e3:.3f} ms a step of {clips:,} clips, {epoch:,.1f} s an epoch of "
        f"{command.clips:,} clips, {epochs * epoch / 3600:.2f} hours a run of {epochs} epochs"
    )
    if command.price:
        hours = epochs * epoch / 3600 * count
        said += f": {hours:.2f} chip-hours, {hours * command.price:,.2f} at {command.price:g} each"
    return said


def changes(found: list[dict], before: list[dict]) -> str:
    """What has changed of each program since `before`, as a table."""
    names = ("config", "topology", "program", "batch_per_chip", "frames")
    known = {tuple(line.get(name) for name in names): line for line in before}
    rows = []
    for line in found:
        old = known.get(tuple(line[name] for name in names))
        if old is None or not (old["fits"] and line["fits"]):
            rows.append(f"  {line['program']}: nothing to compare it with")
            continue
        figures = ("memory_bytes", "flops", "hbm_bytes", "kernels", "least_seconds")
        parts = (f"{f} {old.get(f, 0):.6g} -> {line[f]:.6g}" for f in figures)
        rows.append(f"  {line['program']}: {', '.join(parts)}")
    return "\n".join(["changes", *rows])


def read(path: str) -> list[dict]:
    """The lines that this command printed into a file."""
    file = pathlib.Path(path)
    try:
        texts = [t for t in file.read_text(encoding="utf-8").splitlines() if t.startswith("{")]
        return [line for line in map(json.loads, texts) if "program" in line]
    except (OSError, ValueError) as error:
        raise errors.BadInput(f"--against {path} cannot be read: {error}") from None


def main() -> int:
    # A plugin for CUDA looks for a driver, and prints that there is none, before JAX is configured.
    os.environ["JAX_PLATFORMS"] = "cpu"
    command, cfg = config.parse(Command, lambda path: Command(config=path))
    before = read(command.against) if command.against else []
    import jax

    jax.config.update("jax_platforms", "cpu")  # Uses no accelerator of this machine.
    # What is compiled without an accelerator can be written to the cache, but not read from it.
    jax.config.update("jax_enable_compilation_cache", False)
    found = lines(command, cfg)
    print(table(found))
    for line in found:
        if line["fits"]:
            print(largest(line))
        if line["program"] == "train" and line["fits"]:
            print(priced(line, command, cfg.epochs))
    if command.against:
        print(changes(found, before))
    return 0 if all(line["fits"] for line in found) else 1


if __name__ == "__main__":
    cli.run(main)
