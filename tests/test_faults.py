"""Whatever call on a run's or a data set's files fails, nothing good is lost, and the exit status
says whose fault it was.

Errors are injected into real commands by strace. Each command has a folder of its own, which is
what it was before every trial.
"""

import collections
import concurrent.futures
import dataclasses
import functools
import hashlib
import os
import pathlib
import random
import shutil
import subprocess
import sys
from typing import Any

import jax
import numpy as np
import pytest
from etils import epath

from aslx.checkpoints import stored
from aslx.train import setup
from tests import faults, tiny

pytestmark = pytest.mark.slow
PLACES = int(os.environ.get("ASLX_FAULTS", "50"))  # Of each command.
SLOTS = 2
ROOT = pathlib.Path(__file__).parent.parent
ERRORS = ("EIO", "ESTALE", "ECONNRESET", "ENOSPC", "EACCES", "ETIMEDOUT")
ENV = {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONDONTWRITEBYTECODE": "1"}


@dataclasses.dataclass(frozen=True)
class Activity:
    """A command, and what of its calls is tried."""

    words: tuple[str, ...]
    made: str
    """The file or folder, below the trial's, that the command writes."""
    of: str = ""
    """Only the calls on paths that begin so."""
    reads: bool | None = None
    """Only calls that read, or only those that write."""


ACTIVITIES = {
    "training": Activity(
        ("train", "--config", "AT/tiny.py", "--workdir", "AT/run"), "run/checkpoints", reads=False
    ),
    "restoring": Activity(
        ("train", "--config", "AT/tiny.py", "--workdir", "AT/run"), "run/checkpoints",
        of="run/", reads=True,
    ),
    "evaluating": Activity(
        ("evaluate", "--workdir", "AT/run", "--split", "validation"), "run/evaluation-validation"
    ),
    "exporting": Activity(("export", "--workdir", "AT/run", "--clips", "0"), "run/export"),
    "preparing": Activity(
        ("prepare", "keypoint_clips", "--source", "AT/clips", "--out", "AT/set", "--overwrite",
         "--processes", "1"), "set",
    ),
}  # fmt: skip
_READING = ("openat", "read", "pread64", "readv", "getdents64", "stat", "lstat", "newfstatat",
            "statx", "access", "faccessat", "faccessat2")  # fmt: skip


def command(activity: Activity, at: pathlib.Path) -> list[str]:
    words = [word.replace("AT", str(at)) for word in activity.words]
    return [sys.executable, "-m", f"aslx.{words[0]}", *words[1:]]


def digest(path: pathlib.Path) -> str:
    """Of every name and byte below a path."""
    found = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        found.update(f"{file.relative_to(path)}\0".encode())
        if file.is_file():
            found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


@pytest.fixture(scope="module")
def base(dataset, tmp_path_factory) -> pathlib.Path:
    """A run that was stopped half way, with an evaluation and an export, and a data set."""
    at = tmp_path_factory.mktemp("base") / "slot"
    shutil.copytree(dataset, at / "data")
    rng = np.random.default_rng(0)
    for name in ("cow", "dog"):
        for clip in range(6):
            (at / "clips" / name / str(clip)).mkdir(parents=True)
            for frame in range(2):
                np.save(at / "clips" / name / str(clip) / f"{frame}.npy", rng.normal(size=258))
    return at


def placed(base: pathlib.Path, at: pathlib.Path) -> None:
    shutil.rmtree(at, ignore_errors=True)
    shutil.copytree(base, at, symlinks=True)


@pytest.fixture(scope="module")
def slots(base, tmp_path_factory) -> list[pathlib.Path]:
    """Folders of equal content, each with a run of its own that names its own data: as many trials
    run side by side."""
    found = []
    for i in range(SLOTS):
        origin = tmp_path_factory.mktemp(f"origin{i}") / "slot"
        at = origin.parent / "at"
        placed(base, at)
        tiny.config_file(at / "tiny.py", at / "data", save_every=2, epochs=2)
        run(["-m", "aslx.train", "--config", at / "tiny.py", "--workdir", at / "run",
             "--epochs", "1"])  # fmt: skip
        run(command(ACTIVITIES["evaluating"], at)[1:])
        run(command(ACTIVITIES["exporting"], at)[1:])
        run(command(ACTIVITIES["preparing"], at)[1:])
        shutil.copytree(at, origin)
        found.append(at)
    return found


def run(words: list) -> None:
    done = subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, env=os.environ | ENV
    )
    assert done.returncode == 0, done.stderr


