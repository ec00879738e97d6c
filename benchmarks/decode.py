"""The time of a prediction, by greedy decoding and by beam search.

python -m benchmarks.decode --config configs/fingerspelling_transformer_modern.py --beams 1 4 8

The weights are initial ones. A decoder with initial weights rarely ends a text before its greatest
length, which is the slowest case.
"""

import dataclasses
import functools
import json
import pathlib
from typing import Any

from aslx import cli
from benchmarks import turns


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(turns.Options):
    """Times the prediction of a batch."""

    config: str
    """A Python file with get_config(); its fields become options of this command."""
    beams: tuple[int, ...] = (1, 4, 8)
    """1 is greedy decoding."""
    rows: int = 32
    """Clips in the batch."""
    frames: int = 148
    """Frames of every clip."""
    steps: int = 3


def reader(cfg: Any, rows: int, frames: int, beams: int) -> Any:
    """Work that predicts one batch."""
    import jax
    import numpy as np

    from aslx import sharding
    from aslx.runs import evaluator, flat, opening
    from benchmarks import batches

    cfg = dataclasses.replace(cfg, task=dataclasses.replace(cfg.task, beams=beams))
    mesh = sharding.make_mesh(sharding.Config())
    (batch,) = sharding.put(mesh, iter([batches.noise(cfg, np.full(rows, frames))]))
    model, predict = flat.Flat(opening.network(cfg)), evaluator.predict_step(cfg, mesh)

    def run(count: int) -> None:
        for _ in range(count):
            jax.block_until_ready(predict(model, batch))

    return turns.Work(run)


def main() -> None:
    from aslx import config

    command, cfg = config.parse(Command, lambda path: Command(config=path))
    from benchmarks import machine

    build = functools.partial(reader, cfg, command.rows, command.frames)
    contenders = [turns.Contender(str(n), functools.partial(build, n)) for n in command.beams]
    times = turns.race(contenders, turns=command.turns, steps=command.steps)
    stem, rows = pathlib.Path(command.config).stem, []
    for name, found in times.items():
        line = {"benchmark": "decode", "config": stem, "beams": int(name), "rows": command.rows}
        line |= {"frames": command.frames, **found.spread()}
        line |= {"seq_per_s": round(command.rows / found.median(), 1)}
        print(json.dumps(line | {"peak_bytes": found.peak_bytes} | machine.facts()), flush=True)
        rows.append(("greedy" if name == "1" else name, line["step_ms"], line["seq_per_s"]))
    print(machine.table((f"`{stem}`, beams", "ms a batch", "seq/s"), rows))


if __name__ == "__main__":
    cli.run(main)
