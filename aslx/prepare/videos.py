"""Videos, and the phrases in them -> Kaggle's layout, for `fingerspelling`.

Each video becomes a parquet file. Videos that cannot be read are left out and named. train.csv is
written last.
"""

import dataclasses
import functools
import json
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aslx import errors
from aslx.prepare import film_clips, fingerspelling, kaggle_layout, options, workers
from aslx.readers import pose_writing, video
from aslx.schema import landmarks
from aslx.storage import files

_FACTS = "video.json"
_MADE_BY = b"aslx.prepare.videos"  # In the parquet's metadata: how it was made.
_MOST = 2**15 - 1  # Frames of a clip: Kaggle's column `frame` is int16.
_BEYOND = "the film ends before"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Video:
    """Videos and a csv of their phrases, or ELAN's annotations of them, into Kaggle's layout, which
    `fingerspelling` then reads.

    MediaPipe Holistic finds the landmarks, and is set up when it is first needed. An interrupted
    run continues: a video whose parquet exists is not read again.
    """

    source: str
    """The folder of the videos and the csv, or of the videos with their .eaf files beside them."""
    out: str
    """Where to put train.csv and train_landmarks/."""
    phrases: str = "phrases.csv"
    """The csv in --source, with the columns path, phrase and, if known, participant_id."""
    tier: str | None = None
    """Take the phrases from this tier of all .eaf files under --source, and not from the csv: each
    annotation is a clip. The tier's participant signs."""
    pose: str | None = None
    """A folder: also write the landmarks of each whole film into it, as NAME.pose."""
    fps: float | None = None
    """Frames to take each second; by default all. Kaggle's clips have about 30."""
    processes: int | None = None
    """Videos at a time; by default one for each core."""

    def run(self) -> None:
        """Writes --out, and prints how many videos were made and why others were left out."""
        begun = time.monotonic()
        source = pathlib.Path(options.source(self.source, self.out))
        report = prepare(source, self)
        for name, why in report["left_out"].items():
            print(f"left out: {name}: {why}")
        seen = f"{report['hands']} of {report['frames']} frames show a hand"
        print(f"{report['made']} videos made, {report['stood']} stood already; {seen}")
        print(f"next: python -m aslx.prepare fingerspelling --source {self.out} --out DIR")
        numbers = report | {"left_out": len(report["left_out"])}
        seconds = round(time.monotonic() - begun, 1)
        print(json.dumps({"path": self.out, **numbers, "seconds": seconds}))


@dataclasses.dataclass(frozen=True)
class _Film:
    """What is made of a film."""

    path: pathlib.Path
    lines: tuple[film_clips.Line, ...]  # Its clips.
    parquet: pathlib.Path
    pose: pathlib.Path | None
    fps: float | None

    @property
    def asked(self) -> str:
        """A parquet that was asked for otherwise is another one."""
        spans = [line.span for line in self.lines if line.span]
        asked = {"fps": self.fps, "by": video.REQUIREMENTS[0]}
        return json.dumps(asked | ({"spans": spans} if spans else {}))


