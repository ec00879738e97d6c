"""Kaggle's asl-fingerspelling -> shards. It has csv files of phrases, and parquet of landmarks; a
csv may list .pose files instead."""

import collections
import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from aslx import errors
from aslx.prepare import beam_runner, options, phrase_clips, splits, spool, summary, workers
from aslx.readers import csv_files, mending, pose_files
from aslx.schema import landmarks, vocab
from aslx.storage import files, remote_files

NAME = "fingerspelling"
TRAIN, SUPPLEMENTAL = "train.csv", "supplemental_metadata.csv"
MAP = "character_to_prediction_index.json"
_CLIP = ("path", "sequence_id", "participant_id")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(options.Options):
    """Which clips in Kaggle's layout to take, and which part of them trains."""

    out: str
    """Where to put the data set, on a disk or in a bucket (gs://...). It appears there when it is
    whole."""
    keep: phrase_clips.Keep = phrase_clips.Keep()
    train: bool = True
    """Take train.csv, where there is one."""
    supplemental: bool = True
    """Take supplemental_metadata.csv, where there is one."""
    phrases: str | None = None
    """Take this csv instead of both. It may have a column `confidence`, as aslx.label writes. For
    clips that are only trained on, as data.also, with --split none."""
    split: splits.Method = "signer-and-phrase"
    """What validation and test do not share with train; --validation and --test are shares of the
    signers and of the phrases. file-...: whole parquet files in their order, as the two published
    fingerspelling baselines split them."""
    beam: str | None = None
    """An Apache Beam engine to work on instead of processes of this machine. All its options in
    one, with the --runner among them:
    --beam="--runner=DirectRunner --direct_num_workers=4 --direct_running_mode=multi_processing".
    Its workers must see --source and --out: in a bucket, or on a disk that they share. For Dask
    (the extra `dask`) --runner=DaskRunner."""

    def check(self) -> None:
        super().check()
        landmarks.selection(self.keep.selection)
        if self.keep.frames_per_character < 0:
            raise errors.BadInput(
                f"--frames-per-character {self.keep.frames_per_character}: needs 0 or more"
            )
        if self.beam is not None:
            beam_runner.pipeline(self.beam)

    def runner(self, scratch: files.Path) -> workers.Run:
        """Runs tasks in a process pool, or on an engine."""
        if self.beam is None:
            return self.pool()
        return functools.partial(beam_runner.run, options=self.beam, folder=scratch / "tasks")

    text = staticmethod(summary.text)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fingerspelling(Options):
    """Kaggle's asl-fingerspelling, or anything in its layout, into TFRecord shards."""

    source: str
    """The folder, or gs://..., of train.csv or supplemental_metadata.csv and the parquet or .pose
    files that they list; of .pose files a csv needs path and phrase only, and may have
    participant_id. The alphabet is that of character_to_prediction_index.json in the folder or,
    without one, the characters of the phrases."""

    def prepare(self, scratch: files.Path) -> dict:
        source, run = options.source(self.source, self.out), self.runner(scratch)
        return prepare(source, scratch, self, source.resolve().name, run)


def prepare(
    source: files.Path, scratch: files.Path, asked: Options, origin: str, run: workers.Run
) -> dict:
    """Writes the data set of `source` as `scratch`/out, with figures, and answers the report.

    metadata.json says that the data are from `origin`; `run` is `Options.runner`'s. BadInput names
    what is wrong, and where.
    """
    rows, split = divide(table(source, asked), asked)
    alphabet = mapped(source) or vocab.of_phrases([row.phrase for row in rows])
    if split.note:
        print(f"split: {split.note}")
    folder = scratch / "spool"
    folder.mkdir()
    every, stored = spool.fill(folder, source, rows, asked.keep, run)
    every += [
        phrase_clips.Clip(row, dropped=phrase_clips.NO_PART) for row in rows if row.part is None
    ]
    check_some(every, stored, str(source))
    return write(scratch, every, stored, split, asked, alphabet, origin, run)


