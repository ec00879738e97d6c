"""How long a user waits for the first step: from a cold start, and from a compile cache.

python -m benchmarks.compile --config configs/quickstart.py --data data/synthetic

Seconds from the command to the line of the first step in metrics.jsonl: imports, the data set's
index, compilation, the step. Cold has an empty compile cache; warm follows it.
"""

import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import tyro

from aslx import cli, errors
from benchmarks import machine


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Times starts of a config."""

    config: str
    """A Python file with get_config()."""
    data: str
    """A folder that aslx.prepare wrote."""
    repeat: int = 5


def start(command: Command, directory: pathlib.Path) -> float:
    """Seconds until the first step was taken."""
    with tempfile.TemporaryDirectory() as workdir:
        words = ("--config", command.config, "--workdir", workdir, "--data.path", command.data)
        call = [sys.executable, "-m", "aslx.train", *words, "--log-every", "1"]
        where = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(directory)}
        metrics, begun = pathlib.Path(workdir) / "metrics.jsonl", time.perf_counter()
        null = subprocess.DEVNULL
        with subprocess.Popen(call, env=where, stdout=null, stderr=null) as trainer:
            while not (metrics.exists() and metrics.stat().st_size):
                if trainer.poll() is not None:
                    raise errors.BadInput(
                        f"{' '.join(call)} ended with status {trainer.returncode}"
                    )
                time.sleep(0.05)
            seconds = time.perf_counter() - begun
            trainer.terminate()
            if trainer.wait() not in (0, cli.TERMINATED):
                raise errors.BadInput(f"{' '.join(call)} ended with status {trainer.returncode}")
    return seconds


def helped() -> float:
    """Seconds of aslx.train --help."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "aslx.train", "--help"], check=True, capture_output=True)
    return time.perf_counter() - begun


def main() -> None:
    command = tyro.cli(Command)
    times: dict[str, list[float]] = {"cold": [], "warm": [], "help": []}
    for _ in range(command.repeat):
        with tempfile.TemporaryDirectory() as cache:
            times["cold"].append(start(command, pathlib.Path(cache)))
            times["warm"].append(start(command, pathlib.Path(cache)))
        times["help"].append(helped())
    line: dict = {"benchmark": "compile", "config": pathlib.Path(command.config).stem}
    rows = []
    for name, seconds in times.items():
        median, least, most = statistics.median(seconds), min(seconds), max(seconds)
        line |= {f"{name}_s": round(median, 1), f"{name}_s_max": round(most, 1)}
        rows.append((name, f"{median:.1f} s ({least:.1f} to {most:.1f})"))
    print(json.dumps(line | machine.facts()))
    print(machine.table((line["config"], "seconds"), rows))


if __name__ == "__main__":
    cli.run(main)
