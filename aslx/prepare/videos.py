"""Videos and a csv of what is signed in them -> Kaggle's layout, as `fingerspelling` takes it.

Each video becomes a parquet file. A parquet file that exists is not made again, so an interrupted
run continues. Videos that cannot be read are left out and named. train.csv is written last.
"""

import csv
import dataclasses
import functools
import hashlib
import io
import json
import pathlib
import posixpath
import time
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aslx import errors
from aslx.prepare import fingerspelling, kaggle_layout, options, workers
from aslx.readers import csv_files, video
from aslx.schema import landmarks, vocab
from aslx.storage import files

_FOLDER, _FACTS = "train_landmarks", "video.json"
_MADE_BY = b"aslx.readers.video"  # Of the parquet's metadata: how it was made.
_MOST = 2**15 - 1  # Frames of a clip: Kaggle's column `frame` is int16.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Video:
    """Videos and a csv of their phrases into Kaggle's layout; `fingerspelling` takes it from there.

    MediaPipe Holistic finds the landmarks, and is set up when it is first needed. An interrupted
    run goes on where it stopped: a video whose parquet stands is not read again.
    """

    source: str
    """The folder of the videos and the csv."""
    out: str
    """Where to put train.csv and train_landmarks/."""
    phrases: str = "phrases.csv"
    """The csv in --source, with the columns path, phrase and, if known, participant_id."""
    fps: float | None = None
    """Take as many frames a second; by default all, as they are. Kaggle's clips have about 30."""
    processes: int | None = None
    """Videos at a time; by default one for each core."""

    def run(self) -> None:
        """Says what became of each video."""
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
        """The same whatever stands in the csv beside it."""
        return int.from_bytes(hashlib.sha256(self.path.encode()).digest()[:7])

    @property
    def parquet(self) -> str:
        return f"{_FOLDER}/{self.path}.parquet"


def lines(source: pathlib.Path, name: str) -> list[Line]:
    """Those of a csv with the columns path, phrase and, where it is known, participant_id.

    BadInput names the file and the line."""
    table = source / name
    if not table.is_file():
        raise errors.BadInput(
            f"{table} is missing: a csv with the columns path, phrase and, if known, participant_id"
        )
    found: dict[str, Line] = {}
    for row in csv_files.read(table, ("path", "phrase")):
        line = _line(row, source)
        if line.path in found:
            raise errors.BadInput(f"{table} lists {line.path} more than once")
        found[line.path] = line
    if not found:
        raise errors.BadInput(f"{table} lists no video")
    if not any((source / path).is_file() for path in found):
        raise errors.BadInput(f"none of the {len(found)} videos in {table} is there: "
                              f"{source / next(iter(found))} is missing")  # fmt: skip
    return list(found.values())


def _line(row: csv_files.Line, source: pathlib.Path) -> Line:
    path, phrase = posixpath.normpath(row.path()), row["phrase"]
    if not (source / path).resolve().is_relative_to(source.resolve()):
        raise errors.BadInput(f"{row.where}: {path} is a link that leads out of {source}: copy it")
    try:
        vocab.encode(phrase)
        if not phrase:
            raise errors.BadInput("an empty phrase")
    except errors.BadInput as error:
        raise errors.BadInput(f"{row.where}: {error}; correct or remove the line") from error
    return Line(path, phrase, row.values.get("participant_id", "").strip())


def prepare(
    source: pathlib.Path, out: pathlib.Path, name: str, fps: float | None, processes: int
) -> dict:
    """Writes `out`, and answers what became of the videos: how many were `made` and `stood`, how
    many `frames` and `hands` (frames with one) all hold, and why others were `left_out`."""
    if (out / fingerspelling.TRAIN).exists() and not (out / _FACTS).exists():
        raise errors.BadInput(
            f"{out} holds a train.csv that is not from videos: choose another --out"
        )
    wanted = lines(source, name)
    asked = json.dumps({"fps": fps, "by": video.REQUIREMENTS[0]})
    video.packages()  # Once, before every process asks for it.
    run = functools.partial(workers.run, processes=processes)
    tasks = [(source, out, asked, fps, line) for line in wanted]
    answers = workers.gathered(run, _one, tasks, [1] * len(tasks), "tracking", "videos")
    kept = [line for line, answer in zip(wanted, answers, strict=True) if answer["why"] is None]
    report = {
        "made": sum(answer["made"] for answer in answers),
        "stood": len(kept) - sum(answer["made"] for answer in answers),
        "frames": sum(answer["frames"] for answer in answers),
        "hands": sum(answer["hands"] for answer in answers),
        "left_out": {
            line.path: answer["why"]
            for line, answer in zip(wanted, answers, strict=True)
            if answer["why"] is not None
        },
    }
    if not kept:
        raise errors.BadInput(f"none of {len(wanted)} videos can be read: {answers[0]['why']}")
    files.write(out / _FACTS, json.dumps(report | json.loads(asked), indent=1) + "\n")
    files.write(out / fingerspelling.TRAIN, _table(kept))
    return report


def _one(
    source: pathlib.Path, out: pathlib.Path, asked: str, fps: float | None, line: Line
) -> dict:
    """Makes a video's parquet where there is none."""
    path = out / line.parquet
    if path.exists():
        made_by = (pq.read_schema(path).metadata or {}).get(_MADE_BY, b"{}")
        facts = json.loads(made_by)
        if facts.get("asked") != asked:
            raise errors.BadInput(
                f"{path} was made otherwise, {facts.get('asked')}: remove it first"
            )
        return facts["counts"] | {"made": 0, "why": None}
    try:
        track = video.track(source / line.path, fps, quiet=True)
        if len(track.values) > _MOST:
            raise errors.BadInput(f"it has {len(track.values)} frames: cut it, {_MOST} is the most")
    except errors.BadInput as error:
        return {"frames": 0, "hands": 0, "made": 0, "why": str(error)}
    counts = {"frames": len(track.values), "hands": int(track.hands.sum())}
    files.make(path.parent)
    table = _landmarks(track, line.sequence_id)
    facts = {
        b"pandas": table.schema.metadata[b"pandas"],
        _MADE_BY: json.dumps({"asked": asked, "counts": counts}).encode(),
    }
    with (
        files.writing(path) as f,
        # Most of a file of one clip is what it says of its 1,631 columns: half as much so.
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
    return counts | {"made": 1, "why": None}


def _landmarks(track: video.Track, sequence_id: int) -> pa.Table:
    """A row a frame, with all of Kaggle's columns."""
    frames, values = np.arange(len(track.values)), landmarks.columns(track.points).T
    ids = np.full(len(frames), sequence_id, np.int64)
    return kaggle_layout.table(landmarks.ALL.columns, frames, values, ids)


def _table(kept: Sequence[Line]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "file_id", "sequence_id", "participant_id", "phrase"])
    for line in kept:
        numbers = (line.sequence_id, line.sequence_id, line.signer)
        writer.writerow([line.parquet, *numbers, line.phrase])
    return text.getvalue()
