"""The time to an exported model, by the commands that prepare, train, evaluate and export.

python -m benchmarks.end_to_end --out runs/end_to_end
"""

import dataclasses
import json
import pathlib
import time

import tyro

from aslx import cli, errors
from benchmarks import machine, splits


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Times the commands of `make train`."""

    out: pathlib.Path
    """A new folder for the data set and the run."""
    config: str = "configs/quickstart.py"
    """A Python file with get_config()."""
    sequences: int = 9000
    """Synthetic clips to make; about two thirds of them are kept."""


def main() -> None:
    command = tyro.cli(Command)
    data, run = command.out / "data", command.out / "run"
    made = ("--sequences", command.sequences, "--whole-hands")
    commands = {
        "prepare": ("aslx.prepare", "synthetic", "--out", data, *made),
        "train": ("aslx.train", "--config", command.config, "--workdir", run, "--data.path", data),
        "evaluate": ("aslx.evaluate", "--workdir", run, "--split", "test"),
        "export": ("aslx.export", "--workdir", run),
    }
    if command.out.exists():
        raise errors.BadInput(f"--out {command.out} exists: name another folder")
    seconds, last = {}, {}
    for name, words in commands.items():
        begun = time.perf_counter()
        last[name] = splits.last_line(*words)
        seconds[name] = round(time.perf_counter() - begun, 1)
    seconds["total"] = round(sum(seconds.values()), 1)
    line = {"benchmark": "end_to_end", "config": pathlib.Path(command.config).stem}
    line |= {f"{name}_s": value for name, value in seconds.items()}
    print(json.dumps(line | {"score": last["evaluate"]["score"]} | machine.facts()))
    print(machine.table(("", "seconds"), list(seconds.items())))


if __name__ == "__main__":
    cli.run(main)
