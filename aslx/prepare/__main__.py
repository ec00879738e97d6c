"""Makes a data set to train on: python -m aslx.prepare fingerspelling --source DIR --out DIR"""

import contextlib
import difflib
import json
import signal
import sys
import time
from collections.abc import Iterator
from typing import Annotated, NoReturn

import tyro

from aslx import cli, errors
from aslx.prepare import (
    building,
    fingerspelling,
    image_folder,
    isolated_signs,
    keypoint_clips,
    sign_mnist,
    synthetic,
    videos,
)
from aslx.storage import remote_files

DataSet = (
    fingerspelling.Fingerspelling
    | synthetic.Synthetic
    | Annotated[keypoint_clips.KeypointClips, tyro.conf.subcommand("keypoint_clips")]
    | Annotated[isolated_signs.IsolatedSigns, tyro.conf.subcommand("isolated_signs")]
    | Annotated[sign_mnist.SignMnist, tyro.conf.subcommand("sign_mnist")]
    | Annotated[image_folder.ImageFolder, tyro.conf.subcommand("image_folder")]
)
Command = Annotated[
    DataSet | videos.Video, tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes
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
    command = tyro.cli(Command, description=__doc__, args=words)
    with _ending_on_sigterm():
        command.run() if isinstance(command, videos.Video) else _run(command)


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


def _run(command: DataSet) -> None:
    command.check()
    begun = time.monotonic()
    with building.scratch(remote_files.path(command.out), overwrite=command.overwrite) as scratch:
        report = command.prepare(scratch)
        info = json.loads((scratch / "out" / "dataset_info.json").read_text())
    seconds = round(time.monotonic() - begun, 1)
    size = sum(int(split["numBytes"]) for split in info["splits"])
    print(command.text(report))
    print(f"\n{command.out}: {size / 1e6:,.1f} MB of shards in {seconds} s; see figures/ in it")
    dropped = report["dropped"]
    clips = {part: counts["clips"] for part, counts in report["parts"].items()}
    counted = {"clips": clips, "dropped": sum(dropped.values()), "reasons": dropped}
    print(json.dumps({"path": command.out, **counted, "bytes": size, "seconds": seconds}))


if __name__ == "__main__":
    cli.run(main)
