"""Figures of a run and of an evaluation."""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib.colors
import matplotlib.figure
import numpy as np

from aslx.figures import drawing
from aslx.storage import files

_CAPS: dict[str, Any] = {"ecolor": "tab:gray", "capsize": 2}  # Of error bars.


def save(figure: matplotlib.figure.Figure, path: files.Path) -> None:
    png = io.BytesIO()
    figure.savefig(png, dpi=110, bbox_inches="tight")
    files.write(path, png.getvalue())


def new(
    columns: int = 1, width: float = 8.0, height: float = 4.5
) -> tuple[matplotlib.figure.Figure, Any]:
    """A figure without a window, of a size in inches, and its axes."""
    figure = matplotlib.figure.Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(1, columns)


def curves(lines: Sequence[dict], directory: files.Path) -> None:
    """loss.png, score.png and, of a classifier, accuracy.png from the lines of metrics.jsonl."""
    for name in ("loss", "score", "accuracy"):
        figure, axes = new()
        if name == "score":
            _scores_by_step(axes, lines)
        else:
            _smoothed(axes, *_series(lines, name))
            _line(axes, *_series(lines, f"eval_{name}"), label="evaluation", color="tab:orange")
        axes.set(xlabel="step", ylabel=name, title=f"{name} by step")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
        if axes.lines or name != "accuracy":
            save(figure, directory / f"{name}.png")


def _series(lines: Sequence[dict], *names: str) -> list[np.ndarray]:
    """The steps of the lines that have all of these values, and the values."""
    found = [[line[name] for name in ("step", *names)] for line in lines if {*names} <= {*line}]
    return list(np.array(found, float).reshape(-1, 1 + len(names)).T)


def _line(axes: Any, steps: np.ndarray, values: np.ndarray, **style: Any) -> None:
    if len(steps):
        axes.plot(steps, values, marker="o" if len(steps) < 50 else None, markersize=3, **style)


def _smoothed(axes: Any, steps: np.ndarray, values: np.ndarray) -> None:
    """The readings of training, each the mean since the one before, and above them, if there are
    many, the mean of neighbours."""
    beside = len(steps) // 40  # Readings on each side.
    if not beside:
        _line(axes, steps, values, label="training", color="tab:blue")
        return
    weights = np.where(np.isfinite(values), np.maximum(np.diff(steps, prepend=0), 1), 0)
    window = np.ones(2 * beside + 1)
    total = np.convolve(np.where(weights > 0, values, 0) * weights, window)[beside:-beside]
    count = np.convolve(weights, window)[beside:-beside]
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    axes.plot(steps, values, color="tab:blue", alpha=0.3, linewidth=0.8, label="training")
    label = f"training, mean of {len(window)} readings"
    axes.plot(steps, mean, color="tab:blue", label=label)


def _scores_by_step(axes: Any, lines: Sequence[dict]) -> None:
    """The score of each evaluation with its 95 % interval. Clips of a single signer have none: its
    ends are the score. Without intervals the axis has the whole range of scores, so that a small
    change looks small."""
    steps, scores = _series(lines, "score")
    _line(axes, steps, scores, label="score", color="tab:blue")
    at, low, high = _series(lines, "score_low", "score_high")
    if (low < high).any():
        style = {"color": "tab:blue", "alpha": 0.2, "linewidth": 2}
        axes.fill_between(at, low, high, label="95 % interval", **style)
    elif len(scores):
        axes.set_ylim(min([0.0, *scores]), 1.0)


def transcription(scores: dict, directory: files.Path) -> None:
    """scores.png, characters.png and calibration.png of `metrics.transcription` and `.analysis`."""
    _scores(scores, directory / "scores.png")
    _characters(scores, directory / "characters.png")
    _calibration(scores["calibration"], directory / "calibration.png")


