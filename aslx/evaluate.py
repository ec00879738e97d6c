"""Scores a run on a split: python -m aslx.evaluate --workdir runs/quickstart --split test"""

import dataclasses
import json
from typing import Annotated

import tyro

from aslx import cli, reading


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Scores a run's best checkpoint as Kaggle does, over a whole split."""

    workdir: str
    """A directory that aslx.train wrote."""
    split: str = "test"
    data: str = ""
    """Another prepared data set than the one trained on."""
    options: Annotated[reading.Options, tyro.conf.arg(name="")] = reading.Options()
    worst: int = 10
    """Examples to print, those with the most errors."""


def main() -> None:
    command = tyro.cli(Command)
    import tqdm

    from aslx import files, inference, memory

    memory.keep()
    run = inference.open_run(command.workdir, data=command.data, options=command.options)
    task = run.cfg.task
    evaluation = inference.Evaluation(run.cfg, run.mesh, command.split)
    with tqdm.tqdm(total=len(evaluation.data), unit="clip") as bar:
        answers, sums = evaluation.run(run.model, bar.update)
    scores = evaluation.score(answers) | evaluation.novelty(run.trained_on) | sums
    examples = task.examples(evaluation.data, evaluation.targets, answers)
    out = run.workdir / f"evaluation-{command.split}"
    everything = scores | task.analysis(examples)
    files.write(out / "examples.jsonl", "".join(json.dumps(row) + "\n" for row in examples))
    files.write(out / "scores.json", json.dumps(everything, indent=2) + "\n")
    task.draw(examples, everything, out)
    print(task.worst(examples, command.worst))
    print(task.summary(everything))
    print(f"figures and every example: {out}")
    inference.last_json({"workdir": command.workdir, "split": command.split} | scores)


if __name__ == "__main__":
    cli.run(main)
