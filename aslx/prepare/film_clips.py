"""Which clips of which films there are, and what is said in them: by a csv, or by ELAN's files."""

import dataclasses
import pathlib
import posixpath

from aslx import errors
from aslx.prepare import phrase_clips
from aslx.readers import csv_files, eaf_files, folders, video
from aslx.storage import files

FOLDER = "train_landmarks"


@dataclasses.dataclass(frozen=True)
class Line:
    """A clip: a film or a part of one."""

    path: str  # Of the film, under the source folder.
    phrase: str
    signer: str  # A number or a name; empty where it is unknown.
    span: tuple[int, int] | None = None  # Milliseconds since the film's beginning; None: all of it.

    @property
    def sequence_id(self) -> int:
        """A function of path and span alone, whatever other clips there are."""
        return csv_files.number_of(self.name)

    @property
    def name(self) -> str:
        if self.span is None:
            return self.path
        begin, end = (milliseconds / 1000 for milliseconds in self.span)
        return f"{self.path} from {begin:.3f} to {end:.3f} s"

    @property
    def parquet(self) -> str:
        return f"{FOLDER}/{self.path}.parquet"


def listed(source: pathlib.Path, name: str) -> list[Line]:
    """The lines of a csv with the columns path, phrase and, if known, participant_id.

    BadInput names the file and the line."""
    table = source / name
    if not files.is_file(table):
        raise errors.BadInput(
            f"{table} is missing: a csv with the columns path, phrase and, if known, "
            "participant_id; or name a --tier of ELAN's files"
        )
    found: dict[str, Line] = {}
    for row in csv_files.read(table, ("path", "phrase")):
        path = posixpath.normpath(row.path())
        _check_inside(source, path, row.where)
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


def annotated(source: pathlib.Path, tier: str) -> list[Line]:
    """A clip for each annotation of a tier of all .eaf files under a folder. The film lies beside
    its .eaf, and is named in it or has its name. BadInput names a file without the tier or film."""
    paths = [path for path in folders.within(source) if path.suffix.lower() == ".eaf"]
    if not paths:
        raise errors.BadInput(f"--tier {tier}: {source} holds no .eaf file")
    lines: dict[tuple, Line] = {}
    for path in paths:
        read = eaf_files.read(path, tier)
        film = _film(path, read.media).relative_to(source).as_posix()
        _check_inside(source, film, str(path))
        for one in read.annotations:
            where = f"{path}, tier {tier!r}, at {one.begin / 1000:.3f} s"
            row = csv_files.Line(where, {"phrase": one.text})
            phrase, key = phrase_clips.phrase(row, where, None), (film, one.begin, one.end)
            if key in lines:
                raise errors.BadInput(f"{where}: {film} has two texts from this moment to the same")
            lines[key] = Line(film, phrase, read.participant, (one.begin, one.end))
    if not lines:
        raise errors.BadInput(f"the tier {tier!r} of {len(paths)} .eaf files has no text")
    return list(lines.values())


def _film(path: pathlib.Path, media: tuple[str, ...]) -> pathlib.Path:
    """The film beside an .eaf; BadInput where there is none."""
    named = [name for name in media if folders.plain(name) and name not in (".", "..")]
    same = [path.stem + suffix for suffix in video.SUFFIXES]
    for name in (*named, *same):
        film = path.with_name(name)
        if film.suffix.lower() in video.SUFFIXES and files.is_file(film):
            return film
    raise errors.BadInput(
        f"{path} is about {', '.join(named[:3]) or 'no film'}, and no such film lies beside it: "
        f"copy it there, or name it {path.stem}.mp4"
    )


def _check_inside(source: pathlib.Path, path: str, where: str) -> None:
    if not (source / path).resolve().is_relative_to(source.resolve()):
        raise errors.BadInput(f"{where}: {path} is a link that leads out of {source}: copy it")
