"""A data set that TensorFlow Datasets knows by name -> shards: phrases, or isolated signs."""

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import tqdm

from aslx.prepare import (
    class_dataset,
    class_items,
    fingerspelling,
    options,
    phrase_clips,
    splits,
    spool,
    summary,
    tfds_source,
)
from aslx.readers import csv_files
from aslx.schema import landmarks, vocab
from aslx.storage import files

NO_TEXT = "no text"
_FRAMES = 80  # Of a clip of a sign, about.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tfds(options.Options):
    """A data set of TensorFlow Datasets with poses and texts or glosses, such as those of
    sign-language-datasets, into TFRecord shards.

    Texts become phrases, as of fingerspelling; glosses become isolated signs. TFDS downloads and
    prepares the data set where it is not prepared yet.
    """

    source: str
    """NAME, NAME/CONFIG or NAME:VERSION of a data set whose builder is registered with TFDS, by
    TFDS itself, by sign-language-datasets where it is installed, or by --module. A builder is code
    that runs; no path and no data set of a community is taken."""
    module: str | None = None
    """A module of Python to import first, which registers the builder."""
    config: str | None = None
    """A JSON object: the values of a new config of the builder, for one without poses in its own:
    '{"include_pose": "holistic", "include_video": false}'."""
    data_dir: str | None = None
    """Where TFDS keeps what it prepares; by default ~/tensorflow_datasets."""
    pose: str | None = None
    """The field with the poses; by default the only one."""
    phrase: str | None = None
    """The field with the phrases; by default the only one named text, phrase or transcription."""
    gloss: str | None = None
    """The field with the signs; by default the only label, or the one named gloss or sign."""
    signer: str | None = None
    """The field that says who signs; by default signer, signer_id or the like, if there is one."""
    keep: phrase_clips.Keep = phrase_clips.Keep()
    split: Literal["auto", "signer", "none"] = "auto"
    """auto: the parts of the data set, where it holds some apart; else signer-and-phrase, or of
    signs signer or stratified. signer: another split, by signers. none: all clips train."""

    def prepare(self, scratch: files.Path) -> dict:
        made = tfds_source.builder(self.source, self.module, self.config, self.data_dir)
        named = {name: getattr(self, name) for name in ("pose", "phrase", "gloss", "signer")}
        asked = tfds_source.fields(made.info.features, **named)
        what = f"{asked.word} as {'signs' if asked.gloss else 'phrases'}"
        who = asked.signer or "unknown"
        print(f"{made.info.full_name}: poses of {asked.pose}, {what}; signers: {who}")
        tfds_source.download(made, self.source)
        every, stored = _spooled(scratch, made, asked, self.keep)
        fingerspelling.check_some(every, stored, made.info.full_name)
        write = _signs if asked.gloss else _phrases
        return write(scratch, every, stored, self, made.info.full_name)

    @staticmethod
    def text(report: dict) -> str:
        """The report for a terminal."""
        return (summary if "sequences" in report else class_dataset.Options).text(report)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Signs(class_dataset.Options):
    """How signs are divided and written, where there is no folder of classes."""

    def origin(self) -> str:
        return self.source


def _spooled(
    scratch: files.Path, made: Any, asked: tfds_source.Fields, keep: phrase_clips.Keep
) -> tuple[list[phrase_clips.Clip], list[spool.Stored]]:
    """Reads all clips once: all of them, and those that are kept with their places in the spool."""
    file = scratch / "spool"
    points = landmarks.ALL.indices(*landmarks.selection(keep.selection).points)
    found: list[tuple[phrase_clips.Clip, int, int]] = []
    total = sum(split.num_examples for split in made.info.splits.values())
    with files.writing(file) as f:
        examples = tfds_source.examples(made, asked)
        for example in tqdm.tqdm(examples, "reading", total, unit=" clips", disable=None):
            clip, half_TN3 = _clip(example, points, made.info.full_name, asked.gloss, keep)
            found.append((clip, f.tell(), half_TN3.nbytes))
            if not clip.dropped:
                f.write(half_TN3.data)
    numbers, names = csv_files.signers([clip.row.name for clip, _, _ in found])
    every, stored = [], []
    for (clip, offset, size), number in zip(found, numbers, strict=True):
        row = dataclasses.replace(clip.row, signer=number, name=names.get(number, ""))
        every.append(dataclasses.replace(clip, row=row))
        if not clip.dropped:
            stored.append(spool.Stored(every[-1], file, offset, size))
    return every, stored


