"""The speed and the memory of aslx.prepare, from Kaggle's layout to shards.

python -m benchmarks.prepare --source data/synthetic/kaggle

It runs with one process and with two, on all files of the source and on half of them. Megabytes
count the values that are read, in float32. Memory is the largest resident set of all processes
together.
"""

import csv
import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import tyro

from aslx import cli, errors
from aslx.schema import landmarks
from benchmarks import machine

TABLE = "train.csv"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Times aslx.prepare fingerspelling."""

    source: pathlib.Path
    """A folder with train.csv and the parquet files that it lists."""
    selection: str = "holistic130"


def listed(source: pathlib.Path) -> tuple[list[str], list[list[str]], list[str]]:
    """The header and the rows of the table, and the files that they name."""
    with open(source / TABLE, newline="") as f:
        head, *rows = csv.reader(f)
    return head, rows, sorted({row[head.index("path")] for row in rows})


def half(source: pathlib.Path, target: pathlib.Path) -> None:
    """Makes a source that lists half of the files."""
    head, rows, paths = listed(source)
    kept = {*paths[: len(paths) // 2]}
    with open(target / TABLE, "w", newline="") as f:
        csv.writer(f).writerows([head, *(row for row in rows if kept.intersection(row))])
    (target / "train_landmarks").symlink_to((source / "train_landmarks").resolve())


def resident(number: int) -> int:
    """Resident bytes of a process and its children."""
    import psutil

    process, total = psutil.Process(number), 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def one(command: Command, source: pathlib.Path, processes: int) -> dict:
    with tempfile.TemporaryDirectory() as directory:
        out = pathlib.Path(directory) / "data"
        words = ("--source", source, "--out", out, "--no-supplemental", "--processes", processes)
        how = ("--selection", command.selection, "--split", "none")
        start, most = time.perf_counter(), 0
        call = [sys.executable, "-m", "aslx.prepare", "fingerspelling", *map(str, (*words, *how))]
        with subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as made:
            while made.poll() is None:
                most = max(most, resident(made.pid))
                time.sleep(0.1)
        if made.returncode:
            raise errors.BadInput(f"{' '.join(call)} ended with status {made.returncode}")
        seconds = time.perf_counter() - start
        summary = json.loads((out / "summary.json").read_text())
    # Every clip is kept, so that the kept frames are those that were read.
    read = summary["all"]["frames"] * len(landmarks.selection(command.selection).columns) * 4
    return {
        "benchmark": "prepare",
        "processes": processes,
        "files": len(listed(source)[2]),
        "seconds": round(seconds, 1),
        "mb_per_s_per_core": round(read / seconds / processes / 1e6, 1),
        "peak_bytes": most,
    }


def main() -> None:
    command = tyro.cli(Command)
    if not (command.source / TABLE).exists():
        raise errors.BadInput(f"--source {command.source} has no {TABLE}")
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        half(command.source, pathlib.Path(directory))
        for source in (command.source, pathlib.Path(directory)):
            for processes in (1, 2):
                line = one(command, source, processes)
                print(json.dumps(line | machine.facts()), flush=True)
                memory = f"{line['peak_bytes'] / 2**20:,.0f} MiB"
                figures = (line["files"], processes, line["seconds"], line["mb_per_s_per_core"])
                rows.append((*figures, memory))
    print(machine.table(("files", "processes", "s", "MB/s a core", "memory"), rows))


if __name__ == "__main__":
    cli.run(main)
