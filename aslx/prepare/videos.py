"""Videos and a csv of the phrases in them -> Kaggle's layout, for `fingerspelling`.

Each video becomes a parquet file. Videos that cannot be read are left out and named. train.csv is
written last.
"""

import dataclasses
import functools
import hashlib
import json
import pathlib
import posixpath
import time
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from aslx import errors
from aslx.prepare import fingerspelling, kaggle_layout, options, phrase_clips, workers
from aslx.readers import csv_files, video
from aslx.schema import landmarks
from aslx.storage import files

_FOLDER, _FACTS = "train_landmarks", "video.json"
_MADE_BY = b"aslx.readers.video"  # In the parquet's metadata: how it was made.
_MOST = 2**15 - 1  # Frames of a clip: Kaggle's column `frame` is int16.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Video:
    """Videos and a csv of their phrases into Kaggle's layout, which `fingerspelling` then reads.

    MediaPipe Holistic finds the landmarks, and is set up when it is first needed. An interrupted
    run continues: a video whose parquet exists is not read again.
    """

    source: str
    """The folder of the videos and the csv."""
    out: str
    """Where to put train.csv and train_landmarks/."""
    phrases: str = "phrases.csv"
    """The csv in --source, with the columns path, phrase and, if known, participant_id."""
    fps: float | None = None
    """Frames to take each second; by default all. Kaggle's clips have about 30."""
    processes: int | None = None
    """Videos at a time; by default one for each core."""

    def run(self) -> None:
        """Writes --out, and prints how many videos were made and why others were left out."""
        begun = time.monotonic()
        source = pathlib.Path(options.source(self.source, self.out))
        processes = self.processes or workers.usable()
        report = prepare(source, pathlib.Path(self.out), self.phrases, self.fps, processes)
        for name, why in report["left_out"].items():
            print(f"left out: {name}: {why}")
        seen = f"{report['hands']} of {report['frames']} frames show a hand"
        print(f"{report['made']} videos made, {report['stood']} stood already; {seen}")
        print(f"next: python -m aslx.prepare fingerspelling --source {self.out} --out DIR")
        numbers = report | {"left_out": len(report["left_out"])}
        seconds = round(time.monotonic() - begun, 1)
        print(json.dumps({"path": self.out, **numbers, "seconds": seconds}))


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of the csv."""

    path: str  # Of the video, under the csv's folder.
    phrase: str
    signer: str  # A number or a name; empty where it is unknown.

    @property
    def sequence_id(self) -> int:
        """A function of the path alone, whatever other lines the csv has."""
        return int.from_bytes(hashlib.sha256(self.path.encode()).digest()[:7])

    @property
    def parquet(self) -> str:
        return f"{_FOLDER}/{self.path}.parquet"


def lines(source: pathlib.Path, name: str) -> list[Line]:
    """The lines of a csv with the columns path, phrase and, if known, participant_id.

    BadInput names the file and the line."""
    table = source / name
    if not files.is_file(table):
        raise errors.BadInput(
            f"{table} is missing: a csv with the columns path, phrase and, if known, participant_id"
        )
    found: dict[str, Line] = {}
    for row in csv_files.read(table, ("path", "phrase")):
        path = posixpath.normpath(row.path())
        if not (source / path).resolve().is_relative_to(source.resolve()):
            raise errors.BadInput(
                f"{row.where}: {path} is a link that leads out of {source}: copy it"
            )
        phrase = phrase_clips.phrase(row, row.where, None)
        if path in found:
            raise errors.BadInput(f"{table} lists {path} more than once")
        found[path] = Line(path, phrase, row.values.get("participant_id", "").strip())
    if not found:
        raise errors.BadInput(f"{table} lists no video")
    if not any(files.is_file(source / path) for path in found):
        raise errors.BadInput(f"none of the {len(found)} videos in {table} is there: "
                              f"{source / next(iter(found))} is missing")  # fmt: skip
    return list(found.values())


def prepare(
    source: pathlib.Path, out: pathlib.Path, name: str, fps: float | None, processes: int
) -> dict:
    """Writes `out`. Answers how many videos were `made` and how many `stood` already, how many
    `frames` and `hands` (frames with a hand) these have, and why others were `left_out`."""
    if files.exists(out / fingerspelling.TRAIN) and not files.exists(out / _FACTS):
        raise errors.BadInput(
            f"{out} holds a train.csv that is not from videos: choose another --out"
        )
    wanted = lines(source, name)
    asked = json.dumps({"fps": fps, "by": video.REQUIREMENTS[0]})
    video.packages()  # Once, before every process asks for it.
    run = functools.partial(workers.run, processes=processes)
    tasks = [(source, out, asked, fps, line) for line in wanted]
    answers = workers.gathered(run, _one, tasks, [1] * len(tasks), "tracking", "videos")
    found = dict(zip(wanted, answers, strict=True))
    kept = {line: counts for line, counts in found.items() if isinstance(counts, dict)}
    if not kept:
        raise errors.BadInput(f"none of {len(wanted)} videos can be read: {answers[0]}")
    made, frames, hands = (
        sum(counts[of] for counts in kept.values()) for of in ("made", "frames", "hands")
    )
    report: dict[str, Any] = {"made": made, "stood": len(kept) - made}
    report |= {"frames": frames, "hands": hands}
    report["left_out"] = {line.path: why for line, why in found.items() if line not in kept}
    files.write(out / _FACTS, json.dumps(report | json.loads(asked), indent=1) + "\n")
    rows = [(x.parquet, x.sequence_id, x.sequence_id, x.signer, x.phrase) for x in kept]
    kaggle_layout.write_csv(out / fingerspelling.TRAIN, rows)
    return report


def _one(
    source: pathlib.Path, out: pathlib.Path, asked: str, fps: float | None, line: Line
) -> dict[str, int] | str:
    """Makes a video's parquet where there is none; answers its counts, or why it is left out."""
    path = out / line.parquet
    if files.exists(path):
        facts = json.loads((pq.read_schema(path).metadata or {}).get(_MADE_BY, b"{}"))
        if facts.get("asked") != asked:
            raise errors.BadInput(
                f"{path} was made otherwise, {facts.get('asked')}: remove it first"
            )
        return facts["counts"] | {"made": 0}
    try:
        track = video.track(source / line.path, fps, quiet=True)
        if len(track.values) > _MOST:
            raise errors.BadInput(f"it has {len(track.values)} frames: cut it, {_MOST} is the most")
    except errors.BadInput as error:
        return str(error)
    counts = {"frames": len(track.values), "hands": int(track.hands.sum())}
    files.make(path.parent)
    frames, values = np.arange(len(track.values)), landmarks.columns(track.points).T
    ids = np.full(len(frames), line.sequence_id, np.int64)
    table = kaggle_layout.table(landmarks.ALL.columns, frames, values, ids)
    facts = {
        b"pandas": table.schema.metadata[b"pandas"],
        _MADE_BY: json.dumps({"asked": asked, "counts": counts}).encode(),
    }
    with (
        files.writing(path) as f,
        # Most of a file of one clip describes its 1,631 columns: these options halve that.
        pq.ParquetWriter(
            f,
            table.schema,
            compression="zstd",
            store_schema=False,
            use_dictionary=False,
            write_statistics=False,
            use_byte_stream_split=True,
        ) as writer,
    ):
        writer.write_table(table)
        writer.add_key_value_metadata(facts)
    return counts | {"made": 1}
