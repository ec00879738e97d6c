"""Clips or images of known classes -> shards: what all classifiers' data sets have in common."""

import collections
import dataclasses
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import tqdm

from aslx.datasets import splits, workers

_CHUNK = 256  # Clips or images that a process reads at a time.


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


@dataclasses.dataclass(frozen=True)
class Item:
    """One clip or image."""

    file: str  # Unique; what the record calls it.
    label: str
    source: Any  # What `Kind.read` takes.
    signer: int = -1
    part: str | None = None  # Where the data say so.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
    """What a data set holds: its name, the array of a record, and how to read it."""

    name: str
    array: str  # "landmarks", "keypoints" or "image".
    shape: tuple  # None: any number of frames.
    dtype: Any
    read: Callable[[Any], np.ndarray]
    metadata: dict


def prepare(
    scratch: pathlib.Path,
    kind: Kind,
    items: Sequence[Item],
    classes: Sequence[str],
    options: Options,
    origin: str,
) -> dict:
    """Writes the data set as `scratch`/out, with a figure and summary.json, which is also the
    answer. ValueError names what is wrong, and where."""
    there = {item.label for item in items}
    if len(there) < 2:
        names = ", ".join(sorted(there)) or "none"
        raise ValueError(f"{origin} has examples of {len(there)} class(es) ({names}): needs two")
    items, method, note = divide(items, options)
    stored = _read(scratch / "arrays", kind.read, items, options.processes or workers.usable())
    report = _summarise(items, classes, method, note)
    split = dataclasses.asdict(options) | {"done": method, "note": note}
    metadata = {"task": "classification", "classes": list(classes), "source": origin}
    _write(scratch / "out", kind, stored, classes, metadata | {"split": split}, options.shards)
    from aslx.datasets import figures

    (scratch / "out" / "figures").mkdir()
    counts = {part: report["parts"][part]["classes"] for part in report["parts"]}
    figures.classes(counts, classes).savefig(scratch / "out" / "figures" / "classes.png")
    (scratch / "out" / "summary.json").write_text(json.dumps(report, indent=1) + "\n")
    return report


def divide(items: Sequence[Item], options: Options) -> tuple[list[Item], str, str]:
    """The items with their parts, how they were divided, and why not as asked."""
    free = [item for item in items if item.part is None]
    named = {item.part for item in items if item.part is not None}
    test = 0.0 if "test" in named else options.test
    known = all(item.signer >= 0 for item in items)
    if options.split == "signer" and not known:
        raise ValueError("--split signer: these data do not say who signs")
    method = options.split
    if method == "auto":
        method = "signer" if known else "stratified"
    labels, note = [item.label for item in free], ""
    if method == "stratified":
        parts = splits.stratified(labels, options.validation, test, options.seed)
    else:
        wish: splits.Method = "signer" if method == "signer" else "none"
        files = [item.file for item in free]
        split = splits.assign(
            wish,
            signers=[item.signer for item in free],
            phrases=labels,
            files=files,
            validation=options.validation,
            test=test,
            seed=options.seed,
        )
        parts, method, note = split.parts, split.method, split.note
    told = iter(parts)
    return (
        [item if item.part else dataclasses.replace(item, part=next(told)) for item in items],
        method,
        note,
    )


def _read(
    folder: pathlib.Path, read: Callable, items: Sequence[Item], processes: int
) -> list[tuple[Item, pathlib.Path, int]]:
    """Every array once, into files of a few hundred: item, file, position."""
    folder.mkdir()
    chunks = [items[i : i + _CHUNK] for i in range(0, len(items), _CHUNK)]
    tasks = [(folder / f"{i:05d}", read, chunk) for i, chunk in enumerate(chunks)]
    with tqdm.tqdm(total=len(items), desc="reading", unit=" files", disable=None) as bar:
        for i, _ in workers.run(_read_chunk, tasks, processes):
            bar.update(len(chunks[i]))
    return [(item, file, i) for file, _, chunk in tasks for i, item in enumerate(chunk)]


def _read_chunk(file: pathlib.Path, read: Callable, items: Sequence[Item]) -> None:
    with open(file, "wb") as f:
        np.savez(f, *[read(item.source) for item in items])


def _write(
    out: pathlib.Path,
    kind: Kind,
    stored: Sequence[tuple[Item, pathlib.Path, int]],
    classes: Sequence[str],
    metadata: dict,
    number: int | None,
) -> None:
    import tensorflow_datasets as tfds

    from aslx.datasets import shards

    tensor = tfds.features.Tensor(
        shape=kind.shape, dtype=kind.dtype, encoding=tfds.features.Encoding.BYTES
    )
    features = {kind.array: tensor, "label": tfds.features.ClassLabel(names=list(classes))}
    features |= {"signer": np.int64, "file": tfds.features.Text()}

    def example(at: tuple[Item, pathlib.Path, int]) -> tuple[str, dict]:
        item, file, i = at
        with np.load(file) as arrays:
            fields = {kind.array: arrays[f"arr_{i}"], "label": item.label}
        return item.file, fields | {"signer": item.signer, "file": item.file}

    shards.write(
        out,
        name=kind.name,
        description=f"{kind.array} of {len(classes)} classes.",
        features=features,
        metadata=metadata | kind.metadata | {"version": shards.VERSION},
        parts={
            part: [at for at in stored if at[0].part == part]
            for part in splits.PARTS
            if any(at[0].part == part for at in stored)
        },
        example=example,
        size=lambda at: at[1].stat().st_size // _CHUNK,
        shards=number,
    )


def _summarise(items: Sequence[Item], classes: Sequence[str], method: str, note: str) -> dict:
    parts = {}
    for part in splits.PARTS:
        mine = [item for item in items if item.part == part]
        if mine:
            counts = collections.Counter(item.label for item in mine)
            signers = {item.signer for item in mine} - {-1}
            of = {name: counts[name] for name in classes}
            parts[part] = {"clips": len(mine), "signers": len(signers), "classes": of}
    return {"split": method, "note": note, "dropped": {}, "parts": parts}


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
    return "\n".join(lines)
