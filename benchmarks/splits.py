"""A classifier on several random splits of its data: a JSON line each, and their mean at the end.

python -m benchmarks.splits --config configs/keypoint_lstm.py --kind keypoint_clips \\
    --source MP_Data --out runs/splits -- --epochs 100

What follows `--` is passed to aslx.train. Each split is prepared with another seed, stratified by
class: a fifth of it tests, and of the rest an eighth validates and picks the checkpoint, unless
`--prepare="--validation 0"` leaves it to train.
"""

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import time

import tyro

from aslx import cli, errors


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Prepares, trains and tests a config on several splits."""

    config: str
    """A Python file with get_config()."""
    kind: str
    """Which of aslx.prepare's sources it reads."""
    source: str
    """Its data, as for aslx.prepare."""
    out: pathlib.Path
    """Where data sets and runs shall stand; what stands there already is gone on with."""
    splits: int = 5
    jobs: int = 1
    """How many of them at a time; each then has its share of the machine's cores."""
    prepare: str = ""
    """More options of aslx.prepare, separated by spaces."""


def last_line(*words: object) -> dict:
    """Runs a module and reads the JSON that it ends with."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, words)], stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise errors.BadInput(f"{' '.join(map(str, words))} ended with status {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def one(command: Command, seed: int, options: list[str]) -> dict:
    data, workdir = command.out / f"data-{seed}", command.out / f"run-{seed}"
    if not data.exists():
        take = ("--source", command.source, "--out", data, "--seed", seed)
        how = ("--split", "stratified", *command.prepare.split())
        last_line("aslx.prepare", command.kind, *take, *how)
    begun = time.monotonic()
    into = ("--workdir", workdir, "--data.path", data)
    last_line("aslx.train", "--config", command.config, *into, "--seed", seed, *options)
    seconds = round(time.monotonic() - begun, 1)
    scores = last_line("aslx.evaluate", "--workdir", workdir)
    return {"seed": seed, "accuracy": scores["score"], "clips": scores["clips"], "train_s": seconds}


def main() -> None:
    given = sys.argv[1:]
    mine = given.index("--") if "--" in given else len(given)
    command, words = tyro.cli(Command, args=given[:mine]), given[mine + 1 :]
    cores = sorted(os.sched_getaffinity(0))
    if not 1 <= command.jobs <= len(cores):
        raise errors.BadInput(
            f"--jobs {command.jobs} is not between 1 and this machine's {len(cores)}"
        )
    shares, found = [set(cores[i :: command.jobs]) for i in range(command.jobs)], []

    def settle() -> None:
        """What a thread starts runs where the thread itself may."""
        os.sched_setaffinity(0, shares.pop())

    with concurrent.futures.ThreadPoolExecutor(command.jobs, initializer=settle) as pool:
        tasks = [pool.submit(one, command, seed, words) for seed in range(command.splits)]
        for task in tasks:
            found.append(task.result())
            print(json.dumps(found[-1]), flush=True)
    mean = sum(row["accuracy"] for row in found) / len(found)
    print(json.dumps({"splits": len(found), "accuracy": round(mean, 4)}))


if __name__ == "__main__":
    cli.run(main)
