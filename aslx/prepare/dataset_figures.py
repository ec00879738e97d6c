"""Figures of a prepared data set: its characters or classes, its lengths, and some clips."""

import collections
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from aslx.figures import drawing
from aslx.prepare import phrase_clips
from aslx.schema import landmarks, vocab

_STRIPS, _POSES = 4, 14  # Clips drawn as strips, and hands in a strip.
_MOVING, _STEP, _FPS, _STEPS = 3, 3, 10, 60  # Clips that move: every third frame, six seconds.
Sample = tuple[phrase_clips.Clip, np.ndarray]  # A clip and its landmarks f16[T, N, 3].


def samples(kept: Sequence[phrase_clips.Clip]) -> list[phrase_clips.Clip]:
    """A few clips to draw: of usual length, with a hand in most frames, by different signers."""
    median = float(np.median([clip.frames for clip in kept]))

    def oddness(clip: phrase_clips.Clip) -> tuple:
        hidden = max(clip.right, clip.left) < 0.5 * clip.frames
        return hidden, abs(clip.frames - median), clip.row.path, clip.row.sequence_id

    chosen: list[phrase_clips.Clip] = []
    most = -(-_STRIPS // len({clip.row.signer for clip in kept}))  # Clips of one signer.
    for clip in sorted(kept, key=oddness):
        of_signer = sum(other.row.signer == clip.row.signer for other in chosen)
        if len(chosen) < _STRIPS and of_signer < most:
            chosen.append(clip)
    return chosen


def draw(
    folder: pathlib.Path,
    kept: Sequence[phrase_clips.Clip],
    drawn: Sequence[Sample],
    selection: landmarks.Selection,
    alphabet: vocab.Alphabet,
) -> None:
    """characters.png, frames_per_character.png, clip_lengths.png, hands.png and clips.gif."""
    folder.mkdir(exist_ok=True)
    lengths = np.array([len(clip.row.phrase) for clip in kept])
    frames = np.array([clip.frames for clip in kept])
    figure = _characters([clip.row.phrase for clip in kept], alphabet)
    figure.savefig(folder / "characters.png")
    figure = _histogram(frames / lengths, "frames a character")
    figure.savefig(folder / "frames_per_character.png")
    _histogram(frames, "frames").savefig(folder / "clip_lengths.png")
    _strips(drawn, selection).savefig(folder / "hands.png")
    _animate(folder / "clips.gif", drawn[:_MOVING], selection)


def _figure(width: float, height: float) -> Figure:
    return Figure((width, height), dpi=120, layout="constrained")


def _chart(width: float, title: str, **style: Any) -> tuple[Figure, Axes]:
    figure = _figure(width, 3.6)
    ax = figure.subplots()
    ax.set_title(title, loc="left", **style)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="#e6e8eb")
    ax.set_axisbelow(True)
    return figure, ax


def _characters(phrases: Sequence[str], alphabet: vocab.Alphabet) -> Figure:
    counts = collections.Counter(dict.fromkeys(alphabet.characters, 0))
    for phrase in phrases:
        counts.update(phrase)
    names, numbers = zip(*counts.most_common(), strict=True)
    absent = f"; {numbers.count(0)} of {len(names)} absent" if 0 in numbers else ""
    title = f"{sum(numbers):,} characters in {len(phrases):,} clips{absent}"
    figure, ax = _chart(11, title)
    ax.bar(range(len(names)), numbers, color=drawing.BLUE, width=0.8)
    ax.set_xticks(range(len(names)), [drawing.visible(n) for n in names], fontfamily="monospace")
    ax.margins(x=0.01)
    ax.tick_params(axis="x", length=0)
    ax.set_ylabel("times")
    return figure


