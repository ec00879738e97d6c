"""Clips on their way from the readers to the writer wait on disk.

So memory does not grow with the data, and the parts, which are written one after the other and
shuffled, cost one reading of the parquet.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tqdm

from aslx.prepare import phrase_clips, workers
from aslx.storage import files, remote_files


@dataclasses.dataclass(frozen=True)
class Stored:
    """Where a kept clip waits."""

    clip: phrase_clips.Clip
    file: files.Path
    offset: int  # Bytes.

    def load(self, points: int) -> np.ndarray:
        """Its landmarks float16[T, points, 3], little-endian."""
        shape = (self.clip.frames, points, 3)
        raw = remote_files.read(self.file, self.offset, int(np.prod(shape)) * 2)
        return np.frombuffer(raw, "<f2").reshape(shape)


def fill(
    folder: files.Path,
    source: files.Path,
    rows: Sequence[phrase_clips.Row],
    keep: phrase_clips.Keep,
    run: workers.Run,
) -> tuple[list[phrase_clips.Clip], list[Stored]]:
    """Reads the parquet files of the rows that have a part, each in a task of `run`: all clips, and
    those that are kept."""
    by_path: dict[str, list[phrase_clips.Row]] = {}
    for row in rows:
        if row.part is not None:
            by_path.setdefault(row.path, []).append(row)
    tasks = [
        (folder / f"{number:05d}", source, path, mine, keep)
        for number, (path, mine) in enumerate(by_path.items())
    ]
    found: list[tuple[list[phrase_clips.Clip], list[Stored]]] = [([], [])] * len(tasks)
    total = sum(map(len, by_path.values()))
    with tqdm.tqdm(total=total, desc="reading", unit=" clips", disable=None) as bar:
        for number, answer in run(_fill_one, tasks):
            found[number] = answer
            bar.update(len(answer[0]))
    return [clip for every, _ in found for clip in every], [s for _, kept in found for s in kept]


def _fill_one(
    file: files.Path,
    source: files.Path,
    path: str,
    rows: Sequence[phrase_clips.Row],
    keep: phrase_clips.Keep,
) -> tuple[list[phrase_clips.Clip], list[Stored]]:
    every, kept = [], []
    with remote_files.here(source, [path]) as local, files.writing(file) as f:
        for clip, clip_TN3 in phrase_clips.read(local / path, rows, keep):
            every.append(clip)
            if not clip.dropped:
                kept.append(Stored(clip, file, f.tell()))
                f.write(clip_TN3.data)
    return every, kept
