"""The same batch on 1, 2, 4 and 8 simulated devices of one host.

python -m benchmarks.scaling --config configs/squeezeformer_small.py --rows 64

With more devices than cores a step gets no faster: the additional time is the cost of dividing the
batch.
"""

import dataclasses
import functools
import json
import pathlib

import tyro

from aslx import cli
from benchmarks import machine, train_step, turns


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(turns.Options):
    """Times a training step on several numbers of devices, in turns."""

    config: str
    """A Python file with get_config()."""
    devices: tuple[int, ...] = (1, 2, 4, 8)
    rows: int = 64
    """Clips in the whole batch."""
    frames: int = 148
    """Frames of every clip."""


def main() -> None:
    command = tyro.cli(Command)
    contenders = []
    for n in command.devices:
        words = f"{command.config} --mesh.cpu-devices {n}"
        build = functools.partial(train_step.ours, words, command.rows, command.frames)
        contenders.append(turns.Contender(str(n), build))
    times = turns.race(contenders, turns=command.turns, steps=command.steps)
    first, stem, rows = next(iter(times.values())), pathlib.Path(command.config).stem, []
    for name, found in times.items():
        line = {"benchmark": "scaling", "config": stem, "devices": int(name), "rows": command.rows}
        line |= {"frames": command.frames, **found.spread(), "peak_bytes": found.peak_bytes}
        line |= {"seq_per_s": round(command.rows / found.median(), 1)}
        line |= {"speedup": round(first.median() / found.median(), 2)}
        print(json.dumps(line | machine.facts()), flush=True)
        rows.append((name, line["step_ms"], line["seq_per_s"], line["speedup"]))
    print(machine.table((f"`{stem}`, devices", "ms a step", "seq/s", "speed-up"), rows))


if __name__ == "__main__":
    cli.run(main)
