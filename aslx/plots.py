"""Figures of a run and of an evaluation."""

import io
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.figure
import numpy as np

from aslx import files

WIDTH, HEIGHT = 8.0, 4.5  # Inches.


def save(figure: matplotlib.figure.Figure, path: files.Path) -> None:
    png = io.BytesIO()
    figure.savefig(png, dpi=110, bbox_inches="tight")
    files.write(path, png.getvalue())


def new(columns: int = 1) -> tuple[matplotlib.figure.Figure, Any]:
    """A figure without a window, and its axes."""
    figure = matplotlib.figure.Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    return figure, figure.subplots(1, columns)


def curves(lines: Sequence[dict], directory: files.Path) -> None:
    """loss.png, score.png and, of a classifier, accuracy.png from the lines of metrics.jsonl."""
    figures = {"loss": ("loss", "eval_loss"), "score": ("score",)}
    if any("accuracy" in line for line in lines):
        figures["accuracy"] = ("accuracy", "eval_accuracy")
    for name, series in figures.items():
        figure, axes = new()
        for key in series:
            points = [(line["step"], line[key]) for line in lines if key in line]
            if points:
                marker = "o" if len(points) < 50 else None
                axes.plot(*zip(*points, strict=True), marker=marker, markersize=3, label=key)
        axes.set(xlabel="step", ylabel=name, title=f"{name} by step")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
        save(figure, directory / f"{name}.png")


def transcription(examples: Sequence[dict], scores: dict, path: files.Path) -> None:
    """The score by signer, and by the phrase's length."""
    figure, (left, right) = new(2)
    signers = _scores(examples, lambda row: row["signer"])
    order = sorted(signers, key=lambda s: signers[s][0])
    left.barh([str(s) for s in order], [signers[s][0] for s in order], color="tab:blue")
    left.set_xlim(min(0.0, *(v for v, _ in signers.values())), 1.0)
    left.axvline(scores["score"], color="black", linewidth=1)
    left.set(xlabel="score", ylabel="signer", title=f"by signer; all {scores['score']:.3f}")
    left.tick_params(axis="y", labelsize=max(3, min(9, 220 // max(1, len(order)))))
    by_length = _scores(examples, lambda row: len(row["target"]) // 4 * 4)
    lengths = sorted(by_length)
    right.plot([n + 1.5 for n in lengths], [by_length[n][0] for n in lengths], marker="o")
    right.set(xlabel="characters of the phrase", ylabel="score", title="by length")
    right.grid(alpha=0.3)
    save(figure, path)


def confusion(counts: np.ndarray, names: Sequence[str], title: str, path: files.Path) -> None:
    """Counts [C, C] as a square of blues: rows are the true classes."""
    side = 3.0 + 0.25 * min(len(names), 60)
    figure = matplotlib.figure.Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(counts / np.maximum(counts.sum(1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="answer", ylabel="class", title=title)
    if len(names) <= 60:
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
        for i, j in np.argwhere(counts).tolist():
            colour = "white" if 2 * counts[i, j] > counts[i].sum() else "black"
            axes.text(j, i, counts[i, j], ha="center", va="center", fontsize=7, color=colour)
    save(figure, path)


def _scores(examples: Sequence[dict], group: Callable[[dict], int]) -> dict[int, tuple[float, int]]:
    """(score, clips) of each group."""
    out = {}
    for key in {group(row) for row in examples}:
        rows = [row for row in examples if group(row) == key]
        total = sum(len(row["target"]) for row in rows)
        out[key] = (total - sum(row["edits"] for row in rows)) / max(1, total), len(rows)
    return out
