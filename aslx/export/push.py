"""Shares a run: aslx push runs/quickstart OWNER/NAME"""

import dataclasses
import pathlib
import shutil
import tempfile
from typing import Annotated

import tyro

import aslx
from aslx import cli, errors
from aslx.export import card
from aslx.storage import files, hub


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Pushes a run's best checkpoint to the Hugging Face Hub, with its export and a card made from
    its evaluations; `--workdir hf://OWNER/NAME` reads it from there."""

    workdir: Annotated[str, tyro.conf.Positional]
    """A directory that aslx.train wrote."""
    name: Annotated[str, tyro.conf.Positional]
    """OWNER/NAME on the hub; made where it is new."""
    private: bool = False
    """Make a new model one that only its owner sees."""
    said: Annotated[card.Said, tyro.conf.arg(name="")] = card.Said()
    out: str = ""
    """Write the files to this new folder, and push nothing."""


def main() -> None:
    command = tyro.cli(Command)
    hub.check(command.name)
    out = pathlib.Path(command.out) if command.out else None
    if out and files.exists(out):
        raise errors.BadInput(f"--out {out} is there: give a new folder")
    import huggingface_hub  # Before the run is opened, which takes seconds.  # noqa: F401

    from aslx.export import sharing
    from aslx.runs import trained_run

    run = trained_run.open_run(command.workdir)
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch, "model")
        folder.mkdir()
        for line in sharing.fill(folder, run, command.name, command.said):
            print(f"left out: {line}")
        if out:
            with files.given(out), files.replacing_folder(out) as new:
                shutil.copytree(folder, new, dirs_exist_ok=True)
            where = str(out)
        else:
            message = f"Step {run.step}, aslx {aslx.__version__}"
            where = hub.push(folder, command.name, private=command.private, message=message)
    print(f"{'written' if out else 'pushed'}: {where}")
    cli.last_json({"name": command.name, "step": run.step, "where": where})


if __name__ == "__main__":
    cli.run(main)
