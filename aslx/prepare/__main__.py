"""Makes a data set to train on: python -m aslx.prepare fingerspelling --source DIR --out DIR"""

import contextlib
import dataclasses
import difflib
import json
import pathlib
import signal
import sys
import time
from collections.abc import Iterator
from typing import Annotated, NoReturn

import tyro

from aslx import cli, errors
from aslx.prepare import (
    building,
    class_dataset,
    fingerspelling,
    image_folder,
    isolated_signs,
    keypoint_clips,
    sign_mnist,
    summary,
)
from aslx.storage import files, remote_files


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """Where a data set goes."""

    out: str
    """Where the data set shall stand; it appears there when it is whole. Of fingerspelling it
    may be in a bucket (gs://...)."""
    overwrite: bool = False
    """Replace a data set that stands at --out."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fingerspelling:
    """Kaggle's asl-fingerspelling, or anything in its layout, into TFRecord shards."""

    source: str
    """The folder, or gs://..., of train.csv or supplemental_metadata.csv and the parquet that they
    list."""
    to: Target
    take: fingerspelling.Options = fingerspelling.Options()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Synthetic:
    """Fingerspelling by a kinematic hand: Kaggle's layout in OUT/kaggle, then shards from it."""

    sequences: int = 4000
    """Clips in train.csv."""
    sentences: int = 0
    """Clips in supplemental_metadata.csv, of some 500 sentences."""
    to: Target
    take: fingerspelling.Options = fingerspelling.Options()


@dataclasses.dataclass(frozen=True, kw_only=True)
class KeypointClips:
    """Clips of MediaPipe keypoints, CLASS/SEQUENCE/FRAME.npy or an npz, into TFRecord shards."""

    source: str
    """The folder of the classes, or an npz of X, y and seq."""
    to: Target
    take: class_dataset.Options = class_dataset.Options()


@dataclasses.dataclass(frozen=True, kw_only=True)
class IsolatedSigns:
    """Kaggle's asl-signs, a parquet of landmarks for each clip, into TFRecord shards."""

    source: str
    """The folder of train.csv and sign_to_prediction_index_map.json."""
    to: Target
    take: class_dataset.Options = class_dataset.Options()


@dataclasses.dataclass(frozen=True, kw_only=True)
class SignMnist:
    """Kaggle's sign-language-mnist, csv of 28 x 28 grey pixels, into TFRecord shards."""

    source: str
    """The folder of sign_mnist_train.csv and sign_mnist_test.csv."""
    to: Target
    take: class_dataset.Options = class_dataset.Options()


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageFolder:
    """Images in folders, CLASS/NAME.jpg, decoded and resized once, into TFRecord shards."""

    source: str
    """The folder of the classes, as Kaggle's asl_alphabet_train."""
    size: int = 100
    """Height and width to store."""
    cutouts: bool = False
    """Of a camera that stands still: store with each image what is behind the hand and where the
    hand is, for --augmentation.paste. A tenth of a second an image and core."""
    to: Target
    take: class_dataset.Options = class_dataset.Options()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Video:
    """Videos and a csv of their phrases into Kaggle's layout; `fingerspelling` takes it from there.

    MediaPipe Holistic finds the landmarks, and is set up when it is first needed. An interrupted
    run goes on where it stopped: a video whose parquet stands is not read again.
    """

    source: str
    """The folder of the videos and the csv."""
    out: str
    """Where train.csv and train_landmarks/ shall stand."""
    phrases: str = "phrases.csv"
    """The csv in --source, with the columns path, phrase and, if known, participant_id."""
    fps: float | None = None
    """Take as many frames a second; by default all, as they are. Kaggle's clips have about 30."""
    processes: int | None = None
    """Videos at a time; by default one for each core."""


Command = Annotated[
    Fingerspelling
    | Synthetic
    | Annotated[KeypointClips, tyro.conf.subcommand("keypoint_clips")]
    | Annotated[IsolatedSigns, tyro.conf.subcommand("isolated_signs")]
    | Annotated[SignMnist, tyro.conf.subcommand("sign_mnist")]
    | Annotated[ImageFolder, tyro.conf.subcommand("image_folder")]
    | Video,
    tyro.conf.OmitArgPrefixes,
    tyro.conf.OmitSubcommandPrefixes,
]
KINDS = (
    *("fingerspelling", "synthetic", "keypoint_clips", "isolated_signs"),
    *("sign_mnist", "image_folder", "video"),
)


