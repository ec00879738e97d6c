"""The report of fingerspelling data: what was kept, what was dropped and why."""

import collections
from collections.abc import Mapping, Sequence

import numpy as np

from aslx.prepare import duplicates, phrase_clips, splits
from aslx.readers import csv_files, mending

_SHORT = 1.0  # Frames a character that a phrase needs at least (the transformer baseline).


def summarise(
    found: Sequence[phrase_clips.Clip], split: splits.Split, same: Mapping[str, int]
) -> dict:
    """Counts and distributions as plain JSON values; `same` is from `duplicates.count`."""
    kept = [clip for clip in found if not clip.dropped]
    reasons = collections.Counter(clip.dropped for clip in found if clip.dropped)
    lengths = np.array([len(clip.row.phrase) for clip in kept])
    frames = np.array([clip.frames for clip in kept])
    return {
        "sequences": len(found),
        "kept": len(kept),
        "dropped": dict(sorted(reasons.items())),
        "split": split.method,
        "note": split.note,
        "parts": {
            part: _counts(of)
            for part, of in splits.grouped(kept, lambda clip: clip.row.part).items()
        },
        "all": _counts(kept),
        "mended": dict(sorted(collections.Counter(m for c in kept for m in c.mended).items())),
        "unknown signers": sum(clip.row.signer == csv_files.UNKNOWN for clip in kept),
        "duplicates": dict(same),
        "fewer frames than characters": int((frames < _SHORT * lengths).sum()),
        "frames without a hand": _share(sum(clip.no_hand for clip in kept), frames.sum()),
        "clips that the right hand dominates": _share(
            sum(clip.right >= clip.left for clip in kept), len(kept)
        ),
        "phrase length": distribution(lengths),
        "frames": distribution(frames),
        "frames a character": distribution(frames / lengths),
    }


def _counts(of: Sequence[phrase_clips.Clip]) -> dict:
    return {
        "clips": len(of),
        "signers": len({clip.row.signer for clip in of} - {csv_files.UNKNOWN}),
        "phrases": len({clip.row.phrase for clip in of}),
        "characters": sum(len(clip.row.phrase) for clip in of),
        "frames": sum(clip.frames for clip in of),
    }


def _share(part: int, whole: int) -> float:
    return round(float(part / whole), 4)


def distribution(values: np.ndarray, digits: int = 2) -> dict[str, float]:
    """Mean, standard deviation and quartiles, rounded."""
    low, median, high = np.percentile(values, (25, 50, 75))
    numbers = {"mean": values.mean(), "std": values.std(), "min": values.min()}
    numbers |= {"p25": low, "median": median, "p75": high, "max": values.max()}
    return {name: round(float(number), digits) for name, number in numbers.items()}


def text(report: dict) -> str:
    """The report for a terminal."""
    lines = [f"{report['kept']:,} of {report['sequences']:,} sequences kept"]
    lines += [f"  dropped {n:,}: {reason}" for reason, n in report["dropped"].items()]
    lines += [f"  {line}" for line in mending.said(report["mended"])]
    lines += [f"  {line}" for line in duplicates.said(report["duplicates"])]
    if unknown := report["unknown signers"]:
        lines += [f"  {unknown:,} clip{'s' * (unknown != 1)} of unknown signers, taken for one"]
    lines += [f"  split by {report['split']}" + f" ({report['note']})" * bool(report["note"])]
    columns = ("clips", "signers", "phrases", "characters", "frames")
    lines += ["", "".join(["            ", *(f"{c:>12}" for c in columns)])]
    for part, counts in (report["parts"] | {"all": report["all"]}).items():
        lines += ["".join([f"  {part:<10}", *(f"{counts[c]:>12,}" for c in columns)])]
    measures = ("mean", "std", "min", "p25", "median", "p75", "max")
    lines += ["", "".join(["                      ", *(f"{m:>8}" for m in measures)])]
    for name in ("phrase length", "frames", "frames a character"):
        lines += ["".join([f"  {name:<20}", *(f"{report[name][m]:>8.1f}" for m in measures)])]
    lines += [""]
    for name in ("frames without a hand", "clips that the right hand dominates"):
        lines += [f"  {name}: {report[name]:.1%}"]
    if short := report["fewer frames than characters"]:
        lines += [f"  clips of fewer frames than characters: {short:,} (kept)"]
    return "\n".join(lines)