@functools.cache
def abstract(data: pathlib.Path) -> Any:
    return setup.of(tiny.cfg(data, save_every=2, epochs=2)).abstract


def newest(at: pathlib.Path) -> int:
    """The step of the newest checkpoint; every one is read."""
    checkpoints = at / "run" / "checkpoints"
    steps = sorted(int(path.name) for path in checkpoints.iterdir() if path.name.isdigit())
    for step in steps:
        read = stored.Stored(epath.Path(checkpoints / str(step))).restore(abstract(at / "data"))
        jax.block_until_ready(read)
    return steps[-1]


@pytest.mark.parametrize("name", ACTIVITIES)
def test_a_call_that_fails_costs_nothing_good_and_the_status_says_whose_fault_it_was(name, slots):
    activity = ACTIVITIES[name]
    tallies: collections.Counter = collections.Counter()
    wrong: list[str] = []

    def trials(number: int) -> None:
        at = slots[number]
        origin = at.parent / "slot"
        # Checkpoints of another training have files of other names.
        for i, place in enumerate(some_places(activity, at)):
            error = ERRORS[(i + number) % len(ERRORS)]
            placed(origin, at)
            done = faults.injected(command(activity, at), at, ENV, place, error)
            tallies[f"{error} -> {done.returncode}"] += 1
            for trouble in troubles(activity, origin, at, done, error):
                tail = done.stderr.strip().splitlines()[-1:] or [""]
                wrong.append(f"{error} at {place}: {trouble}: {tail[0]:.300}")

    with concurrent.futures.ThreadPoolExecutor(len(slots)) as pool:
        list(pool.map(trials, range(len(slots))))
    count = sum(tallies.values())
    print(f"\n{name}: {count} places, {dict(sorted(tallies.items()))}")
    assert not wrong, "\n".join([f"{len(wrong)} of {count}", *wrong])


def some_places(activity: Activity, at: pathlib.Path) -> list[faults.Place]:
    placed(at.parent / "slot", at)
    found = [
        place
        for place in faults.places(command(activity, at), at, ENV)
        if place.shown.startswith(activity.of) and activity.reads in (None, place.call in _READING)
    ]
    # One call a place: a file that is read in a hundred parts is not a hundred places.
    distinct = list({(p.call, p.shown, min(p.nth, 3)): p for p in found}.values())
    return random.Random(0).sample(distinct, min(PLACES // SLOTS, len(distinct)))


def troubles(
    activity: Activity,
    origin: pathlib.Path,
    at: pathlib.Path,
    done: subprocess.CompletedProcess,
    error: str,
) -> list[str]:
    """What is wrong after a trial; nothing is what should be."""
    found = []
    if activity.made == "run/checkpoints":
        before = max(int(p.name) for p in (origin / activity.made).iterdir() if p.name.isdigit())
        if newest(at) < before:
            found.append(f"step {before} is lost")
    else:
        if digest(at / "run" / "checkpoints") != digest(origin / "run" / "checkpoints"):
            found.append("checkpoints changed")
        if digest(at / activity.made) != digest(origin / activity.made):
            found.append(f"{activity.made} is neither the old one nor the new one")
    if list((at / "run" / "checkpoints").glob("damaged*")):
        found.append("a whole checkpoint was called damaged")
    wanted = {"EACCES": (0, 1, 2)}.get(error, (0, 75))
    if done.returncode not in wanted:
        found.append(f"status {done.returncode}")
    if done.returncode == 2 and "Traceback" in done.stderr:
        found.append("a traceback with status 2")
    if done.returncode in (1, 75) and "Traceback" not in done.stderr:
        found.append("no traceback")
    return found