def prepare(source: pathlib.Path, asked: Video) -> dict:
    """Writes --out. Answers how many videos were `made` and how many `stood` already, how many
    `clips` and `frames` and `hands` (frames with a hand) these have, and why others were
    `left_out`."""
    out = pathlib.Path(asked.out)
    if files.exists(out / fingerspelling.TRAIN) and not files.exists(out / _FACTS):
        raise errors.BadInput(
            f"{out} holds a train.csv that is not from videos: choose another --out"
        )
    if asked.pose is not None:
        import pose_format  # noqa: F401  # Says that it is missing before a film is read.
    if asked.tier is None:
        wanted = film_clips.listed(source, asked.phrases)
    else:
        wanted = film_clips.annotated(source, asked.tier)
    of: dict[str, list[film_clips.Line]] = {}
    for line in wanted:
        of.setdefault(line.path, []).append(line)
    films = [
        _Film(
            source / path,
            tuple(lines),
            out / f"{film_clips.FOLDER}/{path}.parquet",
            pathlib.Path(asked.pose, f"{path}.pose") if asked.pose is not None else None,
            asked.fps,
        )
        for path, lines in of.items()
    ]
    video.packages()  # Once, before every process asks for it.
    run = functools.partial(workers.run, processes=asked.processes or workers.usable())
    tasks, counts = [(film,) for film in films], [1] * len(films)
    answers = workers.gathered(run, _one, tasks, counts, "tracking", "videos")
    both = [*zip(films, answers, strict=True)]
    found = [(film, some) for film, some in both if isinstance(some, dict)]
    if not found:
        raise errors.BadInput(f"none of {len(films)} videos can be read: {answers[0]}")
    left_out = {film.lines[0].path: why for film, why in both if isinstance(why, str)}
    rows = []
    for film, some in found:
        for line, frames in zip(film.lines, some["clips"], strict=True):
            if frames:
                ids = line.sequence_id, line.sequence_id
                rows.append((line.parquet, *ids, line.signer, line.phrase))
            else:
                left_out[line.name] = _BEYOND
    made = sum(some["made"] for _, some in found)
    report: dict[str, Any] = {"made": made, "stood": len(found) - made, "clips": len(rows)}
    report["frames"] = sum(sum(some["clips"]) for _, some in found)
    report["hands"] = sum(some["hands"] for _, some in found)
    report["left_out"] = left_out
    how = {"fps": asked.fps, "by": video.REQUIREMENTS[0], "tier": asked.tier}
    files.write(out / _FACTS, json.dumps(report | how, indent=1) + "\n")
    kaggle_layout.write_csv(out / fingerspelling.TRAIN, rows)
    return report


def _one(film: _Film) -> dict[str, Any] | str:
    """Makes a video's files where they are lacking; answers the frames of its `clips`, how many of
    them show `hands`, and whether it was `made`; or why it is left out."""
    if files.exists(film.parquet):
        facts = json.loads((pq.read_schema(film.parquet).metadata or {}).get(_MADE_BY, b"{}"))
        if facts.get("asked") != film.asked:
            raise errors.BadInput(
                f"{film.parquet} was made otherwise, {facts.get('asked')}: remove it first"
            )
        if film.pose is None or files.exists(film.pose):
            return facts["counts"] | {"made": 0}
    try:
        track = video.track(film.path, film.fps, quiet=True)
        parts = [_frames(track, line) for line in film.lines]
        for line, part in zip(film.lines, parts, strict=True):
            if len(part) > _MOST:
                raise errors.BadInput(
                    f"{line.name} has {len(part)} frames: cut it, {_MOST} is the most"
                )
        if not any(map(len, parts)):
            raise errors.BadInput(f"{_BEYOND} its annotations")
    except errors.BadInput as error:
        return str(error)
    if film.pose is not None:
        pose_writing.write(film.pose, track.points, track.rate, track.width, track.height)
    counts = {"clips": [*map(len, parts)], "hands": sum(int(track.hands[p].sum()) for p in parts)}
    _write(film, track, parts, counts)
    return counts | {"made": 1}


def _frames(track: video.Track, line: film_clips.Line) -> np.ndarray:
    """The numbers of a clip's frames in its film."""
    if line.span is None:
        return np.arange(len(track.values))
    begin, end = np.array(line.span) / 1000
    return np.flatnonzero((track.seconds >= begin) & (track.seconds < end))


def _write(
    film: _Film, track: video.Track, parts: Sequence[np.ndarray], counts: dict[str, Any]
) -> None:
    files.make(film.parquet.parent)
    tables = [
        kaggle_layout.table(
            landmarks.ALL.columns,
            np.arange(len(part)),
            landmarks.columns(track.points[part]).T,
            np.full(len(part), line.sequence_id, np.int64),
        )
        for line, part in zip(film.lines, parts, strict=True)
        if len(part)
    ]
    table = pa.concat_tables(tables)
    facts = {
        b"pandas": table.schema.metadata[b"pandas"],
        _MADE_BY: json.dumps({"asked": film.asked, "counts": counts}).encode(),
    }
    with (
        files.writing(film.parquet) as f,
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
