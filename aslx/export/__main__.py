"""A run -> TFLite and a submission: python -m aslx.export --workdir runs/quickstart"""

import dataclasses
from typing import Annotated

import tyro
from etils import epath

from aslx import cli
from aslx.export import exporting, exports
from aslx.runs import tracking


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Writes a run's best checkpoint as a TFLite file and as Kaggle's submission."""

    workdir: str
    """A directory that aslx.train wrote, or hf://OWNER/NAME."""
    out: str = ""
    """The folder to write; by default WORKDIR/export."""
    track: tracking.Kind | None = None
    """Also give the files to the run that aslx.train --track began."""
    options: Annotated[exporting.Options, tyro.conf.arg(name="")] = exporting.Options()


def main() -> None:
    command = tyro.cli(Command)
    if command.track:  # Before the export, which takes minutes.
        tracking.known(epath.Path(command.workdir), command.track)
    done = exporting.export_run(command.workdir, command.out, command.options)
    for name, value in done.report.items():
        print(f"  {name:<18} {value}")
    for score in done.scores:
        print(f"step {done.report['step']}: {score['name']} {score['value']:.4f} on {score['on']}")
    if command.track:
        with tracking.opened(command.track, epath.Path(command.workdir)) as tracker:
            tracker.exported(done.folder)
        print(f"given to {command.track}: its run {tracker.id}")
    runtime = done.report["runtime"]
    older = f", or TensorFlow Lite of version {runtime} or later" if runtime != "unknown" else ""
    print(f"{exports.MODEL} needs LiteRT{older}")
    written = str(done.folder / done.file)
    print(f"written: {written}")
    cli.last_json({done.file.partition(".")[0]: written} | done.report)


if __name__ == "__main__":
    cli.run(main)
