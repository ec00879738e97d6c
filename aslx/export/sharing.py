"""What is pushed to a hub of models: a run directory of the best checkpoint, and what strangers
read without aslx: the weights as safetensors, the alphabet, and a card."""

import dataclasses
import json
import os
import pathlib
import shutil
from typing import Any

import jax
import numpy as np

import aslx
from aslx import config as config_lib
from aslx.checkpoints import checkpoint, checkpoint_scores, stored
from aslx.export import card, exports
from aslx.runs import partition, trained_run
from aslx.storage import files

WEIGHTS, ALPHABET = "model.safetensors", "alphabet.json"


def fill(folder: pathlib.Path, run: trained_run.Run, name: str, said: card.Said) -> list[str]:
    """Writes the model's files to an empty folder; returns what of the run was left out, a line
    each. Needs the extra `hub`.

    The checkpoint has the parameters alone, so a training cannot go on from it, but --weights can
    begin from it. Paths of this machine are left out.
    """
    from safetensors import numpy as safetensors

    cfg = _public(run.cfg)
    config_lib.save(cfg, folder / "config.json")
    _checkpoint(folder / "checkpoints", run)
    about = {"aslx": aslx.__version__, "step": str(run.step)}
    safetensors.save_file(named(run.model), folder / WEIGHTS, about)
    files.write(folder / ALPHABET, json.dumps(cfg.task.report.about(), ensure_ascii=False) + "\n")
    left = _export(folder, run)
    evaluations, old = _evaluations(run)
    weights = sum(array.size for array in jax.tree.leaves(run.model))
    exported = files.exists(folder / "export")
    text = card.written(cfg, run.step, name, weights, evaluations, exported, said)
    files.write(folder / "README.md", text)
    if not evaluations:
        left.append(f"the card has no scores: python -m aslx.evaluate --workdir {run.workdir}")
    return left + old


def named(model: Any) -> dict[str, np.ndarray]:
    """A network's arrays by names as "encoder.0.up.kernel", in float32 where NumPy has no type."""
    arrays = {k.removesuffix("/value"): np.asarray(v) for k, v in stored.flatten(model).items()}
    return {
        k.replace("/", "."): v.astype(np.float32) if v.dtype.name == "bfloat16" else v
        for k, v in arrays.items()
    }


def _public(cfg: config_lib.Config) -> config_lib.Config:
    """The config with names instead of whole paths."""
    also = tuple(dataclasses.replace(s, path=_last(s.path)) for s in cfg.data.also)
    data = dataclasses.replace(cfg.data, path=_last(cfg.data.path), also=also)
    return dataclasses.replace(cfg, data=data, weights=_last(cfg.weights))


def _last(path: str) -> str:
    return os.path.basename(os.path.normpath(path)) if os.path.isabs(path) else path


def _checkpoint(folder: pathlib.Path, run: trained_run.Run) -> None:
    model, frozen = partition.split_frozen(run.model)
    state = {"ema" if run.cfg.ema_decay else "model": model, "frozen": frozen}
    scores = {one.step: one.score for one in checkpoint_scores.saved(run.workdir)}
    with checkpoint.Checkpoints(folder) as saved:
        saved.save(run.step, state, checkpoint.Progress(), scores.get(run.step))


def _export(folder: pathlib.Path, run: trained_run.Run) -> list[str]:
    """Copies the run's export, if it is of this checkpoint."""
    export = run.workdir / "export"
    if not files.exists(export / exports.ABOUT):
        return [f"there is no export: python -m aslx.export --workdir {run.workdir}"]
    about = files.read_object(export / exports.ABOUT)
    if about.get("step") != run.step:
        return [f"the export is of step {about.get('step')}, and the run has step {run.step}"]
    exports.check(export)
    shutil.copytree(export, folder / "export")
    return []


def _evaluations(run: trained_run.Run) -> tuple[list[dict[str, Any]], list[str]]:
    """The scores of each evaluation of this checkpoint, and a line for each of another."""
    found, old = [], []
    for path in sorted(run.workdir.glob("evaluation-*/scores.json")):
        scores = files.read_object(path)
        if scores.get("step") == run.step:
            found.append(scores)
        else:
            old.append(f"{path.parent.name} is of step {scores.get('step')}: evaluate again")
    return found, old