def classes(counts: Mapping[str, Mapping[str, int]], names: Sequence[str]) -> Figure:
    """Bars of how many examples of each class every part has."""
    total = sum(sum(of.values()) for of in counts.values())
    figure, ax = _chart(11, f"{total:,} examples of {len(names)} classes")
    base, colours = np.zeros(len(names)), (drawing.BLUE, *drawing.FINGERS[1:3])
    for (part, of), colour in zip(counts.items(), colours, strict=False):
        heights = np.array([of[name] for name in names])
        ax.bar(range(len(names)), heights, bottom=base, color=colour, width=0.8, label=part)
        base += heights
    if len(names) <= 60:
        ax.set_xticks(range(len(names)), names, rotation=45 if len(names) < 20 else 90)
    ax.margins(x=0.01)
    ax.set_ylabel("examples")
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def cutouts(images: Sequence[np.ndarray]) -> Figure:
    """A column for each image u8[H, W, 7]: the image, what is behind the hand, and the hand."""
    figure = _figure(11, 3.2)
    rows = figure.subplots(3, len(images), squeeze=False)
    for column, image_HW7 in enumerate(images):
        picture, behind, hand = np.split(image_HW7, (3, 6), -1)
        for ax, shown in zip(rows[:, column], (picture, behind, picture), strict=True):
            ax.imshow(shown)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        rows[2, column].imshow(np.ones_like(picture) * 255, alpha=1.0 - hand[..., 0] / 255)
    for ax, name in zip(rows[:, 0], ("image", "behind the hand", "the hand"), strict=True):
        ax.set_ylabel(name, fontsize=8)
    return figure


def _histogram(values: np.ndarray, what: str) -> Figure:
    low, median, high = np.percentile(values, (25, 50, 75))
    half = f"half have {low:.3g} to {high:.3g} {what}, median {median:.3g}"
    figure, ax = _chart(7, f"{len(values):,} clips: {half}", fontsize=10)
    bins = min(100, math.ceil(2 * len(values) ** (1 / 3)))  # Rice's rule.
    counts, edges = np.histogram(values, bins)
    ax.stairs(counts, edges, fill=True, color=drawing.BLUE)
    ax.axvspan(low, high, color=drawing.GREY, alpha=0.25, lw=0, zorder=0)
    ax.locator_params(axis="y", integer=True)
    ax.axvline(median, color=drawing.FINGERS[1])
    ax.set_xlim(0)
    ax.set_xlabel(what)
    ax.set_ylabel("clips")
    return figure


def _strips(drawn: Sequence[Sample], selection: landmarks.Selection) -> Figure:
    """A row a clip: its hand at evenly spaced moments, in boxes of one scale."""
    figure = _figure(11, 1.15 * len(drawn) + 0.1)
    rows = figure.subplots(len(drawn), 1, squeeze=False)[:, 0]
    for ax, (clip, clip_TN3) in zip(rows, drawn, strict=True):
        name = "right_hand" if clip.right >= clip.left else "left_hand"
        hand_THC = clip_TN3[:, selection.part(name), :2].astype(np.float32)
        seen = np.flatnonzero(~np.isnan(hand_THC).any(axis=(1, 2)))
        title = f"{clip.row.phrase}   (signer {clip.row.signer}, {clip.frames} frames, {name[:-5]})"
        drawing.row(ax, _POSES, title, fontsize=8, pad=2)
        if not len(seen):
            continue
        size = drawing.largest(hand_THC[seen])
        for box, frame in enumerate(drawing.moments(seen, _POSES)):
            ax.add_collection(drawing.boxed(hand_THC[frame], size, box))
            drawing.numbered(ax, box, frame)
    return figure


def _animate(path: pathlib.Path, drawn: Sequence[Sample], selection: landmarks.Selection) -> None:
    """Clips side by side, at 30 frames a second, for six seconds at most."""
    scenes = [(clip.row.phrase, drawing.Scene(clip_TN3, selection)) for clip, clip_TN3 in drawn]
    last = min(max(clip.frames for clip, _ in drawn), _STEP * _STEPS)
    pictures = []
    for frame in range(0, last, _STEP):
        picture = Image.new(
            "RGB", (drawing.SIDE * len(scenes), drawing.SIDE + drawing.TITLE), "white"
        )
        for i, (title, scene) in enumerate(scenes):
            picture.paste(scene.picture(frame, title), (drawing.SIDE * i, 0))
        pictures.append(picture)
    path.write_bytes(drawing.gif(pictures, _FPS))