def check_some(
    every: Sequence[phrase_clips.Clip], stored: Sequence[spool.Stored], source: str
) -> None:
    """BadInput tells why the clips were left out, where none is stored."""
    if not stored:
        reasons = collections.Counter(clip.dropped for clip in every).most_common()
        words = ", ".join(f"{n} dropped: {reason}" for reason, n in reasons)
        raise errors.BadInput(f"{source} leaves nothing to train on: {words}")


def write(
    scratch: files.Path,
    every: Sequence[phrase_clips.Clip],
    stored: Sequence[spool.Stored],
    split: splits.Split,
    asked: Options,
    alphabet: vocab.Alphabet,
    origin: str,
    run: workers.Run,
) -> dict:
    """Writes clips that are read and divided as `scratch`/out, with figures, and answers the
    report; `every` is those that are `stored` and those that were left out."""
    from aslx.prepare import dataset_figures

    same = _write(scratch / "out", stored, split, asked, alphabet, origin, run)
    at = {waiting.clip: waiting for waiting in stored}
    drawn = [(clip, at[clip].load()) for clip in dataset_figures.samples([*at])]
    with files.replacing_folder(scratch / "out" / "figures") as figures:
        selection = landmarks.selection(asked.keep.selection)
        dataset_figures.draw(figures, [*at], drawn, selection, alphabet)
    return summary.summarise(every, split, same)


def table(source: files.Path, asked: Options) -> list[phrase_clips.Row]:
    """The rows of the csv files wanted; BadInput names file and line."""
    wanted = [TRAIN] * asked.train + [SUPPLEMENTAL] * asked.supplemental
    tables = [source / name for name in wanted if files.exists(source / name)]
    if asked.phrases is not None:
        tables = [remote_files.path(asked.phrases)]
        if not files.is_file(tables[0]):
            raise errors.BadInput(f"{tables[0]} is missing")
    if not tables:
        names = " and no ".join(wanted) or "csv left to read"
        raise errors.BadInput(f"{source} has no {names}: point --source at Kaggle's folder")
    alphabet = mapped(source)
    lines, numbers, names = _lines(tables, ("phrase",))
    if not lines:
        raise errors.BadInput(f"{' and '.join(map(str, tables))} list no sequence")
    of = zip(lines, numbers, strict=True)
    rows = [_row(line, number, names, alphabet) for line, number in of]
    counts = collections.Counter((row.path, row.sequence_id) for row in rows)
    ((path, sequence_id), times) = counts.most_common(1)[0]
    if times > 1:
        raise errors.BadInput(
            f"{source} lists sequence {sequence_id} of {path} {times} times, not once"
        )
    for path in dict.fromkeys(row.path for row in rows):
        if not files.is_file(source / path):
            raise errors.BadInput(f"{source / path} is missing, and a csv beside it lists it")
    return rows


def mapped(source: files.Path) -> vocab.Alphabet | None:
    """The alphabet of the map beside the csv files; None where there is no map."""
    if not files.exists(source / MAP):
        return None
    with remote_files.here(source, [MAP]) as here:
        return vocab.read(here / MAP)


def signers(source: pathlib.Path) -> dict[tuple[str, int], int]:
    """(path, sequence_id) -> the signer's number, for each clip in Kaggle's csv files; {} without
    such files."""
    tables = [source / name for name in (TRAIN, SUPPLEMENTAL) if files.exists(source / name)]
    lines, numbers, _ = _lines(tables, ())
    clips = [(line["path"], _sequence_id(line)) for line in lines]
    return dict(zip(clips, numbers, strict=True))