def main() -> None:
    kinds, words = sys.argv[1:2], sys.argv[2:]
    if kinds and not kinds[0].startswith("-"):
        kinds = [_kind(kinds[0])]
    words = [*kinds, *words]
    command = tyro.cli(Command, prog="python -m aslx.prepare", description=__doc__, args=words)
    with _ending_on_sigterm():
        _run(command)


def _kind(word: str) -> str:
    """The kind of data that is meant; BadInput names the nearest where there is none."""
    kind = word.replace("-", "_")
    if kind in KINDS:
        return kind
    near = difflib.get_close_matches(kind, KINDS, 1)
    meant = f"did you mean {near[0]}?" if near else "none is near."
    raise errors.BadInput(f"there is no kind of data {word!r}: {meant} Kinds: {', '.join(KINDS)}")


@contextlib.contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """SIGTERM, too, lets the command clear up what it began; a second one ends it at once."""

    def end(*_: object) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        print("error: terminated", file=sys.stderr)
        raise SystemExit(cli.TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(command: Command) -> None:
    if isinstance(command, Video):
        _video(command)
        return
    begun = time.monotonic()
    with building.scratch(
        remote_files.path(command.to.out), overwrite=command.to.overwrite
    ) as scratch:
        match command:
            case Fingerspelling(take=options):
                run = fingerspelling.runner(options, scratch)
                source = _source(command.source, command.to.out)
                report = fingerspelling.prepare(
                    source, scratch, options, source.resolve().name, run
                )
            case Synthetic():
                report = _synthetic(command, scratch)
            case _:
                report = _labelled(command, scratch)
        info = json.loads((scratch / "out" / "dataset_info.json").read_text())
    seconds = round(time.monotonic() - begun, 1)
    size = sum(int(split["numBytes"]) for split in info["splits"])
    clips = {part: counts["clips"] for part, counts in report["parts"].items()}
    print((class_dataset if "all" not in report else summary).text(report))
    print(f"\n{command.to.out}: {size / 1e6:,.1f} MB of shards in {seconds} s; see figures/ in it")
    dropped = report["dropped"]
    counted = {"clips": clips, "dropped": sum(dropped.values()), "reasons": dropped}
    print(json.dumps({"path": command.to.out, **counted, "bytes": size, "seconds": seconds}))


def _video(command: Video) -> None:
    from aslx.prepare import videos, workers

    begun = time.monotonic()
    source = pathlib.Path(_source(command.source, command.out))
    out, processes = pathlib.Path(command.out), command.processes or workers.usable()
    report = videos.prepare(source, out, command.phrases, command.fps, processes)
    for name, why in report["left_out"].items():
        print(f"left out: {name}: {why}")
    seen = f"{report['hands']} of {report['frames']} frames show a hand"
    print(f"{report['made']} videos made, {report['stood']} stood already; {seen}")
    print(f"next: python -m aslx.prepare fingerspelling --source {command.out} --out DIR")
    seconds = round(time.monotonic() - begun, 1)
    numbers = {name: report[name] for name in ("made", "stood", "frames", "hands")}
    left_out = len(report["left_out"])
    print(json.dumps({"path": command.out, **numbers, "left_out": left_out, "seconds": seconds}))


def _source(source: str, out: str) -> files.Path:
    folder = remote_files.path(source)
    if not folder.is_dir() and folder.suffix != ".npz":
        raise errors.BadInput(f"--source {source} is no folder")
    if folder.resolve().is_relative_to(remote_files.path(out).resolve()):
        raise errors.BadInput(f"--out {out} holds --source {source}, and would replace it")
    return folder


def _labelled(
    command: KeypointClips | IsolatedSigns | SignMnist | ImageFolder, scratch: files.Path
) -> dict:
    source = pathlib.Path(_source(command.source, command.to.out)).resolve()
    match command:
        case KeypointClips(take=options):
            return keypoint_clips.prepare(source, scratch, options)
        case IsolatedSigns(take=options):
            return isolated_signs.prepare(source, scratch, options)
        case SignMnist(take=options):
            return sign_mnist.prepare(source, scratch, options)
        case ImageFolder(take=options):
            return image_folder.prepare(source, scratch, command.size, command.cutouts, options)


def _synthetic(command: Synthetic, scratch: files.Path) -> dict:
    from aslx.prepare import synthetic
    from aslx.schema import landmarks

    options = command.take
    run = fingerspelling.runner(options, scratch)
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
