"""Fetches, once, what a command would fetch when it first needs it: `aslx setup video`."""

import dataclasses
from typing import Annotated, Literal

import tyro

from aslx import cli
from aslx.readers import video


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Fetches what reads videos: MediaPipe 0.10.14 and what it needs, 105 MB from the index that
    pip uses, into a folder of the user's cache. Python 3.9 to 3.12 can run it. Afterwards videos
    are read without a network."""

    what: Annotated[Literal["video"], tyro.conf.Positional]
    """What to fetch."""


def main() -> None:
    tyro.cli(Command)
    print(f"videos are read by MediaPipe in {video.packages()}")


if __name__ == "__main__":
    cli.run(main)
