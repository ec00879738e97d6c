"""Which export of a run is served: it is made where it is missing, and told where it is old."""

import dataclasses
import json
import pathlib
import subprocess
import sys
from typing import Annotated, Literal

import pydantic

from aslx import errors
from aslx.checkpoints import checkpoint_scores
from aslx.decode import decoding_options
from aslx.export import exports
from aslx.storage import files


class _Made(pydantic.BaseModel):
    """How an export was made: in report.json, as aslx.export writes it."""

    model_config = pydantic.ConfigDict(strict=True, extra="forbid")

    quantize: Literal["none", "float16", "int8"] = "none"
    average: Annotated[int, pydantic.Field(ge=0)] = 0
    ensemble: tuple[Annotated[str, pydantic.Field(pattern="^[^-]")], ...] = ()
    options: decoding_options.Options = decoding_options.Options()

    @property
    def words(self) -> list[str]:
        """The arguments that make it so again."""
        words = ["--quantize", self.quantize, "--average", str(self.average)]
        if self.ensemble:
            words += ["--ensemble", *self.ensemble]
        for field in dataclasses.fields(self.options):
            value = getattr(self.options, field.name)
            if value != field.default:
                flag = f"--{field.name.replace('_', '-')}"
                words.append(flag if value is True else f"{flag}={value}")
        return words


def folder(workdir: pathlib.Path, reload: bool) -> pathlib.Path:
    """The directory of the run's exported model, which is made where it, or the page's, is missing;
    with `reload` also where the run has something better."""
    export = workdir / "export"
    if not (export / exports.ABOUT).exists():
        _export(workdir, _Made())
        return export
    step, for_page = _noted(export / exports.ABOUT)
    made = _made(export / exports.REPORT)
    newer = _newer(workdir, step, made)
    if not for_page or (newer and reload):
        _export(workdir, made)
    elif newer:
        command = f"python -m aslx.serve --workdir {workdir} --reload"
        print(f"{newer}: {command} exports and serves that", file=sys.stderr)
    return export


def _export(workdir: pathlib.Path, made: _Made) -> None:
    if not (workdir / "config.json").exists():
        raise errors.BadInput(f"{workdir} holds no run (no config.json): train first")
    # A process of its own: TensorFlow and JAX stay out of this one.
    words = ["--workdir", str(workdir), "--web", "--clips", "0", *made.words]
    status = subprocess.run([sys.executable, "-m", "aslx.export", *words]).returncode
    if status:
        raise errors.BadInput(f"the export of {workdir} ended with status {status}")


def _newer(workdir: pathlib.Path, step: int, made: _Made) -> str:
    """What the run has that is better than its export, or nothing: a checkpoint of a better score,
    or, for a mean of the newest, a newer one."""
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


def _noted(path: pathlib.Path) -> tuple[int, bool]:
    """The step of an export, and whether it holds the page's models."""
    said = files.read_object(path)
    if type(said.get("step")) is not int:
        raise errors.BadInput(f"{path} is not what aslx.export writes: export again")
    return said["step"], "web" in said


def _made(path: pathlib.Path) -> _Made:
    report = files.read_object(path) if path.exists() else {"made": {}}
    try:
        return _Made.model_validate_json(json.dumps(report.get("made")))
    except pydantic.ValidationError:
        raise errors.BadInput(
            f"{path} does not say how the model was exported: export again"
        ) from None
