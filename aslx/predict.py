"""Reads clips or images: python -m aslx.predict --workdir runs/quickstart clip.parquet ..."""

import dataclasses
import json
from typing import Annotated

import tyro

from aslx import cli


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Prints what a run's best checkpoint reads in files of the kind that it was trained on."""

    files: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Kaggle's parquet, folders of keypoint frames, images; none: asks for one after the other."""
    workdir: str
    """A directory that aslx.train wrote."""


def main() -> None:
    command = tyro.cli(Command)
    from aslx import inference

    run = inference.open_run(command.workdir)

    def read(file: str) -> None:
        clips = dict(run.cfg.features.source.clips(file))
        if not clips:
            print(f"{file} holds no sequence")
        answers = inference.answers(run, list(clips.values())) if clips else []
        for name, answer in zip(clips, answers, strict=True):
            print(json.dumps({"file": file, "sequence_id": name} | run.cfg.task.report(answer)))

    for file in command.files:
        read(file)
    while not command.files:
        try:
            file = input("file, or x to end: ").strip()
        except EOFError:
            return
        if file == "x":
            return
        try:
            read(file)
        except (ValueError, OSError) as error:
            print("error:", error)


if __name__ == "__main__":
    cli.run(main)
