"""Whichever system call on the files of a run or a data set fails, nothing good is lost, and the
exit status says whose fault it was.

strace injects the errors into real commands, each in a folder that is restored before every trial.
"""

import collections
import concurrent.futures
import dataclasses
import functools
import os
import pathlib
import random
import shutil
from typing import Any

import jax
import numpy as np
import pytest
from etils import epath

from aslx.checkpoints import stored
from aslx.train import setup
from tests import faults, processes, tiny, trees

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("strace"), reason="strace makes system calls fail"),
]
PLACES = int(os.environ.get("ASLX_FAULTS", "50"))  # For each command.
SLOTS = 2
_TRIES = 5
ERRORS = ("EIO", "ESTALE", "ECONNRESET", "ENOSPC", "EACCES", "ETIMEDOUT")
ENV = processes.environment(
    PYTHONPATH=str(processes.ROOT), TF_CPP_MIN_LOG_LEVEL="2", PYTHONDONTWRITEBYTECODE="1"
)


@dataclasses.dataclass(frozen=True)
class Activity:
    """A command, and the calls that are tried to fail."""

    words: tuple[str, ...]
    made: str
    """The folder, in the trial's folder, that the command writes."""
    prefix: str = ""
    """Only calls on paths that begin so."""
    reads: bool | None = None
    """Only calls that read, or only calls that write."""


