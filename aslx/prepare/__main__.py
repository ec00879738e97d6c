"""Makes a data set to train on: python -m aslx.prepare fingerspelling --source DIR --out DIR"""

import contextlib
import difflib
import json
import signal
import sys
import time
from collections.abc import Iterator
from typing import NoReturn

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
    tfds_dataset,
    videos,
)
from aslx.storage import files, remote_files

KINDS = {
    "fingerspelling": fingerspelling.Fingerspelling,
    "synthetic": synthetic.Synthetic,
    "keypoint_clips": keypoint_clips.KeypointClips,
    "isolated_signs": isolated_signs.IsolatedSigns,
    "sign_mnist": sign_mnist.SignMnist,
    "image_folder": image_folder.ImageFolder,
    "tfds": tfds_dataset.Tfds,
    "video": videos.Video,
}


def main() -> None:
    command = parse(sys.argv[1:])
    with _ending_on_sigterm():
        if isinstance(command, videos.Video):
            return command.run()
        command.check()
        begun, out = time.monotonic(), remote_files.path(command.out)
        with building.scratch(out, overwrite=command.overwrite) as scratch:
            report = command.prepare(scratch)
            files.write(scratch / "out" / "summary.json", json.dumps(report, indent=1) + "\n")
            info = json.loads((scratch / "out" / "dataset_info.json").read_text())
        seconds = round(time.monotonic() - begun, 1)
        size = sum(int(split["numBytes"]) for split in info["splits"])
        print(command.text(report))
        print(f"\n{command.out}: {size / 1e6:,.1f} MB of shards in {seconds} s; see figures/ in it")
        dropped = report["dropped"]
        clips = {part: counts["clips"] for part, counts in report["parts"].items()}
        counted = {"clips": clips, "dropped": sum(dropped.values()), "reasons": dropped}
        print(json.dumps({"path": command.out, **counted, "bytes": size, "seconds": seconds}))


def parse(words: list[str]):
    """The options of one of `KINDS` from the words of a command line."""
    if words and not words[0].startswith("-"):
        words = [_kind(words[0]), *words[1:]]
    bare = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
    return tyro.extras.subcommand_cli_from_dict(KINDS, description=__doc__, args=words, config=bare)


def _kind(word: str) -> str:
    """The kind of data that a word names; BadInput suggests the nearest one."""
    kind = word.replace("-", "_")
    if kind in KINDS:
        return kind
    near = difflib.get_close_matches(kind, KINDS, 1)
    meant = f"did you mean {near[0]}?" if near else "none is near."
    raise errors.BadInput(f"there is no kind of data {word!r}: {meant} Kinds: {', '.join(KINDS)}")


@contextlib.contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """On SIGTERM the command clears up, as on Ctrl-C; a second SIGTERM ends it at once."""

    def end(*_: object) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        print("error: terminated", file=sys.stderr)
        raise SystemExit(cli.TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    cli.run(main)