def _clip(
    example: tfds_source.Example,
    points: np.ndarray,
    origin: str,
    gloss: bool,
    keep: phrase_clips.Keep,
) -> tuple[phrase_clips.Clip, np.ndarray]:
    """A clip and its landmarks float16[T, N, 3]; BadInput where its text is in no alphabet."""
    where, word = f"{origin}, {example.name}", example.word.strip()
    row = phrase_clips.Row(
        example.name,
        csv_files.number_of(example.name),
        csv_files.UNKNOWN,
        word,
        part=example.part,
        name=example.signer,
    )
    points_TN3 = np.ascontiguousarray(example.points[:, points])
    if not word:
        return phrase_clips.Clip(row, dropped=NO_TEXT), points_TN3
    if not gloss:
        line = csv_files.Line(where, {"phrase": word})
        row = dataclasses.replace(row, phrase=phrase_clips.phrase(line, where, None))
    return phrase_clips.clip(row, points_TN3, example.mended, keep, where)


def _phrases(
    scratch: files.Path,
    every: Sequence[phrase_clips.Clip],
    stored: Sequence[spool.Stored],
    asked: Tfds,
    origin: str,
) -> dict:
    """Writes clips of phrases, as of Kaggle's fingerspelling."""
    rows = [waiting.clip.row for waiting in stored]
    apart = _apart(rows, asked)
    split = splits.assign(
        asked.split if asked.split != "auto" else "signer-and-phrase",
        signers=[row.signer for row in rows if row.part not in apart],
        phrases=[row.phrase for row in rows if row.part not in apart],
        files=[row.path for row in rows if row.part not in apart],
        validation=0 if "validation" in apart else asked.validation,
        test=0 if "test" in apart else asked.test,
        seed=asked.seed,
    )
    rest = iter(split.parts)
    parts = [row.part if row.part in apart else next(rest) for row in rows]
    if apart:
        split = splits.Split(tuple(parts), "given", split.note)
    of, kept = {}, []
    for waiting, part in zip(stored, parts, strict=True):
        row = dataclasses.replace(waiting.clip.row, part=part)
        dropped = "" if part else phrase_clips.NO_PART
        of[row.path] = dataclasses.replace(waiting.clip, row=row, dropped=dropped)
        if part:
            kept.append(dataclasses.replace(waiting, clip=of[row.path]))
    shares = {name: getattr(asked, name) for name in ("validation", "test", "seed", "shards")}
    how = fingerspelling.Options(out=asked.out, keep=asked.keep, **shares)
    alphabet = vocab.of_phrases([row.phrase for row in rows])
    found = [of.get(clip.row.path, clip) for clip in every]
    return fingerspelling.write(scratch, found, kept, split, how, alphabet, origin, asked.pool())


def _apart(rows: Sequence[phrase_clips.Row], asked: Tfds) -> set[str]:
    """The parts that the data set holds apart itself, where they are to be kept."""
    if asked.split != "auto":
        return set()
    return {row.part for row in rows if row.part is not None} - {splits.PARTS[0]}


def _signs(
    scratch: files.Path,
    every: Sequence[phrase_clips.Clip],
    stored: Sequence[spool.Stored],
    asked: Tfds,
    origin: str,
) -> dict:
    """Writes clips of isolated signs."""
    selection, rows = landmarks.selection(asked.keep.selection), [s.clip.row for s in stored]
    apart = _apart(rows, asked)
    whole = apart == {*splits.PARTS[1:]}  # Nothing is left to divide.
    items = [
        class_items.Item(
            row.path,
            row.phrase,
            waiting,
            row.signer,
            row.part if row.part in apart else splits.PARTS[0] if whole else None,
        )
        for waiting, row in zip(stored, rows, strict=True)
    ]
    names = {str(row.signer): row.name for row in rows if row.name}
    kind = class_items.Kind(
        name="isolated_signs",
        array="landmarks",
        shape=(None, len(selection.points), 3),
        dtype=np.float16,
        size=_FRAMES * len(selection.points) * 3 * 2,
        read=spool.Stored.load,
        mended=_mended,
        metadata={"selection": selection.name} | ({"signers": names} if names else {}),
    )
    shares = {name: getattr(asked, name) for name in ("validation", "test", "seed", "shards")}
    how = _Signs(
        source=origin, out=asked.out, split=asked.split, processes=asked.processes, **shares
    )
    dropped = collections.Counter(clip.dropped for clip in every if clip.dropped)
    return class_dataset.prepare(scratch, kind, class_items.Found(items, dropped), how)


def _mended(waiting: spool.Stored) -> Sequence[str]:
    return waiting.clip.mended
