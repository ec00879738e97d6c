"""Clips on a disk, between their readers and the writer of the shards.

The order of clips in the shards is random, and known only once all clips are read. The spool lets
the parquet be read once, in memory that does not grow with the data.
"""

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from aslx.prepare import phrase_clips, workers
from aslx.storage import files, remote_files


@dataclasses.dataclass(frozen=True)
class Stored:
    """A clip that is kept, and the place of its landmarks in the spool."""

    clip: phrase_clips.Clip
    file: files.Path
    offset: int  # Bytes.
    size: int  # Bytes.

    def load(self) -> np.ndarray:
        """The landmarks float16[T, N, 3], little-endian."""
        raw = remote_files.read(self.file, self.offset, self.size)
        return np.frombuffer(raw, "<f2").reshape(self.clip.frames, -1, 3)

    def example(self, holds: bool) -> dict[str, Any]:
        """The fields of a record, with the frames in which each character is held or without."""
        row = self.clip.row
        fields = {
            "landmarks": self.load(),
            "phrase": row.phrase,
            "sequence_id": row.sequence_id,
            "signer": row.signer,
            "file": row.path,
        }
        if holds:
            fields["holds"] = np.array(row.holds, "<i4")
        return fields if row.confidence is None else fields | {"confidence": row.confidence}


def fill(
    folder: files.Path,
    source: files.Path,
    rows: Sequence[phrase_clips.Row],
    keep: phrase_clips.Keep,
    run: workers.Run,
) -> tuple[list[phrase_clips.Clip], list[Stored]]:
    """Reads the parquet files of the rows that have a part, each in a task of `run`. Answers all
    clips, and the kept ones with their places."""
    by_path: dict[str, list[phrase_clips.Row]] = collections.defaultdict(list)
    for row in rows:
        if row.part is not None:
            by_path[row.path].append(row)
    tasks = [
        (folder / f"{number:05d}", source, path, mine, keep)
        for number, (path, mine) in enumerate(by_path.items())
    ]
    counts = [*map(len, by_path.values())]
    found = workers.gathered(run, _fill_one, tasks, counts, "reading", "clips")
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
                kept.append(Stored(clip, file, f.tell(), clip_TN3.nbytes))
                f.write(clip_TN3.data)
    return every, kept
