"""Clips or images of known classes -> shards: what all classifiers' data sets have in common."""

import collections
import dataclasses
import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from aslx import errors
from aslx.data import records
from aslx.prepare import duplicates, splits, workers
from aslx.readers import folders, mending
from aslx.storage import files


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Which part of the data trains."""

    split: Literal["auto", "signer", "stratified", "none"] = "auto"
    """auto: by signer where signers are known, else stratified: the same share of every class, at
    random, which flatters where clips or frames of one recording fall into different parts."""
    validation: float = 0.1
    """Share to validate on."""
    test: float = 0.2
    """Share to test on, where the data name no test part themselves."""
    seed: int = 0
    """Of every random draw."""
    shards: int | None = None
    """Files for each part; by default one for 128 MB, and up to 8 where there is less."""
    processes: int | None = None
    """Processes that read; by default one for each core."""
    skip_unreadable: bool = False
    """Leave out clips or images that cannot be read, and count them; else they are named, and
    nothing is written."""


class Unreadable(errors.BadInput):
    """A clip or an image that cannot be read."""


class Empty(errors.BadInput):
    """A clip that shows nothing. It is left out and counted, by the words of the error."""


@dataclasses.dataclass(frozen=True)
class Item:
    """One clip or image."""

    file: str  # Unique; what the record calls it.
    label: str
    source: Any  # What `Kind.read` takes.
    signer: int = -1
    part: str | None = None  # Where the data say so.


@dataclasses.dataclass(frozen=True)
class Found:
    """What a source holds, and what of it is left out."""

    items: Sequence[Item]
    dropped: Mapping[str, int] = dataclasses.field(default_factory=dict)  # How many, by what.
    notes: Sequence[str] = ()  # What else a user should know.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
    """What a data set holds: its name, the array of a record, and how to read it."""

    name: str
    array: str  # "landmarks", "keypoints" or "image".
    shape: tuple  # None: any number of frames.
    dtype: Any
    size: int  # Bytes of such an array, about.
    read: Callable[[Any], np.ndarray]
    metadata: dict
    mended: Callable[[Any], Sequence[str]] | None = None
    """What reading a source puts right: words of `mending`. Asked once it is read."""


@dataclasses.dataclass(frozen=True)
class Division:
    """Items that each have a part, how they were divided, and why not as asked."""

    items: Sequence[Item]
    method: str
    note: str
    found: Found


def image(name: str, shape: tuple[int, int, int], read: Callable[..., np.ndarray]) -> Kind:
    """Images of one shape; `read` takes a source, and the shape."""
    return Kind(
        name=name,
        array="image",
        shape=shape,
        dtype=np.uint8,
        size=int(np.prod(shape)),
        read=functools.partial(read, shape=shape),
        metadata={"size": list(shape)},
    )


def read(kind: Kind, item: Item) -> np.ndarray:
    """The array of an item; `Unreadable`, or `Empty`, says why there is none."""
    try:
        return kind.read(item.source)
    except Empty:
        raise
    except errors.BadInput as error:
        raise Unreadable(str(error)) from error


def left_out(found: Found) -> list[str]:
    """What is left out, in words."""
    return [f"left out {count:,}: {what}" for what, count in sorted(found.dropped.items())]


def prepare(
    scratch: files.Path,
    kind: Kind,
    division: Division,
    classes: Sequence[str],
    options: Options,
    origin: str,
) -> dict:
    """Writes the data set as `scratch`/out, with a figure and summary.json, which is also the
    answer. BadInput names what is wrong, and where."""
    items = division.items
    report = _summarise(division, classes)
    split = dataclasses.asdict(options) | {"done": division.method, "note": division.note}
    metadata = {"task": "classification", "classes": list(classes), "source": origin}
    mended = _write(scratch / "out", kind, items, classes, metadata | {"split": split}, options)
    report["mended"] = dict(sorted(mended.items()))
    if kind.shape[0] is None:
        report["longest clip"] = _longest(scratch / "out", report["parts"])
    report["duplicates"] = duplicates.count(_digests(scratch / "out", kind, report["parts"]))
    from aslx.prepare import dataset_figures

    (scratch / "out" / "figures").mkdir()
    counts = {part: report["parts"][part]["classes"] for part in report["parts"]}
    with files.writing(scratch / "out" / "figures" / "classes.png") as f:
        dataset_figures.classes(counts, classes).savefig(f)
    (scratch / "out" / "summary.json").write_text(json.dumps(report, indent=1) + "\n")
    return report


def _longest(folder: files.Path, parts: Iterable[str]) -> int:
    """Frames."""
    return max(int(records.Records(str(folder), part).index.frames.max()) for part in parts)


def _digests(
    folder: files.Path, kind: Kind, parts: Iterable[str]
) -> Iterator[tuple[str, str, bytes]]:
    """Part, label and digest of every record."""
    for part in parts:
        data = records.Records(str(folder), part)
        for i in range(len(data)):
            record = data[i]
            array = np.frombuffer(record[kind.array].bytes_list.value[0], np.uint8)
            yield part, str(record["label"].int64_list.value[0]), duplicates.digest(array)


def divide(found: Found, options: Options, origin: str) -> Division:
    """BadInput where there is nothing to tell apart, or where the split cannot be as asked."""
    items = found.items
    there = {item.label for item in items}
    if len(there) < 2:
        names = ", ".join(sorted(there)) or "none"
        raise errors.BadInput(
            f"{origin} has examples of {len(there)} class(es) ({names}): needs two"
        )
    for name in there:
        if not name.strip() or not folders.plain(name):
            raise errors.BadInput(f"{origin} has a class named {name!a}: give it a plain name")
    free = [item for item in items if item.part is None]
    named = {item.part for item in items if item.part is not None}
    test = 0.0 if "test" in named else options.test
    validation = 0.0 if "validation" in named else options.validation
    known = all(item.signer >= 0 for item in items)
    if options.split == "signer" and not known:
        raise errors.BadInput("--split signer: these data do not say who signs")
    method = options.split
    if method == "auto":
        method = "signer" if known else "stratified"
    labels, note = [item.label for item in free], ""
    unknown = sum(item.signer < 0 for item in items)
    if options.split == "auto" and 0 < unknown < len(items):
        note = f"nobody says who signs in {unknown} of {len(items)} clips"
    if method == "stratified":
        parts = splits.stratified(labels, validation, test, options.seed)
    else:
        wish: splits.Method = "signer" if method == "signer" else "none"
        files = [item.file for item in free]
        split = splits.assign(
            wish,
            signers=[item.signer for item in free],
            phrases=labels,
            files=files,
            validation=validation,
            test=test,
            seed=options.seed,
        )
        parts, method, note = split.parts, split.method, split.note
    told = iter(parts)
    placed = [item if item.part else dataclasses.replace(item, part=next(told)) for item in items]
    return Division(placed, method, note, found)


def _write(
    out: files.Path,
    kind: Kind,
    items: Sequence[Item],
    classes: Sequence[str],
    metadata: dict,
    options: Options,
) -> collections.Counter[str]:
    import tensorflow_datasets as tfds

    from aslx.prepare import shards

    tensor = tfds.features.Tensor(
        shape=kind.shape, dtype=kind.dtype, encoding=tfds.features.Encoding.BYTES
    )
    features = {kind.array: tensor, "label": tfds.features.ClassLabel(names=list(classes))}
    features |= {"signer": np.int64, "file": tfds.features.Text()}
    return shards.write(
        out,
        name=kind.name,
        description=f"{kind.array} of {len(classes)} classes.",
        features=features,
        metadata=metadata | kind.metadata | {"version": shards.VERSION},
        parts={
            part: [item for item in items if item.part == part]
            for part in splits.PARTS
            if any(item.part == part for item in items)
        },
        example=functools.partial(_example, kind),
        mended=functools.partial(_mended, kind),
        size=lambda item: kind.size,
        run=functools.partial(workers.run, processes=options.processes or workers.usable()),
        shards=options.shards,
    )


def _example(kind: Kind, item: Item) -> dict:
    return {
        kind.array: read(kind, item),
        "label": item.label,
        "signer": item.signer,
        "file": item.file,
    }


def _mended(kind: Kind, item: Item) -> Sequence[str]:
    return kind.mended(item.source) if kind.mended else ()


def _summarise(division: Division, classes: Sequence[str]) -> dict:
    parts = {}
    for part in splits.PARTS:
        mine = [item for item in division.items if item.part == part]
        if mine:
            counts = collections.Counter(item.label for item in mine)
            signers = {item.signer for item in mine} - {-1}
            of = {name: counts[name] for name in classes}
            parts[part] = {"clips": len(mine), "signers": len(signers), "classes": of}
    told = {"split": division.method, "note": division.note, "parts": parts}
    return told | {"dropped": dict(division.found.dropped), "notes": list(division.found.notes)}


def text(report: dict) -> str:
    """The report for a terminal."""
    lines = [f"split by {report['split']}" + f" ({report['note']})" * bool(report["note"])]
    if report["split"] == "stratified":
        lines += ["  no signer is held out: clips of one recording may lie in different parts"]
    for part, counts in report["parts"].items():
        numbers = list(counts["classes"].values())
        signers = f", {counts['signers']} signers" if counts["signers"] else ""
        lines += [
            f"  {part:<10} {counts['clips']:>8,} of {sum(map(bool, numbers))} classes, "
            f"{min(numbers)} to {max(numbers)} of each{signers}"
        ]
    if "longest clip" in report:
        lines += [f"  longest clip: {report['longest clip']:,} frames"]
    told = [*left_out(Found((), report["dropped"])), *mending.said(report["mended"])]
    told += report["notes"]
    lines += [f"  {line}" for line in [*told, *duplicates.said(report["duplicates"])]]
    return "\n".join(lines)
