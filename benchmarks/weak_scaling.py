"""Predicted weak scaling: the time of a step on 8 to 256 chips, from compiled programs.

python -m aslx compile --config configs/quickstart.py --topology v5e:2x4 > lines.jsonl
python -m aslx compile --config configs/quickstart.py --topology v5e:16x16 >> lines.jsonl
python -m benchmarks.weak_scaling lines.jsonl

The number of clips on a chip is constant, and with it the time of the chip; the distance that the
gradients travel grows. The lower of two bounds on the rate adds the time of the collectives to that
of the step, the upper one lets both overlap completely.
"""

import dataclasses
import json
import math
import pathlib
from typing import Annotated, Any

import tyro

from aslx import cli, errors
from aslx.describe import chips
from benchmarks import machine

SHAPES = ("2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
# Seconds from a chip to the next: about a microsecond (jax-ml.github.io/scaling-book, "Sharded
# Matrices and How to Multiply Them").
_HOP = 1e-6
_HEAD = (
    "chips", "clips a step", "a chip's part", "collectives", "of which hops",
    "clips/s, one after the other", "efficiency", "clips/s, beside each other", "efficiency",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Predicts how a compiled training step scales from 8 chips to 256."""

    lines: Annotated[pathlib.Path, tyro.conf.Positional]
    """The output of `aslx compile` for one config and kind of chip."""


def hops(topology: str) -> int:
    """Hops of one collective to the farthest chip: half of each ring, or a whole line."""
    whole = chips.WHOLE_RING
    return sum(n // 2 if n >= whole else n - 1 for n in chips.sides(topology))


def nearest(lines: list[dict], count: int) -> dict:
    """The program for the nearest number of chips, by ratio."""
    return min(lines, key=lambda line: abs(math.log(size(line["topology"]) / count)))


def size(topology: str) -> int:
    return math.prod(chips.sides(topology))


def scaled(lines: list[dict]) -> list[dict[str, Any]]:
    """One line of figures for each of SHAPES."""
    kinds = {(line["config"], line["topology"].split(":")[0]) for line in lines}
    if len(kinds) != 1:
        raise errors.BadInput(f"want training steps of one config and chip, found {sorted(kinds)}")
    ((_, kind),) = kinds
    topologies = [f"{kind}:{shape}" for shape in SHAPES]
    found = [figures(nearest(lines, size(topology)), topology) for topology in topologies]
    for line in found:
        rates = zip(line["seq_per_s"], found[0]["seq_per_s"], strict=True)
        ratio = line["chips"] / found[0]["chips"]
        line["efficiency"] = [now / first / ratio for now, first in rates]
    return found


def figures(line: dict, topology: str) -> dict[str, Any]:
    """The time and the rate of a program's step on another number of chips."""
    count, told = size(topology), line["collectives"]
    # An all-reduce goes there and back: a reduce-scatter and an all-gather.
    far = {"all-reduce": 2 * hops(topology), "collective-permute": 1}
    way = sum(far.get(c["op"], hops(topology)) * c["times"] for c in told) * _HOP
    sent = chips.collective_seconds(told, topology)
    step, talk, clips = line["least_seconds"], sent + way, line["batch_per_chip"] * count
    return {
        "benchmark": "weak_scaling",
        "config": line["config"],
        "topology": topology,
        "compiled_for": line["topology"],
        "chips": count,
        "clips": clips,
        "least_seconds": step,
        "collective_seconds": talk,
        "hop_seconds": way,
        "seq_per_s": [clips / (step + talk), clips / max(step, talk)],
    }


def table(lines: list[dict]) -> str:
    rows: list[tuple] = []
    for line in lines:
        (after, beside), (worst, best) = line["seq_per_s"], line["efficiency"]
        seconds = [line[k] for k in ("least_seconds", "collective_seconds", "hop_seconds")]
        ends = f"{after:,.0f}", f"{worst:.3f}", f"{beside:,.0f}", f"{best:.3f}"
        times = (f"{s * 1e3:.3f} ms" for s in seconds)
        rows.append((line["chips"], f"{line['clips']:,}", *times, *ends))
    return machine.table(_HEAD, rows)


def main() -> int:
    command = tyro.cli(Command, description=__doc__)
    texts = [t for t in command.lines.read_text().splitlines() if t.startswith("{")]
    lines = [line for line in map(json.loads, texts) if line["program"] == "train"]
    found = scaled(lines)
    for line in found:
        print(json.dumps(line))
    print(table(found))
    return 0


if __name__ == "__main__":
    cli.run(main)
