"""A classifier trained on several random splits of its data: a JSON line for each, and the mean.

python -m benchmarks.splits --config configs/keypoint_lstm.py --kind keypoint_clips \\
    --source MP_Data --out runs/splits -- --epochs 100

Options after `--` are passed to aslx.train. Each split is prepared with another random seed,
stratified by class: a fifth is the test set, and an eighth of the rest is the validation set, which
selects the checkpoint. With `--prepare="--validation 0"` the rest is the training set.
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
    """Prepares, trains and evaluates a config on several splits."""

    config: str
    """A Python file with get_config()."""
    kind: str
    """The kind of source, a command of aslx.prepare."""
    source: str
    """The source, as for aslx.prepare."""
    out: pathlib.Path
    """A folder for data sets and runs; those that exist there are continued."""
    splits: int = 5
    jobs: int = 1
    """Splits at the same time; each has its share of the cores."""
    prepare: str = ""
    """Further options of aslx.prepare, separated by spaces."""


def last_line(*words: object) -> dict:
    """Runs a module, and returns the JSON object that it prints last."""
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
        """Gives this thread its cores; processes that it starts inherit them."""
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
