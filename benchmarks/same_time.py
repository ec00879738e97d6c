"""Configs trained for the same time, each with several random seeds.

python -m benchmarks.same_time --data data/synthetic --out runs/same_time \\
    configs/squeezeformer_small.py configs/fingerspelling_transformer.py

Prints a JSON line for each run, and a table. The time is the CPU time of the training process on
two cores, start and compilation included, so that other work on the machine does not matter. A run
that is not done by then is told to stop, saves, and is scored; give a config without a schedule
more --epochs than fit. Runs that exist in --out are not repeated.
"""

import dataclasses
import json
import math
import pathlib
import signal
import subprocess
import sys
import time
from typing import Annotated

import tyro

from aslx import cli, errors
from benchmarks import splits

_CORES = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Trains configs for the same time and scores them on the test split."""

    configs: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Python files with get_config(). Options of a config go into the same word:
    "configs/fingerspelling_lstm.py --epochs 1000"."""
    data: str
    """A folder that aslx.prepare has written."""
    out: pathlib.Path
    """A folder for the runs."""
    minutes: float = 6.0
    """Minutes of both cores: 6 are 12 minutes of CPU time."""
    seeds: int = 3


def one(command: Command, words: str, seed: int) -> dict:
    config, *options = words.split()
    name = "_".join([pathlib.Path(config).stem, *(o.strip("-") for o in options)]).replace("/", "_")
    workdir = command.out / f"{name}-{seed}"
    path = workdir / "evaluation-test" / "scores.json"
    if not path.exists():
        train_for(command, config, options, workdir, seed)
        splits.last_line("aslx.evaluate", "--workdir", workdir, "--split", "test")
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    scores = json.loads(path.read_text())
    row = {"benchmark": "same_time", "config": words, "seed": seed, "minutes": command.minutes}
    row |= {"steps": lines[-1]["step"]}
    return row | {key: scores[key] for key in ("score", "score_low", "score_high", "clips")}


def train_for(
    command: Command, config: str, options: list[str], workdir: pathlib.Path, seed: int
) -> None:
    """Trains until the time is over; errors.BadInput if the training fails."""
    into = ("--workdir", workdir, "--data.path", command.data, "--seed", seed)
    import psutil

    words = [sys.executable, "-m", "aslx.train", "--config", config, *into, *options]
    used = 0.0
    with subprocess.Popen(list(map(str, words)), stdout=subprocess.DEVNULL) as trainer:
        process, told = psutil.Process(trainer.pid), False
        while (status := trainer.poll()) is None:
            used = sum(process.cpu_times()[:2]) / 60 / _CORES
            if used > command.minutes and not told:
                trainer.send_signal(signal.SIGTERM)
                told = True
            time.sleep(1)
    if status not in (0, cli.TERMINATED):
        raise errors.BadInput(f"{config} ended with status {status}")
    print(f"{workdir}: {used:.2f} minutes", file=sys.stderr, flush=True)


def interval(scores: list[float]) -> tuple[float, float]:
    """The mean over random seeds, and half of its 95 % interval (Student's t)."""
    n, mean = len(scores), sum(scores) / len(scores)
    if n == 1:
        return mean, math.nan
    from scipy import stats

    std = math.sqrt(sum((s - mean) ** 2 for s in scores) / (n - 1))
    return mean, float(stats.t.ppf(0.975, n - 1)) * std / math.sqrt(n)


def main() -> None:
    command = tyro.cli(Command)
    table = ["| | score | 95 % over seeds | error | steps |", "| --- | --- | --- | --- | --- |"]
    for words in command.configs:
        rows = []
        for seed in range(command.seeds):
            rows.append(one(command, words, seed))
            print(json.dumps(rows[-1]), flush=True)
        mean, half = interval([row["score"] for row in rows])
        steps = sorted(row["steps"] for row in rows)[len(rows) // 2]
        table.append(f"| `{words}` | {mean:.3f} | ± {half:.3f} | {1 - mean:.3f} | {steps} |")
    print("\n".join(table))


if __name__ == "__main__":
    cli.run(main)
