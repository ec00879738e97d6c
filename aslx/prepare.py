"""Makes a data set to train on: python -m aslx.prepare fingerspelling --source DIR --out DIR"""

import dataclasses
import json
import time
from typing import Annotated

import tyro

from aslx import cli, files
from aslx.datasets import fingerspelling, storage, summary, workers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fingerspelling:
    """Kaggle's asl-fingerspelling, or anything in its layout, into TFRecord shards."""

    source: str
    """The folder, or gs://..., of train.csv or supplemental_metadata.csv and the parquet that they
    list."""
    out: str
    """Where the data set shall stand, on a disk or in a bucket (gs://...); it appears there when it
    is whole."""
    overwrite: bool = False
    """Replace a data set that stands at --out."""
    take: fingerspelling.Options = fingerspelling.Options()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Synthetic:
    """Fingerspelling by a kinematic hand: Kaggle's layout in OUT/kaggle, then shards from it."""

    out: str
    """Where the data set shall stand, on a disk or in a bucket (gs://...); it appears there when it
    is whole."""
    sequences: int = 4000
    """Clips in train.csv."""
    sentences: int = 0
    """Clips in supplemental_metadata.csv, of some 500 sentences."""
    overwrite: bool = False
    """Replace a data set that stands at --out."""
    take: fingerspelling.Options = fingerspelling.Options()


Command = Annotated[
    Fingerspelling | Synthetic, tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes
]


def main() -> None:
    command = tyro.cli(Command, prog="python -m aslx.prepare", description=__doc__)
    from aslx.datasets import shards

    begun = time.monotonic()
    with shards.building(storage.path(command.out), overwrite=command.overwrite) as scratch:
        run = fingerspelling.runner(command.take, scratch)
        match command:
            case Fingerspelling():
                report = _fingerspelling(command, scratch, run)
            case Synthetic():
                report = _synthetic(command, scratch, run)
        info = json.loads((scratch / "out" / "dataset_info.json").read_text())
    seconds = round(time.monotonic() - begun, 1)
    size = sum(int(split["numBytes"]) for split in info["splits"])
    clips = {part: counts["clips"] for part, counts in report["parts"].items()}
    print(summary.text(report))
    print(f"\n{command.out}: {size / 1e6:,.1f} MB of shards in {seconds} s; see figures/ in it")
    counted = {"clips": clips, "dropped": sum(report["dropped"].values())}
    print(json.dumps({"path": command.out, **counted, "bytes": size, "seconds": seconds}))


def _fingerspelling(command: Fingerspelling, scratch: files.Path, run: workers.Run) -> dict:
    source, out = storage.path(command.source), storage.path(command.out)
    if not source.is_dir():
        raise FileNotFoundError(f"--source {source} is no folder")
    if source.resolve().is_relative_to(out.resolve()):
        raise ValueError(f"--out {command.out} holds --source {source}, and would replace it")
    return fingerspelling.prepare(source, scratch, command.take, source.resolve().name, run)


def _synthetic(command: Synthetic, scratch: files.Path, run: workers.Run) -> dict:
    from aslx import landmarks
    from aslx.datasets import synthetic

    options = command.take
    columns = landmarks.selection(options.keep.selection).columns
    kaggle = scratch / "out" / "kaggle"
    synthetic.write(
        kaggle,
        sequences=command.sequences,
        seed=options.seed,
        columns=columns,
        supplemental=command.sentences,
        run=run,
    )
    origin = f"synthetic {synthetic.VERSION}, seed {options.seed}"
    return fingerspelling.prepare(kaggle, scratch, options, origin, run)


if __name__ == "__main__":
    cli.run(main)