def _scores(scores: dict, path: files.Path) -> None:
    """The score by signer, phrase length and speed of signing, each with its 95 % interval."""
    figure, (left, *others) = new(3, width=14.4)
    rows = scores["by_signer"]
    names = [f"{row['signer']} ({row['clips']})" for row in rows]
    left.barh(names, [row["score"] for row in rows], xerr=_bars(rows), color="tab:blue", **_CAPS)
    left.set_xlim(_lowest(rows), 1.0)
    left.axvline(scores["score"], color="black", linewidth=1)
    left.set(xlabel="score", ylabel="signer (clips)", title=f"by signer; all {scores['score']:.3f}")
    left.tick_params(axis="y", labelsize=max(3, min(9, 220 // max(1, len(rows)))))
    groups = {
        "characters of the phrase": scores["by_length"],
        "frames a character": scores["by_frames_a_character"],
    }
    for axes, (unit, rows) in zip(others, groups.items(), strict=True):
        at = range(len(rows))
        axes.errorbar(at, [row["score"] for row in rows], _bars(rows), marker="o", **_CAPS)
        axes.set_xticks(at, [f"{_range(row)}\n{row['clips']}" for row in rows], fontsize=8)
        axes.set(xlabel=f"{unit}; clips below", ylabel="score", title=f"by {unit}")
        axes.set_ylim(_lowest(rows), 1.0)
        axes.grid(alpha=0.3)
    save(figure, path)


def _lowest(rows: Sequence[dict]) -> float:
    return min(0.0, *(row["score_low"] for row in rows))


def _bars(rows: Sequence[dict]) -> np.ndarray:
    """The intervals in the form of Matplotlib's error bars: [2, N], how far below and above."""
    names = ("score", "score_low", "score_high")
    score, low, high = (np.array([row[name] for row in rows]) for name in names)
    return np.maximum([score - low, high - score], 0)


def _range(row: dict) -> str:
    first, below = row["from"], row["below"]
    if below is None:
        return f"{first}+"
    return f"{first}-{below - 1}" if below - 1 > first else f"{first}"


def _shares(counts: np.ndarray) -> np.ndarray:
    return counts / np.maximum(counts.sum(1, keepdims=True), 1)


def _characters(scores: dict, path: files.Path) -> None:
    """Each written character's shares of the characters that it was read as, and the worst pairs.

    The last row counts characters that were added, the last column characters that were dropped.
    """
    seen = sorted({c for a, b, _ in scores["confusion"] for c in (a, b) if c})
    place = {c: i for i, c in enumerate([*seen, ""])}
    counts = np.zeros((len(place), len(place)))
    for a, b, n in scores["confusion"]:
        counts[place[a], place[b]] = n
    side = 3.0 + 0.15 * len(place)
    figure = matplotlib.figure.Figure(figsize=(side + 4.5, side), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=[side, 3.2])
    left, share = figure.add_subplot(grid[:, 0]), _shares(counts)
    norm = matplotlib.colors.LogNorm(0.003, 1)
    image = left.imshow(np.where(share > 0, share, np.nan), cmap="viridis_r", norm=norm, zorder=3)
    figure.colorbar(image, ax=left, label="share of the row", shrink=0.7)
    of = [f"{_shown(c)} {int(n)}" for c, n in zip(place, counts.sum(1), strict=True)]
    left.set_xticks(range(len(place)), [*map(drawing.visible, seen), "dropped"])
    left.get_xticklabels()[-1].set_rotation(90)  # The one word.
    left.set_yticks(range(len(place)), [*of[:-1], f"added {int(counts[-1].sum())}"])
    left.tick_params(labelsize=7)
    left.grid(alpha=0.3)
    left.set(xlabel="read", ylabel="written, and how often", title="characters")
    for i, name in enumerate(("confused", "dropped_or_added")):
        axes, worst = figure.add_subplot(grid[i, 1]), scores[name][::-1]
        axes.barh(list(map(words, worst)), [row["count"] for row in worst], color="tab:red")
        axes.set(xlabel="times", title=name.replace("_", " "))
    save(figure, path)


def _shown(character: str) -> str:
    return "space" if character == " " else character


def words(row: dict) -> str:
    """An error of `metrics.analysis` in words."""
    written, read = _shown(row["written"]), _shown(row["read"])
    if not written:
        return f"{read} added"
    return f"{written} read as {read}" if read else f"{written} dropped"


def _calibration(found: dict, path: files.Path) -> None:
    """Reliability diagrams: the share of right answers at each confidence."""
    figure, panels = new(2)
    ylabels = {"characters": "share that was right", "clips": "score of the clips"}
    for axes, (name, ylabel) in zip(panels, ylabels.items(), strict=True):
        bins = found[name]["bins"]
        weight = np.array([row["weight"] for row in bins], float)
        axes.bar(
            [row["from"] for row in bins],
            0.25 * weight / max(1.0, weight.max(initial=0)),
            [row["to"] - row["from"] for row in bins],
            align="edge",
            color="tab:gray",
            alpha=0.4,
            label=f"how many {name} (highest bar: {weight.max(initial=0):,.0f})",
        )
        axes.plot([0, 1], [0, 1], color="black", linewidth=1, label="what it should be")
        sure, good = ([row[k] for row in bins] for k in ("confidence", "right"))
        axes.plot(sure, good, marker="o", markersize=4, color="tab:blue", label="what it was")
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel=f"confidence of {name}", ylabel=ylabel)
        axes.set_title(f"{name}: ECE {found[name]['ece']:.3f}")
        axes.grid(alpha=0.3)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, fontsize=7.5)
    save(figure, path)


def confusion(counts: np.ndarray, names: Sequence[str], title: str, path: files.Path) -> None:
    """Draws counts [C, C] as a square of blues: rows are the true classes."""
    side = 3.0 + 0.25 * min(len(names), 60)
    figure, axes = new(width=side, height=side)
    axes.imshow(_shares(counts), cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="answer", ylabel="class", title=title)
    if len(names) <= 60:
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
        for i, j in np.argwhere(counts).tolist():
            colour = "white" if 2 * counts[i, j] > counts[i].sum() else "black"
            axes.text(j, i, counts[i, j], ha="center", va="center", fontsize=7, color=colour)
    save(figure, path)