def _lines(
    tables: Sequence[files.Path], columns: Sequence[str]
) -> tuple[list[csv_files.Line], list[int], dict[int, str]]:
    """All lines of tables that have these columns and those of `_CLIP`, the number of each line's
    signer, and the names of signers by their numbers. Where all paths are those of .pose files,
    each of one clip, `path` alone must be there."""
    lines = []
    for file in tables:
        some = [*csv_files.read(file, ("path", *columns))]
        if not all(pose_files.is_pose(line["path"]) for line in some):
            some = csv_files.read(file, (*_CLIP, *columns))
        lines += some
    return lines, *csv_files.signers([line.values.get("participant_id", "") for line in lines])


def _sequence_id(line: csv_files.Line) -> int:
    """The line's, or a function of its path alone."""
    if "sequence_id" in line:
        return line.integer("sequence_id")
    return csv_files.number_of(line["path"])


def _row(
    line: csv_files.Line, signer: int, names: Mapping[int, str], alphabet: vocab.Alphabet | None
) -> phrase_clips.Row:
    path, sequence_id = line.path(), _sequence_id(line)
    phrase = phrase_clips.phrase(line, f"{line.where}, sequence {sequence_id}", alphabet)
    written = line.values["phrase"]
    mended = [mending.SPACES] if line["phrase"] != written else []
    mended += [mending.COMPOSED] if phrase != line["phrase"] else []
    return phrase_clips.Row(
        path,
        sequence_id,
        signer,
        phrase,
        confidence=line.number("confidence") if "confidence" in line else None,
        name=names.get(signer, ""),
        holds=phrase_clips.holds(line, phrase),
        mended=tuple(mended),
    )


def divide(
    rows: Sequence[phrase_clips.Row], asked: Options
) -> tuple[list[phrase_clips.Row], splits.Split]:
    """The rows, each with its part, and how they were divided."""
    split = splits.assign(
        asked.split,
        signers=[row.signer for row in rows],
        phrases=[row.phrase for row in rows],
        files=[row.path for row in rows],
        validation=asked.validation,
        test=asked.test,
        seed=asked.seed,
    )
    divided = zip(rows, split.parts, strict=True)
    return [dataclasses.replace(row, part=part) for row, part in divided], split


def _write(
    out: files.Path,
    stored: Sequence[spool.Stored],
    split: splits.Split,
    asked: Options,
    alphabet: vocab.Alphabet,
    origin: str,
    run: workers.Run,
) -> dict[str, int]:
    """Writes the shards, and counts duplicates."""
    # Imported here, because the processes that read do not need it.
    import tensorflow_datasets as tfds

    from aslx.prepare import shards

    points = len(landmarks.selection(asked.keep.selection).points)
    features = {
        "landmarks": shards.array((None, points, 3), np.float16),
        "phrase": tfds.features.Text(),
        "sequence_id": np.int64,
        "signer": np.int64,
        "file": tfds.features.Text(),
    }
    if any(waiting.clip.row.confidence is not None for waiting in stored):
        features["confidence"] = np.float32
    if held := all(waiting.clip.row.holds for waiting in stored):
        features["holds"] = shards.array((None, 2), np.int32)
    how = {name: getattr(asked, name) for name in ("validation", "test", "seed")}
    metadata = {
        "task": "transcription",
        "alphabet": alphabet.characters,
        "selection": asked.keep.selection,
        "source": origin,
        "split": {"asked": asked.split, "done": split.method, "note": split.note} | how,
        "keep": dataclasses.asdict(asked.keep),
    }
    names = {str(s.clip.row.signer): s.clip.row.name for s in stored if s.clip.row.name}
    if names:
        metadata["signers"] = dict(sorted(names.items()))
    written = shards.write(
        out,
        name=NAME,
        description="Fingerspelled phrases as MediaPipe Holistic landmarks, NaN where lost.",
        features=features,
        metadata=metadata,
        parts=splits.grouped(stored, lambda waiting: waiting.clip.row.part),
        example=functools.partial(spool.Stored.example, holds=held),
        size=lambda waiting: waiting.size,
        run=run,
        shards=asked.shards,
    )
    return shards.duplicates(written, "text")
