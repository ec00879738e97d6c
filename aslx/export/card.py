"""The card of a model: README.md with the fields that the Hugging Face Hub reads."""

import dataclasses
import json
import os
from collections.abc import Sequence
from typing import Any

import aslx
from aslx import config as config_lib

_SIGNERS = 40  # Rows of the table, those with the lowest scores.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Said:
    """What only its maker knows of a model."""

    licence: str = ""
    """The licence of the weights, as SPDX names it in small letters: apache-2.0, cc-by-4.0."""
    about_data: str = ""
    """A sentence about the data: where they are from, who signs, their licence."""
    limits: str = ""
    """A sentence about what the model cannot do."""


def written(
    cfg: config_lib.Config,
    step: int,
    name: str,
    weights: int,
    evaluations: Sequence[dict[str, Any]],
    exported: bool,
    said: Said,
) -> str:
    """The card's Markdown. `evaluations` are contents of scores.json, `weights` counts numbers."""
    about = cfg.task.report.about()
    task, answers = about.get("task", "pretraining"), about.get("answers", [])
    kinds = {"transcription": "characters", "classification": "classes"}
    lines = [
        "---",
        f"license: {json.dumps(said.licence.lower() or 'other')}",
        "library_name: aslx",
        "tags: [aslx, sign-language, landmarks, mediapipe]",
        "---",
        "",
        f"# {name.partition('/')[2]}",
        "",
        f"Sign-language {task} from landmarks of MediaPipe Holistic or from images, trained with "
        f"aslx {aslx.__version__}: "
        f"`{type(cfg.model).__module__.rpartition('.')[2]}` with {weights:,} weights, step {step}.",
    ]
    if answers:
        kind = kinds.get(task, "answers")
        lines += ["", f"It answers with {len(answers)} {kind}: {_code(answers)}."]
    lines += ["", "## Use", "", "```", *_commands(name, exported), "```", ""]
    lines += ["`model.safetensors` has the weights by name. `config.json` is the configuration."]
    if exported:
        lines += [
            "`export/` has the TensorFlow Lite files, and `model.json`, which describes them."
        ]
    lines += ["", "## Scores", "", *_scores(evaluations)]
    data = ", ".join(dict.fromkeys((cfg.data.path, *(s.path for s in cfg.data.also))))
    lines += ["", "## Data", "", f"Trained on `{data}`. {said.about_data}".rstrip()]
    lines += ["", "## Limits", "", said.limits] if said.limits else ["", "## Limits", ""]
    lines += [
        "Scores hold for signers, cameras and phrases like those of the data that they were "
        "measured on. A fingerspelling model reads letters and no signs; a classifier answers with "
        "one of its classes, whatever it sees."
    ]
    lines += ["", "## Licence", "", said.licence or "Its maker did not state one."]
    return "\n".join(lines) + "\n"


def _commands(name: str, exported: bool) -> list[str]:
    found = [
        "pip install 'aslx[hub]'",
        f"aslx predict --workdir hf://{name} clip.parquet",
        f"aslx evaluate --workdir hf://{name} --data DIR --split test",
        f"aslx train --config CONFIG --workdir DIR --weights hf://{name}",
    ]
    return [*found, f"aslx serve --workdir hf://{name}"] if exported else found


def _scores(evaluations: Sequence[dict[str, Any]]) -> list[str]:
    if not evaluations:
        return ["It was not evaluated."]
    rows = ["| split | of | score | 95 % interval | clips | signers | unseen signers |"]
    rows += ["| --- | --- | --- | --- | --- | --- | --- |"]
    for one in evaluations:
        of = os.path.basename(str(one.get("data", {}).get("path", "")))
        rows.append(
            f"| {_cell(one.get('split'))} | {_cell(of)} | {_number(one.get('score'))} "
            f"| {_number(one.get('score_low'))} to {_number(one.get('score_high'))} "
            f"| {one.get('clips')} | {one.get('signers')} "
            f"| {one.get('unseen_signers', 'unknown')} |"
        )
    rows += ["", "The interval is a bootstrap over signers, or over clips where there is one."]
    for one in evaluations:
        signers = one.get("by_signer") or []
        if not signers:
            continue
        rows += ["", f"By signer, on {_cell(one.get('split'))}, the lowest first:", ""]
        rows += ["| signer | score | 95 % interval | clips |", "| --- | --- | --- | --- |"]
        rows += [
            f"| {row['signer']} | {_number(row['score'])} | {_number(row['score_low'])} to "
            f"{_number(row['score_high'])} | {row['clips']} |"
            for row in signers[:_SIGNERS]
        ]
    return rows


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, int | float) else "unknown"


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _code(answers: Sequence[str]) -> str:
    """The answers in code quotes, which they may hold themselves."""
    text = "".join(answers) if all(len(a) == 1 for a in answers) else ", ".join(answers[:100])
    more = ", ..." if len(answers) > 100 and len(text) > 100 else ""
    return f"``` {' '.join(text.split(chr(10)))}{more} ```"
