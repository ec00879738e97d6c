"""How long a user waits for the first training step, with an empty and with a filled compile cache.

python -m benchmarks.compile --config configs/quickstart.py --data data/synthetic

Measures the seconds from the command to the first line of metrics.jsonl: imports, the index of the
data set, compilation and the step. A cold start has an empty compile cache; a warm start follows.
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
    """Times the start of a training."""

    config: str
    """A Python file with get_config()."""
    data: str
    """A folder that aslx.prepare has written."""
    repeat: int = 5


def start(command: Command, directory: pathlib.Path) -> float:
    """Seconds until the first step is done."""
    with tempfile.TemporaryDirectory() as workdir:
        words = ("--config", command.config, "--workdir", workdir, "--data.path", command.data)
        call = [sys.executable, "-m", "aslx.train", *words, "--log-every", "1"]
        where = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(directory)}
        metrics, begun = pathlib.Path(workdir) / "metrics.jsonl", time.perf_counter()
        null = subprocess.DEVNULL
        with subprocess.Popen(call, env=where, stdout=null, stderr=null) as trainer:
            stepped = False
            while not stepped and trainer.poll() is None:
                time.sleep(0.05)
                stepped = metrics.exists() and metrics.stat().st_size > 0
            seconds = time.perf_counter() - begun
            trainer.terminate()
            if trainer.wait() not in (0, cli.TERMINATED) or not stepped:
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
