"""Runs that were trained once for all tests, and runs that were never trained, which the commands
open in no time; and what a command did."""

import contextlib
import fcntl
import functools
import json
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from aslx import config, optim
from aslx.checkpoints import checkpoint
from aslx.export import conversion, exporting, exports
from aslx.inputs import phrase_features
from aslx.models import fingerspelling_lstm, transformer
from aslx.runs import opening, partition, trained_run
from aslx.tasks import heads, transcription
from tests import tiny

ROOT = pathlib.Path(__file__).parent.parent
CLIPS = 200  # Of the test split, which no run has seen.
WEB_FRAMES = (64, 512)
KINDS = {
    "ctc": {},
    "decoder": {
        "task": transcription.Task(head=heads.Autoregressive(), max_tokens=8),
        "model": transformer.Config(
            dim=16, num_layers=2, num_heads=2, decoder_layers=1, stride=2, kernel=3
        ),
    },
    "positions": {
        "task": transcription.Task(head=heads.PerPosition(), max_tokens=62),
        "features": phrase_features.Baseline(),
        "model": fingerspelling_lstm.Config(),
        "ema_decay": 0.0,
    },
}


class Runs:
    """Runs of each kind that have learned to read six letters, exported: one that has not learned
    is of two minds, and half a float's precision decides. The first process that asks for a run
    trains it in `folder`, which processes share. Tests that change a run copy it."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder

    @functools.cache  # noqa: B019
    def __call__(self, kind: str) -> trained_run.Run:
        with _made_once(self.folder / kind) as empty:
            if empty:
                _train(self.folder / kind, kind)
        return trained_run.open_run(self.folder / kind / "run")


@contextlib.contextmanager
def _made_once(folder: pathlib.Path) -> Iterator[bool]:
    """Whether this process has to fill the folder; other processes wait until it has."""
    with open(folder.with_name(f"{folder.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        empty = not (folder / "made").exists()
        if empty:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        yield empty
        (folder / "made").touch()


def learning(kind: str, data: str) -> config.Config:
    values = {"epochs": 15, "eval_every": 15, "log_every": 50, "optim": optim.Config(peak_lr=1e-2)}
    return tiny.cfg(pathlib.Path(data), **values, **KINDS[kind])


def _train(folder: pathlib.Path, kind: str) -> None:
    """Trains on one device, which compiles sooner, and exports."""
    (folder / "data").mkdir()
    counts = {"train": [200], "validation": [8], "test": [CLIPS]}
    data = tiny.dataset(folder / "data", counts, frames=(12, 60), alphabet="abcdef")
    words = "from tests import tiny_runs\ndef get_config():\n    return tiny_runs.learning"
    (folder / "config.py").write_text(f"{words}({kind!r}, {str(data)!r})\n")
    where = ("--config", folder / "config.py", "--workdir", folder / "run")
    ran("train", *where, "--mesh.cpu-devices", 1).last()
    run = trained_run.open_run(folder / "run")
    exported(run.cfg, run.model, run.step, folder / "run" / "export", WEB_FRAMES)


def exported(cfg: config.Config, model: Any, step: int, out: pathlib.Path, frames=()) -> None:
    """What `python -m aslx.export --web` writes, at fewer lengths."""
    scores = [{"name": "score", "value": 0.5, "on": "validation"}]
    said = exporting.about(cfg, step, scores, web=True)
    if any("frames" in entry for entry in said["web"]):
        said["web"] = [entry for entry in said["web"] if entry["frames"] in frames]
    every = {"model.tflite": conversion.convert(cfg, model, "none")}
    every |= {f"web/{n}.tflite": conversion.convert(cfg, model, "none", n) for n in frames}
    exports.write(out, said, {"made": {}}, every)


def network(cfg: config.Config) -> Any:
    """A new network of a config, in one program."""
    return jax.jit(lambda: opening.network(cfg))()


def untrained(cfg: config.Config, workdir: pathlib.Path) -> pathlib.Path:
    """A run directory with one checkpoint of random weights, those that start at zero too."""
    rng = np.random.default_rng(0)
    model = jax.tree.map(lambda x: x + 0.1 * rng.normal(size=x.shape).astype(x.dtype), network(cfg))
    part, frozen = partition.split_frozen(model)
    name = "ema" if cfg.ema_decay else "model"
    workdir.mkdir(parents=True, exist_ok=True)
    config.save(cfg, workdir / "config.json")
    with checkpoint.Checkpoints(workdir / "checkpoints") as saved:
        saved.save(1, {name: part, "frozen": frozen}, checkpoint.Progress())
        saved.wait()
    return workdir


class Done(NamedTuple):
    """What a command did."""

    status: int
    out: str
    err: str

    def lines(self) -> list[dict]:
        """The JSON of what went well."""
        assert self.status == 0, self.err
        return [json.loads(line) for line in self.out.splitlines()]

    def last(self) -> dict:
        """The JSON that a command which went well ends with."""
        assert self.status == 0, self.err
        return json.loads(self.out.splitlines()[-1])

    def refusal(self) -> str:
        """What is said of bad input: one line, and exit status 2."""
        assert self.status == 2, self.err
        assert self.err.startswith("error: ") and self.err.count("\n") == 1
        return self.err


def command(module: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", f"aslx.{module}", *map(str, arguments)]


def ran(module: str, *arguments: object, stdin: str = "", env: dict | None = None) -> Done:
    """Runs a command in a process of its own."""
    done = subprocess.run(
        command(module, *arguments),
        cwd=ROOT,
        env=env,
        input=stdin,
        capture_output=True,
        text=True,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def as_users() -> dict[str, str]:
    """The environment without what tests set to compile faster."""
    return {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
