"""Pictures of a reading: the hand over time, and under it what the model made of each moment.

All panels share one axis of time: frames of the clip below, seconds above.
"""

import dataclasses
import functools
from typing import Any

import jax
import matplotlib
import matplotlib.figure
import numpy as np
from matplotlib.axes import Axes

from aslx.figures import drawing, plots
from aslx.readers import video
from aslx.runs import trained_run
from aslx.schema import landmarks, vocab
from aslx.storage import files

_WIDTH, _LEFT, _RIGHT = 11.0, 0.75, 0.35  # Inches of the picture, and of its margins.
_MOMENTS = 14  # Boxes of the strip.
_GAP = 0.28  # Inches between panels.
_COLOURS = matplotlib.color_sequences["tab10"]
_BEST = 5  # Classes whose probability is drawn.
_STEPS = 24  # Prefixes of a clip that a classifier is asked about.


@dataclasses.dataclass(frozen=True)
class Reading:
    """A clip of T frames and what was read in it."""

    title: str
    selection: landmarks.Selection
    points: np.ndarray  # f[T, N, 3]
    rate: float  # Frames a second.
    aspect: float  # Width of the film's picture in its heights; 1 where nobody knows.
    found: dict[str, np.ndarray]  # The task's evidence, of this clip alone.
    at: np.ndarray  # f32[M]: the frame of the clip at each position of the memory.
    clip: np.ndarray  # As the source of the features has it.

    @functools.cached_property
    def seen(self) -> np.ndarray:
        """bool[T]: whether the hand that is seen most is seen."""
        return np.asarray(np.isfinite(self.hand).all(axis=(1, 2)))

    @functools.cached_property
    def hand(self) -> np.ndarray:
        """f32[T, 21, 2] of the hand that is seen most, in heights of the picture."""
        both = [self.points[:, self.selection.part(f"{s}_hand"), :2] for s in ("right", "left")]
        most = max(both, key=lambda hand: (~np.isnan(hand[:, 0, 0])).sum())
        return most.astype(np.float32) * np.array([self.aspect, 1], np.float32)

    @property
    def letters(self) -> list[tuple[float, str]]:
        """(frame, character) of the text in its order: when CTC saw it, where that spells the same,
        or where the decoder looked most; none where the model does not tell."""
        if "attention" not in self.found or "".join(c for _, c in self.aligned) == self.title:
            return self.aligned
        ids = _written(self.found["tokens"])
        when = self.at[self.found["attention"][: len(ids)].argmax(1)]
        # A glance ahead or back does not change the order of what was written.
        timed = zip(np.maximum.accumulate(when), ids, strict=True)
        return [(float(at), vocab.CHARACTERS[i]) for at, i in timed if i < vocab.PAD]

    @functools.cached_property
    def aligned(self) -> list[tuple[float, str]]:
        """(frame, character) of CTC's likeliest path: the middle of each character's positions."""
        if "path" not in self.found:
            return []
        path, found = self.found["path"], []
        for b in np.flatnonzero(self.found["begins"]):
            n = int(np.cumprod(path[b:] == path[b]).sum())
            found.append((float(self.at[b : b + n].mean()), vocab.CHARACTERS[path[b]]))
        return found

    def text(self, frame: int) -> str:
        """What has been read until then; a class, which has no moment, from the start."""
        if "mask" not in self.found:
            return self.title
        return "".join(c for at, c in self.letters if at <= frame)


def read(run: trained_run.Run, clip: np.ndarray, answer: Any, track: video.Track | None) -> Reading:
    """Asks a model that reads clips once more: what its answer rests on. None is the answer for a
    clip that was not read; `track` is of a video, and tells more than the model takes."""
    cfg, found, at = run.cfg, {}, np.zeros(0, np.float32)
    if answer is not None:
        batch = trained_run.batch_of_one(run, clip)
        found = {k: v[0] for k, v in jax.device_get(run.evidence(run.model, batch)).items()}
        if "mask" in found:
            arrays = [batch[name] for name in cfg.features.source.reads]
            shown, (_, real) = jax.jit(_shown_frames, static_argnums=0)(cfg.features, *arrays)
            at = places(np.asarray(shown)[0], np.asarray(real)[0], len(found["mask"]))
    text = "" if answer is None else cfg.task.report.text(answer)
    if track is None:
        source: Any = cfg.features.source  # Of clips: each has points.
        selection, points = source.points(clip)
        return Reading(text, selection, points, video.RATE, 1.0, found, at, clip)
    aspect = track.width / track.height
    selection = landmarks.HOLISTIC130
    points = track.points[:, landmarks.ALL.indices(*selection.points)]
    return Reading(text, selection, points, track.rate, aspect, found, at, clip)


def _shown_frames(features: Any, *arrays: jax.Array) -> tuple:
    return features.moments(*arrays), features(*arrays)


