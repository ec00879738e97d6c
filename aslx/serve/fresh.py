"""Decides which export of a run is served: a missing one is made, an old one is reported."""

import dataclasses
import pathlib
import subprocess
import sys
from typing import Annotated, Any

import pydantic

from aslx import errors
from aslx.checkpoints import checkpoint_scores
from aslx.decode import decoding_options
from aslx.export import conversion, exported, exports
from aslx.storage import files


class _Made(exported.Form, extra="forbid"):
    """How an export was made."""

    quantize: conversion.Quantize = "none"
    average: Annotated[int, pydantic.Field(ge=0)] = 0
    ensemble: tuple[Annotated[str, pydantic.Field(pattern="^[^-]")], ...] = ()
    fixed: Annotated[
        tuple[Annotated[int, pydantic.Field(ge=1)], ...], pydantic.Field(max_length=100)
    ] = ()
    options: decoding_options.Options = decoding_options.Options()

    @property
    def arguments(self) -> list[str]:
        """The arguments of aslx.export that make the same export again."""
        words = ["--quantize", self.quantize, "--average", str(self.average)]
        if self.ensemble:
            words += ["--ensemble", *self.ensemble]
        if self.fixed:
            words += ["--fixed", *map(str, self.fixed)]
        for field in dataclasses.fields(self.options):
            value = getattr(self.options, field.name)
            if value != field.default:
                flag = f"--{field.name.replace('_', '-')}"
                words.append(flag if value is True else f"{flag}={value}")
        return words


class _Report(exported.Form):
    """What is used of report.json."""

    made: _Made


class _About(exported.Form):
    """What is used of model.json."""

    step: int
    web: Any = None  # Present if the export holds the page's models.


def folder(workdir: pathlib.Path, reload: bool) -> pathlib.Path:
    """The directory of the run's exported model.

    The model is exported if the export, or the page's models in it, are missing, and with `reload`
    also if the run has a better checkpoint.
    """
    export = workdir / "export"
    if not files.exists(export / exports.ABOUT):
        _export(workdir, _Made())
        return export
    about, made = exported.read_form(_About, export / exports.ABOUT), _Made()
    if files.exists(export / exports.REPORT):
        made = exported.read_form(_Report, export / exports.REPORT).made
    newer = _newer(workdir, about.step, made)
    if "web" not in about.model_fields_set or (newer and reload):
        _export(workdir, made)
    elif newer:
        command = f"python -m aslx.serve --workdir {workdir} --reload"
        print(f"{newer}: {command} exports and serves that", file=sys.stderr)
    return export


def _export(workdir: pathlib.Path, made: _Made) -> None:
    if not files.exists(workdir / "config.json"):
        raise errors.BadInput(f"{workdir} holds no run (no config.json): train first")
    # A process of its own: TensorFlow and JAX stay out of this one.
    words = ["--workdir", str(workdir), "--web", "--clips", "0", *made.arguments]
    status = subprocess.run([sys.executable, "-m", "aslx.export", *words]).returncode
    if status:
        raise errors.BadInput(f"the export of {workdir} ended with status {status}")


def _newer(workdir: pathlib.Path, step: int, made: _Made) -> str:
    """What the run has that is better than its export, or "": a checkpoint with a better score, or,
    if the export is a mean of the newest checkpoints, a newer one."""
    saved = checkpoint_scores.saved(workdir)
    best = checkpoint_scores.best(saved)
    if best is None or best.step == step:
        return ""
    if made.average:
        newest = saved[-1].step
        return f"the export holds step {step}, and the run has step {newest}" * (newest > step)
    before = next((one.score for one in saved if one.step == step), None)
    if before is not None and best.score is not None and best.score <= before:
        return ""
    marks = ["" if x is None else f" (score {x:.4f})" for x in (before, best.score)]
    return (
        f"the export holds step {step}{marks[0]}, and the run has the better step "
        f"{best.step}{marks[1]}"
    )
