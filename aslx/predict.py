"""Reads landmarks: python -m aslx.predict --workdir runs/quickstart clip.parquet ..."""

import dataclasses
import json
from typing import Annotated

import tyro

from aslx import cli


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Prints the text of every sequence in Kaggle-layout parquet files."""

    files: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Parquet files of one sequence or many."""
    workdir: str
    """A directory that aslx.train wrote."""


def main() -> None:
    command = tyro.cli(Command)
    from aslx import inference

    run = inference.open_run(command.workdir)
    if not command.files:
        raise ValueError("no file to read: give a parquet file")
    for file in command.files:
        clips = dict(run.cfg.features.source.clips(file))
        if not clips:
            print(f"{file} holds no sequence")
        answers = inference.answers(run, list(clips.values()))
        for name, answer in zip(clips, answers, strict=True):
            print(json.dumps({"file": file, "sequence_id": name} | run.cfg.task.report(answer)))


if __name__ == "__main__":
    cli.run(main)
