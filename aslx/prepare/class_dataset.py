"""Clips or images of known classes -> shards: what all data sets for classifiers have in common."""

import collections
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from etils import epath

from aslx import errors
from aslx.prepare import class_items, duplicates, options, splits
from aslx.readers import folders, mending
from aslx.storage import files

if TYPE_CHECKING:  # The import of TensorFlow Datasets takes seconds, and readers do not need it.
    from aslx.prepare import shards


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(options.Options):
    """The source of a data set, and which part of it trains."""

    source: str
    """The folder of the classes."""
    split: Literal["auto", "signer", "stratified", "none"] = "auto"
    """auto: by signer where all signers are known, else stratified: the same share of every class,
    at random. A stratified score flatters where different parts hold clips or frames of one
    recording."""
    test: float = 0.2
    """Share to test on, where the source has no test part of its own."""
    skip_unreadable: bool = False
    """Leave out clips or images that cannot be read, and count them; by default they are named, and
    nothing is written."""

    def folder(self) -> pathlib.Path:
        """--source, on a disk."""
        return pathlib.Path(options.source(self.source, self.out)).resolve()

    def origin(self) -> str:
        """What metadata and errors call the source."""
        return self.folder().name

    @staticmethod
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
        facts = [*class_items.left_out(report["dropped"]), *mending.said(report["mended"])]
        facts += [*report["notes"], *duplicates.said(report["duplicates"])]
        return "\n".join([*lines, *(f"  {line}" for line in facts)])


def prepare(
    scratch: files.Path, kind: class_items.Kind, found: class_items.Found, asked: Options
) -> dict:
    """Writes the data set as `scratch`/out, with a figure, and answers the report.

    Where an item cannot be read, all such items are looked for: they are named in a BadInput or, as
    the options say, left out. Items that show nothing are left out.
    """
    try:
        return _build(scratch, kind, found, asked)
    except (class_items.Unreadable, class_items.Empty):
        rest = class_items.without(found, kind, asked.pool(), skip=asked.skip_unreadable)
        if rest is found:
            raise
    epath.Path(scratch / "out").rmtree(missing_ok=True)
    return _build(scratch, kind, rest, asked)


def _build(
    scratch: files.Path, kind: class_items.Kind, found: class_items.Found, asked: Options
) -> dict:
    import tensorflow_datasets as tfds

    from aslx.prepare import dataset_figures, shards

    origin = asked.origin()
    items, method, note = divide(found, asked, origin)
    classes = found.classes or sorted({item.label for item in found.items})
    parts, out = splits.grouped(items, lambda item: item.part), scratch / "out"
    (out / "figures").mkdir(parents=True)
    if kind.fit:
        kind = kind.fit(parts.get("train", ()))
    names = ("split", "validation", "test", "seed", "shards", "processes", "skip_unreadable")
    split = {name: getattr(asked, name) for name in names} | {"done": method, "note": note}
    metadata = {"task": "classification", "classes": list(classes), "source": origin}
    features = {
        kind.array: shards.array(kind.shape, kind.dtype),
        "label": tfds.features.ClassLabel(names=list(classes)),
        "signer": np.int64,
        "file": tfds.features.Text(),
    }
    written = shards.write(
        out,
        name=kind.name,
        description=f"{kind.array} of {len(classes)} classes.",
        features=features,
        metadata=metadata | {"split": split} | kind.metadata,
        parts=parts,
        example=kind.example,
        mended=kind.put_right,
        size=lambda item: kind.size,
        run=asked.pool(),
        shards=asked.shards,
    )
    report = {"split": method, "note": note, **_report(parts, classes, found, written)}
    if kind.shape[0] is None:
        frames = [shard.columns["frames"].max() for of in written.values() for shard in of]
        report["longest clip"] = int(max(frames))
    report["duplicates"] = shards.duplicates(written, "label")
    counts = {part: of["classes"] for part, of in report["parts"].items()}
    with files.writing(out / "figures" / "classes.png") as f:
        dataset_figures.classes(counts, classes).savefig(f)
    return report


def _report(
    parts: Mapping[str, Sequence[class_items.Item]],
    classes: Sequence[str],
    found: class_items.Found,
    written: Mapping[str, Sequence["shards.Shard"]],
) -> dict[str, Any]:
    """Counts of each part, and what was left out or put right."""
    counted = {}
    for part, items in parts.items():
        labels = collections.Counter(item.label for item in items)
        signers = {item.signer for item in items} - {-1}
        of = {name: labels[name] for name in classes}
        counted[part] = {"clips": len(items), "signers": len(signers), "classes": of}
    mended = collections.Counter()
    for shard in (shard for part in parts for shard in written[part]):
        mended.update(shard.mended)
    return {
        "parts": counted,
        "dropped": dict(found.dropped),
        "notes": list(found.notes),
        "mended": dict(sorted(mended.items())),
    }


def divide(
    found: class_items.Found, asked: Options, origin: str
) -> tuple[list[class_items.Item], str, str]:
    """Items that each have a part, how they were divided, and why not as asked.

    BadInput where there are fewer than two classes, or where the split cannot be as asked."""
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
    if not free:
        return [*items], "given", ""
    named = {item.part for item in items}
    validation = 0.0 if "validation" in named else asked.validation
    test = 0.0 if "test" in named else asked.test
    unknown = sum(item.signer < 0 for item in items)
    if asked.split == "signer" and unknown:
        raise errors.BadInput("--split signer: these data do not say who signs")
    labels, method, note = [item.label for item in free], asked.split, ""
    if method == "auto":
        method = "stratified" if unknown else "signer"
        if 0 < unknown < len(items):
            note = f"nobody says who signs in {unknown} of {len(items)} clips"
    if method == "stratified":
        parts = splits.stratified(labels, validation, test, asked.seed)
    else:
        split = splits.assign(
            method,
            signers=[item.signer for item in free],
            phrases=labels,
            files=[item.file for item in free],
            validation=validation,
            test=test,
            seed=asked.seed,
        )
        parts, method, note = split.parts, split.method, split.note
    rest = iter(parts)
    divided = [item if item.part else dataclasses.replace(item, part=next(rest)) for item in items]
    return divided, method, note
