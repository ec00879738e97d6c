"""Makes a data set to train on: python -m aslx.prepare fingerspelling --source DIR --out DIR"""

import dataclasses
import json
import pathlib
import time
from typing import Annotated, Any

import tyro

from aslx import cli
from aslx.datasets import fingerspelling, images, isolated_signs, keypoint_clips, labelled, summary


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fingerspelling:
    """Kaggle's asl-fingerspelling, or anything in its layout, into TFRecord shards."""

    source: pathlib.Path
    """The folder of train.csv or supplemental_metadata.csv and the parquet that they list."""
    out: pathlib.Path
    """Where the data set shall stand; it appears there when it is whole."""
    overwrite: bool = False
    """Replace a data set that stands at --out."""
    take: fingerspelling.Options = fingerspelling.Options()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Synthetic:
    """Fingerspelling by a kinematic hand: Kaggle's layout in OUT/kaggle, then shards from it."""

    out: pathlib.Path
    """Where the data set shall stand; it appears there when it is whole."""
    sequences: int = 4000
    """Clips in train.csv."""
    sentences: int = 0
    """Clips in supplemental_metadata.csv, of some 500 sentences."""
    overwrite: bool = False
    """Replace a data set that stands at --out."""
    take: fingerspelling.Options = fingerspelling.Options()


@dataclasses.dataclass(frozen=True, kw_only=True)
class KeypointClips:
    """Clips of MediaPipe keypoints, CLASS/SEQUENCE/FRAME.npy or an npz, into TFRecord shards."""

    source: pathlib.Path
    """The folder of the classes, or an npz of X, y and seq."""
    out: pathlib.Path
    """Where the data set shall stand; it appears there when it is whole."""
    overwrite: bool = False
    """Replace a data set that stands at --out."""
    take: labelled.Options = labelled.Options()


@dataclasses.dataclass(frozen=True, kw_only=True)
class IsolatedSigns:
    """Kaggle's asl-signs, a parquet of landmarks for each clip, into TFRecord shards."""

    source: pathlib.Path
    """The folder of train.csv and sign_to_prediction_index_map.json."""
    out: pathlib.Path
    """Where the data set shall stand; it appears there when it is whole."""
    overwrite: bool = False
    """Replace a data set that stands at --out."""
    take: labelled.Options = labelled.Options()


@dataclasses.dataclass(frozen=True, kw_only=True)
class SignMnist:
    """Kaggle's sign-language-mnist, csv of 28 x 28 grey pixels, into TFRecord shards."""

    source: pathlib.Path
    """The folder of sign_mnist_train.csv and sign_mnist_test.csv."""
    out: pathlib.Path
    """Where the data set shall stand; it appears there when it is whole."""
    overwrite: bool = False
    """Replace a data set that stands at --out."""
    take: labelled.Options = labelled.Options()


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageFolder:
    """Images in folders, CLASS/NAME.jpg, decoded and resized once, into TFRecord shards."""

    source: pathlib.Path
    """The folder of the classes, as Kaggle's asl_alphabet_train."""
    out: pathlib.Path
    """Where the data set shall stand; it appears there when it is whole."""
    size: int = 100
    """Height and width to store."""
    overwrite: bool = False
    """Replace a data set that stands at --out."""
    take: labelled.Options = labelled.Options()


Command = Annotated[
    Fingerspelling | Synthetic | KeypointClips | IsolatedSigns | SignMnist | ImageFolder,
    tyro.conf.OmitArgPrefixes,
    tyro.conf.OmitSubcommandPrefixes,
]


def main() -> None:
    command = tyro.cli(Command, prog="python -m aslx.prepare", description=__doc__)
    from aslx.datasets import shards

    begun = time.monotonic()
    with shards.building(command.out, overwrite=command.overwrite) as scratch:
        match command:
            case Fingerspelling():
                source = _source(command)
                report = fingerspelling.prepare(source, scratch, command.take, source.name)
            case Synthetic():
                report = _synthetic(command, scratch)
            case KeypointClips():
                source = _source(command)
                report = keypoint_clips.prepare(source, scratch, command.take, source.name)
            case IsolatedSigns():
                report = isolated_signs.prepare(_source(command), scratch, command.take)
            case SignMnist():
                report = images.sign_mnist(_source(command), scratch, command.take)
            case ImageFolder():
                source = _source(command)
                report = images.image_folder(source, scratch, command.size, command.take)
    seconds = round(time.monotonic() - begun, 1)
    size = sum(path.stat().st_size for path in command.out.glob("*.tfrecord*"))
    clips = {part: counts["clips"] for part, counts in report["parts"].items()}
    print(summary.text(report) if "all" in report else labelled.text(report))
    print(f"\n{command.out}: {size / 1e6:,.1f} MB of shards in {seconds} s; see figures/ in it")
    counted = {"clips": clips, "dropped": sum(report["dropped"].values())}
    print(json.dumps({"path": str(command.out), **counted, "bytes": size, "seconds": seconds}))


def _source(command: Any) -> pathlib.Path:
    source = command.source
    if not source.is_dir() and source.suffix != ".npz":
        raise FileNotFoundError(f"--source {source} is no folder")
    if source.resolve().is_relative_to(command.out.resolve()):
        raise ValueError(f"--out {command.out} holds --source {source}, and would replace it")
    return source.resolve()


def _synthetic(command: Synthetic, scratch: pathlib.Path) -> dict:
    from aslx import landmarks
    from aslx.datasets import synthetic

    options = command.take
    columns = landmarks.selection(options.keep.selection).columns
    synthetic.write(
        scratch / "kaggle",
        sequences=command.sequences,
        seed=options.seed,
        columns=columns,
        supplemental=command.sentences,
        processes=options.processes,
    )
    origin = f"synthetic {synthetic.VERSION}, seed {options.seed}"
    report = fingerspelling.prepare(scratch / "kaggle", scratch, options, origin)
    (scratch / "kaggle").rename(scratch / "out" / "kaggle")
    return report


if __name__ == "__main__":
    cli.run(main)
