"""Kaggle's asl-fingerspelling -> shards: csv files of phrases, and parquet of landmarks."""

import collections
import dataclasses
import functools
import json
import pathlib
import tempfile
from collections.abc import Sequence

import numpy as np

from aslx import errors
from aslx.prepare import beam_runner, phrase_clips, splits, spool, summary, workers
from aslx.readers import csv_files, mending
from aslx.schema import landmarks, vocab
from aslx.storage import files, remote_files

NAME = "fingerspelling"
TRAIN, SUPPLEMENTAL = "train.csv", "supplemental_metadata.csv"
MAP = "character_to_prediction_index.json"
_COLUMNS = ("path", "sequence_id", "participant_id", "phrase")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What to take, and which part of it trains."""

    keep: phrase_clips.Keep = phrase_clips.Keep()
    train: bool = True
    """Take train.csv, where there is one."""
    supplemental: bool = True
    """Take supplemental_metadata.csv, where there is one."""
    phrases: str | None = None
    """Take this csv instead of both: with a column `confidence` more, as aslx.label writes it. For
    clips that are only trained on, as data.also, with --split none."""
    split: splits.Method = "signer-and-phrase"
    """What validation and test do not share with train. file-...: whole parquet files in their
    order, as the two fingerspelling seeds split them."""
    validation: float = 0.1
    """Share of the signers, and of the phrases, to validate on."""
    test: float = 0.1
    """Share of the signers, and of the phrases, to test on."""
    seed: int = 0
    """Of every random draw."""
    shards: int | None = None
    """Files for each part; by default one for 128 MB, and up to 8 where there is less."""
    processes: int | None = None
    """Files read, and written, at a time; by default one for each core."""
    beam: str | None = None
    """An Apache Beam engine to work on instead. All its options in one, the --runner among them:
    --beam="--runner=DirectRunner --direct_num_workers=4 --direct_running_mode=multi_processing".
    Its workers must see --source and --out: in a bucket, or on a disk that they share."""


def runner(options: Options, scratch: files.Path) -> workers.Run:
    """What does the tasks: a process pool, or an engine. BadInput names a flag that cannot be."""
    _check(options)
    if options.beam is not None:
        return functools.partial(beam_runner.run, options=options.beam, folder=scratch / "tasks")
    return functools.partial(workers.run, processes=options.processes or workers.usable())


def prepare(
    source: files.Path,
    scratch: files.Path,
    options: Options,
    origin: str,
    run: workers.Run,
) -> dict:
    """Writes the data set of `source` into `scratch`/out, with figures and summary.json, which is
    also the answer. `origin` says in metadata.json where the data are from; `run` is `runner`'s.

    BadInput names what is wrong, and where.
    """
    selection = landmarks.selection(options.keep.selection)
    rows, split = divide(table(source, options), options)
    if split.note:
        print(f"split: {split.note}")
    folder = scratch / "spool"
    folder.mkdir()
    every, stored = spool.fill(folder, source, rows, options.keep, run)
    every += [
        phrase_clips.Clip(row, dropped=phrase_clips.NO_PART) for row in rows if row.part is None
    ]
    if not stored:
        reasons = collections.Counter(clip.dropped for clip in every).most_common()
        words = ", ".join(f"{n} dropped: {reason}" for reason, n in reasons)
        raise errors.BadInput(f"{source} leaves nothing to train on: {words}")
    report = summary.summarise(every, split)
    _write(scratch / "out", stored, report, options, origin, run)
    _draw(scratch / "out" / "figures", stored, selection)
    files.write(scratch / "out" / "summary.json", json.dumps(report, indent=1) + "\n")
    return report


def _draw(
    folder: files.Path, stored: Sequence[spool.Stored], selection: landmarks.Selection
) -> None:
    from aslx.prepare import dataset_figures

    points = len(selection.points)
    kept = [waiting.clip for waiting in stored]
    at = {waiting.clip: waiting for waiting in stored}
    drawn = [(clip, at[clip].load(points)) for clip in dataset_figures.samples(kept)]
    folder.mkdir()
    with tempfile.TemporaryDirectory() as here:
        dataset_figures.draw(pathlib.Path(here) / "figures", kept, drawn, selection)
        for path in (pathlib.Path(here) / "figures").iterdir():
            (folder / path.name).write_bytes(path.read_bytes())


def _check(options: Options) -> None:
    """BadInput names the flag whose value cannot be."""
    landmarks.selection(options.keep.selection)
    for flag, value in (("shards", options.shards), ("processes", options.processes)):
        if value is not None and value < 1:
            raise errors.BadInput(f"--{flag} {value}: needs 1 or more")
    for flag, value in (
        ("seed", options.seed),
        ("frames-per-character", options.keep.frames_per_character),
    ):
        if value < 0:
            raise errors.BadInput(f"--{flag} {value}: needs 0 or more")
    if options.beam is not None:
        beam_runner.pipeline(options.beam)


def table(source: files.Path, options: Options) -> list[phrase_clips.Row]:
    """The rows of the csv files wanted; BadInput names file and line."""
    wanted = [TRAIN] * options.train + [SUPPLEMENTAL] * options.supplemental
    tables = [source / name for name in wanted if (source / name).exists()]
    if options.phrases is not None:
        tables = [remote_files.path(options.phrases)]
        if not tables[0].is_file():
            raise errors.BadInput(f"{tables[0]} is missing")
    if not tables:
        names = " and no ".join(wanted) or "csv left to read"
        raise errors.BadInput(f"{source} has no {names}: point --source at Kaggle's folder")
    if (source / MAP).exists():
        with remote_files.here(source, [MAP]) as here:
            vocab.check(here / MAP)
    rows = _rows(tables)
    if not rows:
        raise errors.BadInput(f"{' and '.join(map(str, tables))} list no sequence")
    counts = collections.Counter((row.path, row.sequence_id) for row in rows)
    ((path, sequence_id), times) = counts.most_common(1)[0]
    if times > 1:
        raise errors.BadInput(
            f"{source} lists sequence {sequence_id} of {path} {times} times, not once"
        )
    for path in dict.fromkeys(row.path for row in rows):
        with files.given(source / path):
            there = (source / path).is_file()
        if not there:
            raise errors.BadInput(f"{source / path} is missing, and a csv beside it lists it")
    return rows


def _rows(tables: Sequence[files.Path]) -> list[phrase_clips.Row]:
    lines = [line for file in tables for line in csv_files.read(file, _COLUMNS)]
    numbers, names = csv_files.signers([line["participant_id"] for line in lines])
    return [
        _row(line, signer, names.get(signer, ""))
        for line, signer in zip(lines, numbers, strict=True)
    ]


def signers(source: pathlib.Path) -> dict[tuple[str, int], int]:
    """The number of who signs each path and sequence that Kaggle's csv files list, whatever the
    phrases; {} where there are no such files."""
    columns = ("path", "sequence_id", "participant_id")
    tables = [source / name for name in (TRAIN, SUPPLEMENTAL) if (source / name).exists()]
    lines = [line for file in tables for line in csv_files.read(file, columns)]
    numbers, _ = csv_files.signers([line["participant_id"] for line in lines])
    clip = [(line["path"], line.integer("sequence_id")) for line in lines]
    return dict(zip(clip, numbers, strict=True))


def _row(line: csv_files.Line, signer: int, name: str) -> phrase_clips.Row:
    path, sequence_id, phrase = line.path(), line.integer("sequence_id"), line["phrase"]
    where = f"{line.where}, sequence {sequence_id}"
    try:
        if not phrase:
            raise errors.BadInput("an empty phrase")
        vocab.encode(phrase)
    except errors.BadInput as error:
        raise errors.BadInput(f"{where}: {error}; correct or remove the line") from error
    sure = line.number("confidence") if "confidence" in line else None
    mended = (mending.SPACES,) if phrase != line.values["phrase"] else ()
    return phrase_clips.Row(
        path, sequence_id, signer, phrase, confidence=sure, name=name, mended=mended
    )


def divide(
    rows: Sequence[phrase_clips.Row], options: Options
) -> tuple[list[phrase_clips.Row], splits.Split]:
    """The rows with the parts they fell into."""
    split = splits.assign(
        options.split,
        signers=[row.signer for row in rows],
        phrases=[row.phrase for row in rows],
        files=[row.path for row in rows],
        validation=options.validation,
        test=options.test,
        seed=options.seed,
    )
    divided = zip(rows, split.parts, strict=True)
    return [dataclasses.replace(row, part=part) for row, part in divided], split


def _write(
    out: files.Path,
    stored: Sequence[spool.Stored],
    report: dict,
    options: Options,
    origin: str,
    run: workers.Run,
) -> None:
    # Here, because the reading processes need none of it.
    import tensorflow_datasets as tfds

    from aslx.prepare import shards

    points = len(landmarks.selection(options.keep.selection).points)
    features = {
        "landmarks": tfds.features.Tensor(
            shape=(None, points, 3), dtype=np.float16, encoding=tfds.features.Encoding.BYTES
        ),
        "phrase": tfds.features.Text(),
        "sequence_id": np.int64,
        "signer": np.int64,
        "file": tfds.features.Text(),
    }
    if any(waiting.clip.row.confidence is not None for waiting in stored):
        features["confidence"] = np.float32
    metadata = {
        "task": "transcription",
        "selection": options.keep.selection,
        "source": origin,
        "split": {
            "asked": options.split,
            "done": report["split"],
            "note": report["note"],
            "validation": options.validation,
            "test": options.test,
            "seed": options.seed,
        },
        "keep": dataclasses.asdict(options.keep),
        "version": shards.VERSION,
    }
    names = {str(s.clip.row.signer): s.clip.row.name for s in stored if s.clip.row.name}
    if names:
        metadata["signers"] = dict(sorted(names.items()))
    shards.write(
        out,
        name=NAME,
        description="Fingerspelled phrases as MediaPipe Holistic landmarks, NaN where lost.",
        features=features,
        metadata=metadata,
        parts={p: [s for s in stored if s.clip.row.part == p] for p in report["parts"]},
        example=functools.partial(_example, points),
        size=lambda waiting: waiting.clip.frames * points * 3 * 2,
        run=run,
        shards=options.shards,
    )


def _example(points: int, waiting: spool.Stored) -> dict:
    return phrase_clips.example(waiting.clip, waiting.load(points))