def places(shown_S: np.ndarray, real_S: np.ndarray, positions: int) -> np.ndarray:
    """f32[M]: the mean frame of the clip that each position of the memory covers, where the model's
    S frames show `shown_S`. Positions of padding follow the clip's last frame."""
    stride = -(-len(shown_S) // positions)
    more = (0, positions * stride - len(shown_S))
    shown_MK = np.pad(np.where(real_S, shown_S, 0.0), more).reshape(positions, stride)
    count_M = np.pad(real_S, more).reshape(positions, stride).sum(1)
    at_M = shown_MK.sum(1) / np.maximum(count_M, 1)
    past_M = np.cumsum(count_M == 0) * stride
    return np.where(count_M > 0, at_M, shown_S[real_S].max(initial=0) + past_M).astype(np.float32)


def _written(tokens_L: np.ndarray) -> np.ndarray:
    """Up to and with END, or all."""
    ended = np.flatnonzero(tokens_L == vocab.END)
    return tokens_L[: ended[0] + 1] if len(ended) else tokens_L


def draw(run: trained_run.Run, reading: Reading, name: str, path: files.Path) -> None:
    """The picture, as a PNG."""
    panels = [(_strip, (_WIDTH - _LEFT - _RIGHT) / _MOMENTS + 0.1)]
    if "posteriors" in reading.found:
        panels.append((_posteriors, 2.0))
    if "attention" in reading.found:
        panels.append((_attention, max(1.2, 0.17 * len(_written(reading.found["tokens"])))))
    if "classes" in reading.found:
        panels.append((functools.partial(_classes, run=run), 2.0))
    height = 1.0 + sum(tall + _GAP for _, tall in panels) + 0.35
    figure = matplotlib.figure.Figure((_WIDTH, height))
    top, width = height - 1.0, _WIDTH - _LEFT - _RIGHT
    axes = []
    for panel, tall in panels:
        box = (_LEFT / _WIDTH, (top - tall) / height, width / _WIDTH, tall / height)
        ax = figure.add_axes(box)
        panel(ax, reading)
        axes.append(ax)
        top -= tall + _GAP
    end = max(len(reading.points), 1)
    figure.text(_LEFT / _WIDTH, 1 - 0.38 / height, reading.title or "(no text)", fontsize=15,
                fontfamily="monospace")  # fmt: skip
    figure.text(1 - _RIGHT / _WIDTH, 1 - 0.36 / height, f"{name}, {end} frames", fontsize=8,
                color="#606870", ha="right")  # fmt: skip
    seconds = axes[0].secondary_xaxis(
        "top", functions=(lambda x: x / reading.rate, lambda x: x * reading.rate)
    )
    seconds.set_xlabel(f"seconds, at {reading.rate:.4g} frames a second", fontsize=8)
    seconds.tick_params(labelsize=8)
    axes[-1].set_xlabel("frame of the clip", fontsize=9)
    plots.save(figure, path)


def _timed(ax: Axes, reading: Reading) -> None:
    past = reading.at[reading.found["mask"]].max(initial=0) + 1 if "mask" in reading.found else 0
    ax.set_xlim(0, max(len(reading.points), past, 1))
    ax.tick_params(labelsize=8)
    if past > len(reading.points):
        ax.axvspan(len(reading.points), past, color="#f0f1f3", zorder=0)


def _strip(ax: Axes, reading: Reading) -> None:
    """The hand in boxes of time, where it is seen; a bar below says in which frames that is."""
    _timed(ax, reading)
    span = ax.get_xlim()[1] / _MOMENTS
    frames = np.flatnonzero(reading.seen)
    # The boxes are square in inches: x runs in boxes, and so does the height.
    boxes = ax.twiny()
    boxes.set_xlim(-0.5, _MOMENTS - 0.5)
    size = drawing.largest(reading.hand[frames]) if len(frames) else 1.0
    for i in range(_MOMENTS):
        inside = frames[(frames >= i * span) & (frames < (i + 1) * span)]
        if len(inside):
            frame = inside[np.abs(inside - (i + 0.5) * span).argmin()]
            boxes.add_collection(drawing.boxed(reading.hand[frame], size, i))
    boxes.set(ylim=(0.68, -0.52))
    boxes.axis("off")
    starts, ends = (np.flatnonzero(np.diff(np.pad(reading.seen, 1) * 1) == d) for d in (1, -1))
    bars = list(zip(starts.tolist(), (ends - starts).tolist(), strict=True))
    ax.broken_barh(bars, (0.6, 0.05), color=drawing.BLUE)
    ax.set_yticks([0.625], ["hand\nseen"])
    ax.tick_params(axis="y", length=0, labelsize=7)
    ax.tick_params(axis="x", labelbottom=False)
    ax.spines[["left", "right", "top"]].set_visible(False)


def _posteriors(ax: Axes, reading: Reading) -> None:
    """CTC's probability of nothing and of each character that is ever likely, over time."""
    _timed(ax, reading)
    real = reading.found["mask"]
    at, posteriors_MV = reading.at[real], reading.found["posteriors"][real]
    if not len(at):
        at, posteriors_MV = np.zeros(1), np.zeros((1, vocab.BLANK + 1))
    # A line that spans frames without a hand would tell of what nobody saw.
    far = np.flatnonzero(np.diff(at) > 3 * _step(at)) + 1
    at = np.insert(at, far, np.nan)
    posteriors_MV = np.insert(posteriors_MV, far, np.nan, axis=0)
    ax.fill_between(at, posteriors_MV[:, vocab.BLANK], color="#e3e6ea", lw=0, label="nothing")
    likely = np.flatnonzero(np.nanmax(posteriors_MV[:, : vocab.BLANK], 0) > 0.1)
    colour = {int(v): _COLOURS[i % len(_COLOURS)] for i, v in enumerate(likely)}
    for v in likely:
        ax.plot(at, posteriors_MV[:, v], color=colour[int(v)], lw=1.3, marker=".", ms=3)
    for when, character in reading.aligned:
        v = vocab.CHARACTERS.index(character)
        ax.text(when, 1.06, drawing.visible(character), color=colour.get(v, "black"), fontsize=11,
                fontfamily="monospace", fontweight="bold", ha="center")  # fmt: skip
    ax.set(ylim=(0, 1.4), yticks=(0, 0.5, 1))
    ax.set_ylabel("CTC probability", fontsize=8)
    ax.legend(loc="upper right", fontsize=7, frameon=False)
    ax.spines[["right", "top"]].set_visible(False)


def _attention(ax: Axes, reading: Reading) -> None:
    """A row a character, from the top: where the decoder looked before it wrote it."""
    _timed(ax, reading)
    tokens = _written(reading.found["tokens"])
    real = reading.found["mask"]
    if not real.any():
        return
    at, shares_LM = reading.at[real], reading.found["attention"][: len(tokens), real]
    frames = np.arange(int(np.ceil(ax.get_xlim()[1])))
    near = np.abs(frames[:, None] - at).argmin(1)
    image = np.where(np.abs(frames - at[near]) <= _step(at), shares_LM[:, near], np.nan)
    ax.imshow(image, aspect="auto", cmap="Blues", vmin=0, interpolation="nearest",
              extent=(0, len(frames), len(tokens) - 0.5, -0.5))  # fmt: skip
    names = [
        "end" if t[0] == vocab.END else drawing.visible(vocab.decode(t)) for t in tokens[:, None]
    ]
    ax.set_yticks(range(len(tokens)), names, fontfamily="monospace")
    ax.tick_params(axis="y", length=0, labelsize=9)
    ax.set_ylabel("attention for", fontsize=8)


def _step(at_M: np.ndarray) -> float:
    """Frames from one position to the next, as a rule."""
    return max(float(np.median(np.diff(at_M))), 1.0) if len(at_M) > 1 else 1.0


def _classes(ax: Axes, reading: Reading, run: trained_run.Run) -> None:
    """What a classifier says of the clip as it grows."""
    _timed(ax, reading)
    most = len(reading.clip)
    frames = np.unique(np.linspace(1, most, min(_STEPS, most)).round().astype(int))
    grown_KC = np.stack(run.answers([reading.clip[:n] for n in frames]))
    names = run.cfg.task.report.about()["answers"]
    for i, c in enumerate(np.argsort(-grown_KC[-1])[:_BEST]):
        label = f"{names[c]}  {grown_KC[-1, c]:.2f}"
        ax.plot(frames, grown_KC[:, c], color=_COLOURS[i], lw=1.6, label=label)
    ax.set(ylim=(0, 1.02), yticks=(0, 0.5, 1))
    ax.set_ylabel("probability after\nthe frames so far", fontsize=8)
    ax.legend(loc="center left", fontsize=8, frameon=False)
    ax.spines[["right", "top"]].set_visible(False)


def image(run: trained_run.Run, pixels: np.ndarray, answer: np.ndarray, path: files.Path) -> None:
    """An image beside the probabilities of its likeliest classes, as a PNG."""
    figure = matplotlib.figure.Figure((6.5, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(pixels.squeeze(), cmap="gray", vmin=0, vmax=255)
    left.axis("off")
    best = np.argsort(-answer)[:_BEST][::-1]
    names = run.cfg.task.report.about()["answers"]
    right.barh([names[c] for c in best], answer[best], color=drawing.BLUE)
    right.set(xlim=(0, 1), xlabel="probability", title=run.cfg.task.report.text(answer))
    right.spines[["right", "top"]].set_visible(False)
    plots.save(figure, path)