ACTIVITIES = {
    "training": Activity(
        ("train", "--config", "AT/tiny.py", "--workdir", "AT/run"), "run/checkpoints", reads=False
    ),
    "restoring": Activity(
        ("train", "--config", "AT/tiny.py", "--workdir", "AT/run"), "run/checkpoints",
        prefix="run/", reads=True,
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
    return processes.command(*(word.replace("AT", str(at)) for word in activity.words))


@pytest.fixture(scope="module")
def base(dataset, tmp_path_factory) -> pathlib.Path:
    """A data set, and the source of another."""
    at = tmp_path_factory.mktemp("base") / "slot"
    shutil.copytree(dataset, at / "data")
    rng = np.random.default_rng(0)
    for name in ("cow", "dog"):
        for clip in range(6):
            (at / "clips" / name / str(clip)).mkdir(parents=True)
            for frame in range(2):
                np.save(at / "clips" / name / str(clip) / f"{frame}.npy", rng.normal(size=258))
    return at


def restore(base: pathlib.Path, at: pathlib.Path) -> None:
    """Makes the folder `at` equal to `base`."""
    shutil.rmtree(at, ignore_errors=True)
    shutil.copytree(base, at, symlinks=True)


@pytest.fixture(scope="module")
def slots(base, tmp_path_factory) -> list[pathlib.Path]:
    """One folder for each trial that runs at the same time. Each has a half-trained run on its own
    data, an evaluation, an export and a data set; a copy of it lies beside it."""
    found = []
    for i in range(SLOTS):
        origin = tmp_path_factory.mktemp(f"origin{i}") / "slot"
        at = origin.parent / "at"
        restore(base, at)
        tiny.config_file(at / "tiny.py", at / "data", save_every=2, epochs=2)
        processes.run([*command(ACTIVITIES["training"], at), "--epochs", 1], env=ENV).succeeded()
        for name in ("evaluating", "exporting", "preparing"):
            processes.run(command(ACTIVITIES[name], at), env=ENV).succeeded()
        shutil.copytree(at, origin)
        found.append(at)
    return found


@functools.cache
def abstract(data: pathlib.Path) -> Any:
    return setup.of(tiny.cfg(data, save_every=2, epochs=2)).abstract


def saved(at: pathlib.Path) -> list[pathlib.Path]:
    """The checkpoints from the oldest to the newest."""
    paths = (at / "run" / "checkpoints").iterdir()
    return sorted((p for p in paths if p.name.isdigit()), key=lambda path: int(path.name))


@pytest.mark.parametrize("name", ACTIVITIES)
def test_a_failing_call_loses_nothing_good_and_the_status_says_whose_fault_it_was(name, slots):
    activity = ACTIVITIES[name]
    tallies: collections.Counter = collections.Counter()
    wrong: list[str] = []

    def trials(number: int) -> None:
        at = slots[number]
        origin = at.parent / "slot"
        # Each slot finds its own places: the files of checkpoints have other names in each run.
        tried = 0
        for place in some_places(activity, at):
            if tried == PLACES // SLOTS:
                break
            error = ERRORS[(tried + number) % len(ERRORS)]
            for _ in range(_TRIES):
                restore(origin, at)
                done, there = faults.injected(command(activity, at), at, ENV, place, error)
                if there:
                    break
            else:
                continue  # Each time another file had the error: another place is tried.
            tried += 1
            tallies[f"{error} -> {done.status}"] += 1
            for trouble in troubles(activity, origin, at, done, error):
                tail = done.err.strip().splitlines()[-1:] or [""]
                wrong.append(f"{error} at {place}: {trouble}: {tail[0]:.300}")

    with concurrent.futures.ThreadPoolExecutor(len(slots)) as pool:
        list(pool.map(trials, range(len(slots))))
    count = sum(tallies.values())
    print(f"\n{name}: {count} places, {dict(sorted(tallies.items()))}")
    assert not wrong, "\n".join([f"{len(wrong)} of {count}", *wrong])


def some_places(activity: Activity, at: pathlib.Path) -> list[faults.Place]:
    """The places at which an activity may be tried, in a random order."""
    restore(at.parent / "slot", at)
    found = [
        place
        for place in faults.places(command(activity, at), at, ENV)
        if place.shown.startswith(activity.prefix)
        and activity.reads in (None, place.call in _READING)
    ]
    # A file that is read in a hundred parts counts as three places at most.
    distinct = list({(p.call, p.shown, min(p.nth, 3)): p for p in found}.values())
    return random.Random(0).sample(distinct, len(distinct))


def troubles(
    activity: Activity,
    origin: pathlib.Path,
    at: pathlib.Path,
    done: processes.Done,
    error: str,
) -> list[str]:
    """What went wrong in a trial."""
    found = []
    if activity.made == "run/checkpoints":
        for path in saved(at):
            read = stored.Stored(epath.Path(path)).restore(abstract(at / "data"))
            jax.block_until_ready(read)
        before = saved(origin)[-1].name
        if int(saved(at)[-1].name) < int(before):
            found.append(f"step {before} is lost")
    else:
        for folder in ("run/checkpoints", activity.made):
            if trees.contents(at / folder) != trees.contents(origin / folder):
                found.append(f"{folder} is neither the old one nor the new one")
    if list((at / "run" / "checkpoints").glob("damaged*")):
        found.append("a whole checkpoint was called damaged")
    wanted = {"EACCES": (0, 1, 2)}.get(error, (0, 75))
    if "a checkpoint cannot be saved: " in done.err:  # Orbax does not say which error it met.
        wanted = (75,)
    if done.status not in wanted:
        found.append(f"status {done.status}")
    if done.status == 2 and "Traceback" in done.err:
        found.append("a traceback with status 2")
    if done.status in (1, 75) and "Traceback" not in done.err:
        found.append("no traceback")
    return found


NOTES, NAMES, ARRAYS = "_CHECKPOINT_METADATA", "state/manifest.ocdbt", "state/ocdbt.process_0/d/*"


@pytest.mark.parametrize(
    ("file", "calls", "error", "status"),
    [
        (NOTES, "openat", "EIO", 75),
        (NOTES, "openat", "EACCES", 2),
        (NAMES, "openat", "ESTALE", 75),
        (NAMES, "pread64", "EIO", 75),  # By TensorStore, after the checksum was found right.
        (ARRAYS, "openat", "EIO", 75),
        (ARRAYS, "openat", "EACCES", 2),
        (ARRAYS, "openat:when=2+", "EIO", 75),
        (ARRAYS, "openat:when=2+", "EACCES", 2),
        (ARRAYS, "read,pread64", "EIO", 75),
    ],
)
def test_a_checkpoint_that_cannot_be_read_stays_and_ends_the_training(
    slots, tmp_path, file, calls, error, status
):
    at = slots[0]
    restore(at.parent / "slot", at)
    newest = saved(at)[-1]
    (path,) = newest.glob(file)
    before, lines = trees.contents(newest.parent), (at / "run" / "metrics.jsonl").read_bytes()
    names, _, when = calls.partition(":")
    inject = f"inject={names}:error={error}" + (f":{when}" if when else "")
    strace = ["strace", "-f", "-o", tmp_path / "calls", "-P", path, "-e", inject]
    done = processes.run([*strace, *command(ACTIVITIES["restoring"], at)], env=ENV)
    assert done.status == status, done.err
    assert str(newest) in done.err.splitlines()[-1]
    if status == 2:
        assert done.err.count("error: ") == 1 and "Traceback" not in done.err
    assert trees.contents(newest.parent) == before
    assert (at / "run" / "metrics.jsonl").read_bytes() == lines
