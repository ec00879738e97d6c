"""Clips on their way from the readers to the writer wait on disk.

So memory does not grow with the data, and the parts, which are written one after the other and
shuffled, cost one reading of the parquet.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
import tqdm

from aslx.datasets import clips, workers


@dataclasses.dataclass(frozen=True)
class Stored:
    """Where a kept clip waits."""

    clip: clips.Clip
    file: pathlib.Path
    offset: int  # Bytes.

    def load(self, points: int) -> np.ndarray:
        """Its landmarks float16[T, points, 3], little-endian."""
        shape = (self.clip.frames, points, 3)
        flat = np.fromfile(self.file, "<f2", int(np.prod(shape)), offset=self.offset)
        return flat.reshape(shape)


def fill(
    folder: pathlib.Path,
    source: pathlib.Path,
    rows: Sequence[clips.Row],
    keep: clips.Keep,
    processes: int,
) -> tuple[list[clips.Clip], list[Stored]]:
    """Reads the parquet files of the rows that have a part, one a process at a time: all clips, and
    those that are kept."""
    by_path: dict[str, list[clips.Row]] = {}
    for row in rows:
        if row.part is not None:
            by_path.setdefault(row.path, []).append(row)
    tasks = [
        (folder / f"{number:05d}", source / path, mine, keep)
        for number, (path, mine) in enumerate(by_path.items())
    ]
    found: list[tuple[list[clips.Clip], list[Stored]]] = [([], [])] * len(tasks)
    total = sum(map(len, by_path.values()))
    with tqdm.tqdm(total=total, desc="reading", unit=" clips", disable=None) as bar:
        for number, answer in workers.run(_fill_one, tasks, processes):
            found[number] = answer
            bar.update(len(answer[0]))
    return [clip for every, _ in found for clip in every], [s for _, kept in found for s in kept]


def _fill_one(
    file: pathlib.Path, path: pathlib.Path, rows: Sequence[clips.Row], keep: clips.Keep
) -> tuple[list[clips.Clip], list[Stored]]:
    every, kept = [], []
    with open(file, "wb") as f:
        for clip, clip_TN3 in clips.read(path, rows, keep):
            every.append(clip)
            if not clip.dropped:
                kept.append(Stored(clip, file, f.tell()))
                f.write(clip_TN3.data)
    return every, kept
