"""Pictures of a reading: the hand over time, and below it what the model made of each moment.

All panels share one time axis: frames of the clip below, seconds above.
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
from aslx.inputs import model_inputs
from aslx.predict import predictions
from aslx.readers import video
from aslx.runs import trained_run
from aslx.schema import landmarks, vocab
from aslx.storage import files

_WIDTH, _LEFT, _RIGHT = 11.0, 0.75, 0.35  # Inches of the picture, and of its margins.
_TOP, _BOTTOM, _GAP = 1.0, 0.35, 0.28  # Inches above, below and between the panels.
_MOMENTS = 14  # Boxes of the strip.
_COLOURS = matplotlib.color_sequences["tab10"]
_BEST = 5  # Classes whose probability is drawn.
_STEPS = 24  # Prefixes of a clip that a classifier reads.


@dataclasses.dataclass(frozen=True)
class Reading:
    """A clip of T frames and what the model read in it."""

    title: str
    selection: landmarks.Selection
    points: np.ndarray  # f[T, N, 3]
    rate: float  # Frames per second.
    aspect: float  # Width of the film's picture divided by its height; 1 if unknown.
    evidence: dict[str, np.ndarray]  # The task's evidence for this clip, without the batch axis.
    at: np.ndarray  # f32[M]: the frame of the clip at each position of the memory.
    clip: np.ndarray  # In the form of the features' source.
    names: tuple[str, ...]  # Of the model's classes; or the characters of its alphabet.

    @functools.cached_property
    def alphabet(self) -> vocab.Alphabet:
        """Of a model that writes."""
        return vocab.Alphabet(characters="".join(self.names))

    @functools.cached_property
    def seen(self) -> np.ndarray:
        """bool[T]: whether `hand` is seen."""
        return np.asarray(np.isfinite(self.hand).all(axis=(1, 2)))

    @functools.cached_property
    def hand(self) -> np.ndarray:
        """f32[T, 21, 2]: the hand that is seen in more frames, in heights of the picture."""
        both = [self.points[:, self.selection.part(f"{s}_hand"), :2] for s in ("right", "left")]
        most = max(both, key=lambda hand: (~np.isnan(hand[:, 0, 0])).sum())
        return most.astype(np.float32) * np.array([self.aspect, 1], np.float32)

    @property
    def tokens(self) -> np.ndarray:
        """The ids that a decoder wrote: up to END, inclusive, or all."""
        tokens_L = self.evidence["tokens"]
        ended = np.flatnonzero(tokens_L == self.alphabet.end)
        return tokens_L[: ended[0] + 1] if len(ended) else tokens_L

    @property
    def letters(self) -> list[tuple[float, str]]:
        """(frame, character) of the text in its order: the frame in which CTC saw the character, if
        CTC spells the same text, or else the frame that the decoder attended to most. Empty if the
        model tells neither."""
        if "attention" not in self.evidence or "".join(c for _, c in self.aligned) == self.title:
            return self.aligned
        ids = self.tokens
        when = self.at[self.evidence["attention"][: len(ids)].argmax(1)]
        # Attention may jump ahead or back; the characters keep their order.
        timed = zip(np.maximum.accumulate(when), ids, strict=True)
        return [(float(at), self.names[i]) for at, i in timed if i < self.alphabet.pad]

    @functools.cached_property
    def aligned(self) -> list[tuple[float, str]]:
        """(frame, character) of CTC's likeliest path: the middle of each character's positions."""
        if "path" not in self.evidence:
            return []
        path, found = self.evidence["path"], []
        for b in np.flatnonzero(self.evidence["begins"]):
            n = int(np.cumprod(path[b:] == path[b]).sum())
            found.append((float(self.at[b : b + n].mean()), self.names[path[b]]))
        return found

    def text(self, frame: int) -> str:
        """The text that has been read by `frame`; a class has no moment, and is always shown."""
        if "mask" not in self.evidence:
            return self.title
        return "".join(c for at, c in self.letters if at <= frame)


def read(
    run: trained_run.Run, clip: np.ndarray, answer: Any, track: predictions.Tracked | None
) -> Reading:
    """Asks a model of clips what its answer rests on. `answer` is None for a clip that was not
    read. `track`, of a film or a .pose file, has more points than the model takes: they are
    drawn."""
    text, evidence, at = "", {}, np.zeros(0, np.float32)
    features: Any = run.cfg.features  # Of clips: they have points and moments.
    if answer is not None:
        text = run.cfg.task.report.text(answer)
        batch = trained_run.batch_of_one(run, clip)
        evidence = {k: v[0] for k, v in jax.device_get(run.evidence(run.model, batch)).items()}
        if "mask" in evidence:
            shown = jax.jit(model_inputs.shown_frames, static_argnums=1)(batch, features)
            shown_S, real_S = (np.asarray(array)[0] for array in shown)
            at = places(shown_S, real_S, len(evidence["mask"]))
    rate, aspect = float(video.RATE), 1.0
    selection, points = features.source.points(clip)
    if track is not None:
        rate, aspect = track.rate, track.width / track.height
        selection = landmarks.HOLISTIC130
        points = track.points[:, landmarks.ALL.indices(*selection.points)]
    names = tuple(run.cfg.task.report.about()["answers"])
    return Reading(text, selection, points, rate, aspect, evidence, at, clip, names)


def places(shown_S: np.ndarray, real_S: np.ndarray, positions: int) -> np.ndarray:
    """f32[M]: the mean frame of the clip that each position of the memory covers. The model's S
    frames show the frames `shown_S` of the clip. Positions of padding follow the last frame."""
    stride = -(-len(shown_S) // positions)
    more = (0, positions * stride - len(shown_S))
    shown_MK = np.pad(np.where(real_S, shown_S, 0.0), more).reshape(positions, stride)
    count_M = np.pad(real_S, more).reshape(positions, stride).sum(1)
    at_M = shown_MK.sum(1) / np.maximum(count_M, 1)
    past_M = np.cumsum(count_M == 0) * stride
    return np.where(count_M > 0, at_M, shown_S[real_S].max(initial=0) + past_M).astype(np.float32)


def draw(run: trained_run.Run, reading: Reading, name: str, path: files.Path) -> None:
    """Writes the picture as a PNG."""
    width = _WIDTH - _LEFT - _RIGHT
    panels = [(_strip, width / _MOMENTS + 0.1)]
    if "posteriors" in reading.evidence:
        panels.append((_posteriors, 2.0))
    if "attention" in reading.evidence:
        panels.append((_attention, max(1.2, 0.17 * len(reading.tokens))))
    if "classes" in reading.evidence:
        panels.append((functools.partial(_classes, run=run), 2.0))
    height = _TOP + sum(tall + _GAP for _, tall in panels) + _BOTTOM
    figure = matplotlib.figure.Figure((_WIDTH, height))
    top, axes = height - _TOP, []
    for panel, tall in panels:
        box = (_LEFT / _WIDTH, (top - tall) / height, width / _WIDTH, tall / height)
        axes.append(figure.add_axes(box))
        _time_axis(axes[-1], reading)
        panel(axes[-1], reading)
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


def _time_axis(ax: Axes, reading: Reading) -> None:
    frames, evidence = len(reading.points), reading.evidence
    past = reading.at[evidence["mask"]].max(initial=0) + 1 if "mask" in evidence else 0
    ax.set_xlim(0, max(frames, past, 1))
    ax.tick_params(labelsize=8)
    if past > frames:
        ax.axvspan(frames, past, color="#f0f1f3", zorder=0)


def _strip(ax: Axes, reading: Reading) -> None:
    """The hand in boxes over time; a bar below shows in which frames the hand is seen."""
    span = ax.get_xlim()[1] / _MOMENTS
    frames = np.flatnonzero(reading.seen)
    # Boxes are square in inches: their x axis counts boxes, and the panel is one box high.
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
    """CTC's probability of the blank, and of each character that is ever likely, over time."""
    real, blank = reading.evidence["mask"], reading.alphabet.blank
    at, posteriors_MV = reading.at[real], reading.evidence["posteriors"][real]
    if not len(at):
        at, posteriors_MV = np.zeros(1), np.zeros((1, blank + 1))
    # Lines are broken at frames without a hand, of which the model has seen nothing.
    far = np.flatnonzero(np.diff(at) > 3 * _step(at)) + 1
    at = np.insert(at, far, np.nan)
    posteriors_MV = np.insert(posteriors_MV, far, np.nan, axis=0)
    ax.fill_between(at, posteriors_MV[:, blank], color="#e3e6ea", lw=0, label="nothing")
    likely = np.flatnonzero(np.nanmax(posteriors_MV[:, :blank], 0) > 0.1).tolist()
    colour = {v: _COLOURS[i % len(_COLOURS)] for i, v in enumerate(likely)}
    for v in likely:
        ax.plot(at, posteriors_MV[:, v], color=colour[v], lw=1.3, marker=".", ms=3)
    for when, character in reading.aligned:
        v = reading.names.index(character)
        ax.text(when, 1.06, drawing.visible(character), color=colour.get(v, "black"), fontsize=11,
                fontfamily="monospace", fontweight="bold", ha="center")  # fmt: skip
    _probability_axis(ax, 1.4, "CTC probability")
    ax.legend(loc="upper right", fontsize=7, frameon=False)


