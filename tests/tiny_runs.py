"""Runs that are trained once for all tests, and runs of random weights, which need no training."""

import contextlib
import fcntl
import functools
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from aslx import config, optim
from aslx.checkpoints import checkpoint
from aslx.export import conversion, exporting, exports
from aslx.inputs import streaming_features
from aslx.models import streaming, transformer
from aslx.runs import opening, partition, trained_run
from aslx.tasks import heads, transcription
from tests import processes, tiny

CLIPS = 200  # In the test split, which no run is trained on.
FIXED = (64, 512)
STREAMED = streaming_features.Streaming(max_frames=64)
KINDS = {
    "ctc": {},
    "decoder": {
        "task": transcription.Task(head=heads.Autoregressive(), max_tokens=8),
        "model": transformer.Config(
            dim=16, num_layers=2, num_heads=2, decoder_layers=1, stride=2, kernel=3
        ),
    },
    "positions": {"ema_decay": 0.0},
    "streaming": {
        "features": STREAMED,
        "model": streaming.Config(
            dim=16, num_layers=1, num_heads=2, kernel=5, past=16, groups=STREAMED.groups
        ),
    },
}


class Runs:
    """Exported runs of each kind, trained to read six letters. An untrained run would give several
    characters nearly the same score, and rounding would decide. The first process that asks for a
    run trains it in `folder`, which all processes share. Tests that change a run copy it."""

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
    """Yields whether this process has to fill the folder; other processes wait until it has."""
    with open(folder.with_name(f"{folder.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        empty = not (folder / "made").exists()
        if empty:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        yield empty
        (folder / "made").touch()


def learning(kind: str, data: str) -> config.Config:
    """The config of a kind of run, on the data set at `data`."""
    values = {"epochs": 15, "eval_every": 15, "log_every": 50, "optim": optim.Config(peak_lr=1e-2)}
    make = tiny.small if kind == "positions" else tiny.cfg
    return make(pathlib.Path(data), **values, **KINDS[kind])


def _train(folder: pathlib.Path, kind: str) -> None:
    """Trains a run on one device, which compiles fastest, and exports it."""
    (folder / "data").mkdir()
    counts = {"train": [200], "validation": [8], "test": [CLIPS]}
    data = tiny.dataset(folder / "data", counts, frames=(12, 60), alphabet="abcdef")
    words = "from tests import tiny_runs\ndef get_config():\n    return tiny_runs.learning"
    (folder / "config.py").write_text(f"{words}({kind!r}, {str(data)!r})\n")
    where = ("--config", folder / "config.py", "--workdir", folder / "run")
    processes.ran("train", *where, "--mesh.cpu-devices", 1).last()
    run = trained_run.open_run(folder / "run")
    if kind != "streaming":
        exported(run.cfg, run.model, run.step, folder / "run" / "export", FIXED)


def exported(cfg: config.Config, model: Any, step: int, out: pathlib.Path, frames=()) -> None:
    """Writes what `python -m aslx.export --fixed` writes."""
    scores = [{"name": "score", "value": 0.5, "on": "validation"}]
    said = exporting.about(cfg, step, scores, frames)
    every = {"model.tflite": conversion.convert(cfg, model, "none")}
    every |= {f"fixed/{n}.tflite": conversion.convert(cfg, model, "none", n) for n in frames}
    exports.write(out, said, {"made": {}}, every)


def network(cfg: config.Config) -> Any:
    """A config's network with initial weights, compiled as one program."""
    return jax.jit(lambda: opening.network(cfg))()


def untrained(cfg: config.Config, workdir: pathlib.Path) -> pathlib.Path:
    """Writes a run directory with one checkpoint; all weights are random, none of them zero."""
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
