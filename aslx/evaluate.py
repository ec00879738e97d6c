"""Scores a run on a split: python -m aslx.evaluate --workdir runs/quickstart --split test"""

import contextlib
import dataclasses
import hashlib
import json
import os
from typing import Annotated, Any

import tyro
from etils import epath

from aslx import cli, errors
from aslx.decode import decoding_options
from aslx.storage import files


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Scores a run's best checkpoint as Kaggle does, over a whole split."""

    workdir: str
    """A directory that aslx.train wrote, or hf://OWNER/NAME."""
    split: str = "test"
    data: str = ""
    """Another prepared data set than the one trained on."""
    out: str = ""
    """The folder to write scores, figures and every example to; by default
    WORKDIR/evaluation-SPLIT, and with --data evaluation-SPLIT-of-NAME."""
    options: Annotated[decoding_options.Options, tyro.conf.arg(name="")] = (
        decoding_options.Options()
    )
    skip_corrupt: bool = False
    """Leave corrupt records out and count them, as a run does that was trained so; else the first
    one ends the evaluation."""
    worst: int = 10
    """Examples to print, those with the most errors."""


def main() -> None:
    command = tyro.cli(Command)
    import tqdm

    from aslx.kernels import malloc_tuning
    from aslx.runs import evaluator, trained_run

    malloc_tuning.keep()
    run = trained_run.open_run(command.workdir, data=command.data, options=command.options)
    task = run.cfg.task
    if command.skip_corrupt:
        data = dataclasses.replace(run.cfg.data, skip_corrupt=True)
        run = dataclasses.replace(run, cfg=dataclasses.replace(run.cfg, data=data))
    evaluation = evaluator.Evaluation(run.cfg, run.mesh, command.split)
    out = _place(command, run)
    with tqdm.tqdm(total=len(evaluation.data), unit="clip", disable=None) as bar:
        answers, sums = evaluation.run(run.model, bar.update)
    scores = evaluation.score(answers) | evaluation.novelty(run.trained_on) | sums
    examples = task.report.examples(evaluation.data, evaluation.targets, answers)
    everything = scores | task.report.analysis(examples)
    of = {"path": os.path.realpath(run.cfg.data.path), "holds": evaluation.data.index.fingerprint()}
    about = {"step": run.step, "split": command.split, "data": of}
    print(task.report.worst(examples, command.worst))
    print(task.report.summary(everything))
    if evaluation.corrupt:
        print(f"left out, because they are corrupt: {evaluation.corrupt} records")
    try:
        with contextlib.ExitStack() as stack:
            with files.given(out):
                folder = stack.enter_context(files.replacing_folder(out, keeping=True))
            lines = "".join(json.dumps(row) + "\n" for row in examples)
            files.write(folder / "examples.jsonl", lines)
            files.write(folder / "scores.json", json.dumps(about | everything, indent=2) + "\n")
            task.report.draw(examples, everything, folder)
        print(f"figures and every example: {out}")
    finally:  # The scores took long, and are not lost where they cannot be written.
        cli.last_json(about | {"workdir": command.workdir} | scores)


def _place(command: Command, run: Any) -> files.Path:
    """The folder to write to: two data sets of one name have a folder each. BadInput where --out
    holds what no evaluation wrote."""
    if command.out:
        out = epath.Path(command.out)
        if files.exists(out) and not files.is_folder(out):
            raise errors.BadInput(f"--out {out} is a file, and a folder is wanted: choose another")
        if files.exists(out) and not files.exists(out / "scores.json") and any(out.iterdir()):
            raise errors.BadInput(
                f"--out {out} holds something else than an evaluation: choose another"
            )
        return out
    out = run.workdir / f"evaluation-{command.split}"
    path = os.path.realpath(run.cfg.data.path)
    if path == os.path.realpath(run.trained_on):
        return out
    out = out.with_name(f"{out.name}-of-{os.path.basename(path)}")
    before = out / "scores.json"
    found = files.read_json(before) if files.exists(before) else {}
    if isinstance(found, dict) and found.get("data", {}).get("path", path) != path:
        out = out.with_name(f"{out.name}-{hashlib.sha256(path.encode()).hexdigest()[:8]}")
    return out


if __name__ == "__main__":
    cli.run(main)
