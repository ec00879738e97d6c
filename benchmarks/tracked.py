"""A film's landmarks, beside those that another tool found in it: how many pixels lie between them.

python -m benchmarks.tracked --film F.mp4 --pose F.pose

The .pose file must be of all frames of the film, as pose-format's video_to_pose writes it. Depths
are compared in widths of the picture.
"""

import dataclasses
import json
import pathlib

import numpy as np
import tyro

from aslx import cli, errors
from aslx.readers import pose_files, video
from aslx.schema import landmarks
from benchmarks import machine


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Compares a film's landmarks with those of a .pose file, part by part."""

    film: str
    pose: str


def main() -> None:
    command = tyro.cli(Command)
    theirs = pose_files.read(pathlib.Path(command.pose))
    ours = video.track(command.film)
    if len(ours.values) != len(theirs.points):
        raise errors.BadInput(
            f"{command.film} has {len(ours.values)} frames, and {command.pose} "
            f"{len(theirs.points)}: give a .pose file of all frames"
        )
    size = np.array([ours.width, ours.height, 1])
    differences = np.abs(ours.points - theirs.points) * size
    for part in landmarks.PARTS:
        mine = landmarks.ALL.part(part)
        found = [
            np.isfinite(points[:, mine]).any((1, 2)) for points in (ours.points, theirs.points)
        ]
        line: dict = {"part": part, "frames": len(differences)}
        line |= {"ours": int(found[0].sum()), "theirs": int(found[1].sum())}
        line["both"] = int((found[0] & found[1]).sum())
        if line["both"]:
            both = differences[found[0] & found[1]][:, mine]
            pixels = np.hypot(both[..., 0], both[..., 1])
            named = {"median": np.nanmedian, "mean": np.nanmean, "largest": np.nanmax}
            line["pixels"] = {name: round(float(of(pixels)), 3) for name, of in named.items()}
            line["depth"] = round(float(np.nanmean(both[..., 2])), 5)
        print(json.dumps(line))
    picture = f"{ours.width} x {ours.height}"
    print(json.dumps({"picture": picture, "mended": theirs.mended} | machine.facts()))


if __name__ == "__main__":
    cli.run(main)