def _attention(ax: Axes, reading: Reading) -> None:
    """A row per character, from the top: where the decoder looked before it wrote it."""
    tokens, real = reading.tokens, reading.evidence["mask"]
    if not real.any():
        return
    at, shares_LM = reading.at[real], reading.evidence["attention"][: len(tokens), real]
    frames = np.arange(int(np.ceil(ax.get_xlim()[1])))
    near = np.abs(frames[:, None] - at).argmin(1)
    image = np.where(np.abs(frames - at[near]) <= _step(at), shares_LM[:, near], np.nan)
    ax.imshow(image, aspect="auto", cmap="Blues", vmin=0, interpolation="nearest",
              extent=(0, len(frames), len(tokens) - 0.5, -0.5))  # fmt: skip
    alphabet = reading.alphabet
    names = [
        "end" if t[0] == alphabet.end else drawing.visible(alphabet.decode(t))
        for t in tokens[:, None]
    ]
    ax.set_yticks(range(len(tokens)), names, fontfamily="monospace")
    ax.tick_params(axis="y", length=0, labelsize=9)
    ax.set_ylabel("attention for", fontsize=8)


def _step(at_M: np.ndarray) -> float:
    """The usual number of frames from one position to the next."""
    return max(float(np.median(np.diff(at_M))), 1.0) if len(at_M) > 1 else 1.0


def _classes(ax: Axes, reading: Reading, run: trained_run.Run) -> None:
    """A classifier's probabilities while the clip grows."""
    most = len(reading.clip)
    frames = np.unique(np.linspace(1, most, min(_STEPS, most)).round().astype(int))
    grown_KC = np.stack(run.answers([reading.clip[:n] for n in frames]))
    for i, c in enumerate(np.argsort(-grown_KC[-1])[:_BEST]):
        label = f"{reading.names[c]}  {grown_KC[-1, c]:.2f}"
        ax.plot(frames, grown_KC[:, c], color=_COLOURS[i], lw=1.6, label=label)
    _probability_axis(ax, 1.02, "probability after\nthe frames so far")
    ax.legend(loc="center left", fontsize=8, frameon=False)


def _probability_axis(ax: Axes, top: float, label: str) -> None:
    ax.set(ylim=(0, top), yticks=(0, 0.5, 1))
    ax.set_ylabel(label, fontsize=8)
    ax.spines[["right", "top"]].set_visible(False)


def image(run: trained_run.Run, pixels: np.ndarray, answer: np.ndarray, path: files.Path) -> None:
    """Writes an image beside the probabilities of its likeliest classes as a PNG."""
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
