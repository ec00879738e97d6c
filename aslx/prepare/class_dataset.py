"""Clips or images of known classes -> shards: what all classifiers' data sets have in common."""

import collections
import dataclasses
import json
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from aslx import errors
from aslx.prepare import class_items, duplicates, options, splits, unreadable
from aslx.readers import folders, mending
from aslx.storage import files

if TYPE_CHECKING:  # The import of TensorFlow Datasets takes seconds, and readers do not need it.
    from aslx.prepare import shards


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(options.Options):
    """Which part of the data trains."""

    source: str
    """The folder of the classes."""
    split: Literal["auto", "signer", "stratified", "none"] = "auto"
    """auto: by signer where signers are known, else stratified: the same share of every class, at
    random. A stratified score flatters where clips or frames of one recording fall into different
    parts."""
    test: float = 0.2
    """Share to test on, where the data name no test part themselves."""
    skip_unreadable: bool = False
    """Leave out clips or images that cannot be read, and count them; by default they are named, and
    nothing is written."""

    def folder(self) -> pathlib.Path:
        """--source, on a disk."""
        return pathlib.Path(options.source(self.source, self.out)).resolve()

    def text(self, report: dict) -> str:
        """The report for a terminal."""
        return text(report)


def prepare(
    scratch: files.Path,
    kind: class_items.Kind,
    found: class_items.Found,
    asked: Options,
    origin: str,
    classes: Sequence[str] | None = None,
    fitted: Callable[[Sequence[class_items.Item]], class_items.Kind] | None = None,
) -> dict:
    """Writes the data set as `scratch`/out, with a figure and summary.json, which is also the
    answer. `classes` are those of the items where they are None; `fitted`, of the items that train,
    replaces `kind`.

    Where an item cannot be read, all such items are looked for: they are named in a BadInput or, as
    the options say, left out. Items that show nothing are left out.
    """
    try:
        return _build(scratch, kind, found, asked, origin, classes, fitted)
    except (class_items.Unreadable, class_items.Empty):
        rest = unreadable.without(found, kind, asked.pool(), skip=asked.skip_unreadable)
        if rest is found:
            raise
    shutil.rmtree(scratch / "out", ignore_errors=True)
    return _build(scratch, kind, rest, asked, origin, classes, fitted)


def _build(
    scratch: files.Path,
    kind: class_items.Kind,
    found: class_items.Found,
    asked: Options,
    origin: str,
    classes: Sequence[str] | None,
    fitted: Callable[[Sequence[class_items.Item]], class_items.Kind] | None,
) -> dict:
    import tensorflow_datasets as tfds

    from aslx.prepare import dataset_figures, shards

    items, method, note = divide(found, asked, origin)
    classes = sorted({item.label for item in found.items}) if classes is None else classes
    parts, out = splits.grouped(items, lambda item: item.part), scratch / "out"
    (out / "figures").mkdir(parents=True)
    if fitted:
        kind = fitted(parts.get("train", ()))
    told = ("split", "validation", "test", "seed", "shards", "processes", "skip_unreadable")
    split = {name: getattr(asked, name) for name in told}
    split |= {"done": method, "note": note}
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
    files.write(out / "summary.json", json.dumps(report, indent=1) + "\n")
    return report


def _report(
    parts: Mapping[str, Sequence[class_items.Item]],
    classes: Sequence[str],
    found: class_items.Found,
    written: Mapping[str, Sequence["shards.Shard"]],
) -> dict[str, Any]:
    """What each part holds, and what was left out or put right."""
    mended, counted = collections.Counter(), {}
    for part, items in parts.items():
        labels = collections.Counter(item.label for item in items)
        signers = {item.signer for item in items} - {-1}
        of = {name: labels[name] for name in classes}
        counted[part] = {"clips": len(items), "signers": len(signers), "classes": of}
        for shard in written[part]:
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

    BadInput where there is nothing to tell apart, or where the split cannot be as asked."""
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
    named = {item.part for item in items}
    validation, test = (
        0.0 if part in named else share
        for part, share in (("validation", asked.validation), ("test", asked.test))
    )
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
    told = iter(parts)
    placed = [item if item.part else dataclasses.replace(item, part=next(told)) for item in items]
    return placed, method, note


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
    told = [*class_items.left_out(report["dropped"]), *mending.said(report["mended"])]
    told += [*report["notes"], *duplicates.said(report["duplicates"])]
    return "\n".join([*lines, *(f"  {line}" for line in told)])
