"""Pictures of a prepared data set: what is signed, for how long, and what a clip looks like."""

import collections
import functools
import io
import itertools
import pathlib
from collections.abc import Sequence

import numpy as np
from matplotlib import collections as shapes
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from aslx.prepare import phrase_clips
from aslx.schema import landmarks, vocab

BLUE, GREY = "#3b6ea8", "#9aa3ad"
FINGERS = ("#c0504d", "#e08e2b", "#4f9d4f", "#3b6ea8", "#7b5aa6")  # From the thumb on.
_STRIPS, _POSES = 4, 14  # Clips drawn as strips, and hands in a strip.
_MOVING, _STEP, _FPS, _STEPS = 3, 3, 10, 60  # Clips that move: every third frame, six seconds.
_SIDE, _TITLE = 480, 44  # Pixels of a moving clip, and of the title above it, before halving.
_ARMS = tuple(f"pose_{i}" for i in (15, 13, 11, 12, 14, 16))  # Wrist, elbow, shoulder, and back.
Sample = tuple[phrase_clips.Clip, np.ndarray]  # A clip and its landmarks f16[T, N, 3].


def samples(kept: Sequence[phrase_clips.Clip]) -> list[phrase_clips.Clip]:
    """The few clips to draw: of usual length, a hand in most frames, each by another signer."""
    median = float(np.median([clip.frames for clip in kept]))

    def oddness(clip: phrase_clips.Clip) -> tuple:
        hidden = max(clip.right, clip.left) < 0.5 * clip.frames
        return hidden, abs(clip.frames - median), clip.row.path, clip.row.sequence_id

    chosen: list[phrase_clips.Clip] = []
    signers: collections.Counter[int] = collections.Counter()
    for clip in sorted(kept, key=oddness):
        if signers[clip.row.signer] * len({c.row.signer for c in kept}) < _STRIPS:
            chosen.append(clip)
            signers[clip.row.signer] += 1
        if len(chosen) == _STRIPS:
            break
    return chosen


def draw(
    folder: pathlib.Path,
    kept: Sequence[phrase_clips.Clip],
    drawn: Sequence[Sample],
    selection: landmarks.Selection,
) -> None:
    """characters.png, frames_per_character.png, clip_lengths.png, hands.png and clips.gif."""
    folder.mkdir()
    lengths = np.array([len(clip.row.phrase) for clip in kept])
    frames = np.array([clip.frames for clip in kept])
    _characters([clip.row.phrase for clip in kept]).savefig(folder / "characters.png")
    figure = _histogram(frames / lengths, "frames a character")
    figure.savefig(folder / "frames_per_character.png")
    _histogram(frames, "frames").savefig(folder / "clip_lengths.png")
    _strips(drawn, selection).savefig(folder / "hands.png")
    _animate(folder / "clips.gif", drawn[:_MOVING], selection)


def _figure(width: float, height: float) -> Figure:
    return Figure((width, height), dpi=120, layout="constrained")


def _plain(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="#e6e8eb")
    ax.set_axisbelow(True)


def _characters(phrases: Sequence[str]) -> Figure:
    counts = collections.Counter(dict.fromkeys(vocab.CHARACTERS, 0))
    for phrase in phrases:
        counts.update(phrase)
    names, numbers = zip(*counts.most_common(), strict=True)
    figure = _figure(11, 3.6)
    ax = figure.subplots()
    ax.bar(range(len(names)), numbers, color=BLUE, width=0.8)
    ax.set_xticks(range(len(names)), [n.replace(" ", "␣") for n in names], fontfamily="monospace")
    ax.margins(x=0.01)
    _plain(ax)
    ax.tick_params(axis="x", length=0)
    absent = sum(n == 0 for n in numbers)
    without = f"; {absent} of {len(names)} absent" if absent else ""
    ax.set_title(f"{sum(numbers):,} characters in {len(phrases):,} clips{without}", loc="left")
    ax.set_ylabel("times")
    return figure


def classes(counts: dict[str, dict[str, int]], names: Sequence[str]) -> Figure:
    """How many examples of every class each part holds."""
    figure = _figure(11, 3.6)
    ax, base = figure.subplots(), np.zeros(len(names))
    for (part, of), colour in zip(counts.items(), (BLUE, *FINGERS[1:3]), strict=False):
        heights = np.array([of[name] for name in names])
        ax.bar(range(len(names)), heights, bottom=base, color=colour, width=0.8, label=part)
        base += heights
    if len(names) <= 60:
        ax.set_xticks(range(len(names)), names, rotation=45 if len(names) < 20 else 90)
    ax.margins(x=0.01)
    _plain(ax)
    ax.legend()
    ax.set_title(f"{int(base.sum()):,} examples of {len(names)} classes", loc="left")
    return figure


def cutouts(images: Sequence[np.ndarray]) -> Figure:
    """A column for each image u8[H, W, 7]: itself, what is behind the hand, and the hand."""
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
    figure = _figure(7, 3.6)
    ax = figure.subplots()
    counts, edges = np.histogram(values, bins=100, range=(0, values.max()))
    ax.stairs(counts, edges, fill=True, color=BLUE)
    low, median, high = np.percentile(values, (25, 50, 75))
    ax.axvspan(low, high, color=GREY, alpha=0.25, lw=0, zorder=0)
    ax.locator_params(axis="y", integer=True)
    ax.axvline(median, color=FINGERS[1])
    ax.set_title(
        f"{len(values):,} clips: half have {low:.3g} to {high:.3g} {what}, median {median:.3g}",
        loc="left",
        fontsize=10,
    )
    ax.set_xlim(0)
    ax.set_xlabel(what)
    ax.set_ylabel("clips")
    _plain(ax)
    return figure


def hand(points_21x2: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Segments [E, 2, 2] of one hand and their colours, a colour a finger."""
    edges = np.array(landmarks.HAND_EDGES)
    of = {joint: i for i, name in enumerate(landmarks.FINGERS) for joint in landmarks.FINGERS[name]}
    colours = [FINGERS[of[b]] if of.get(a) in (of[b], None) else GREY for a, b in edges.tolist()]
    return points_21x2[edges], colours


def _strips(drawn: Sequence[Sample], selection: landmarks.Selection) -> Figure:
    """A row a clip: its hand at evenly spaced moments, each in a box of the clip's own scale."""
    figure = _figure(11, 1.15 * len(drawn) + 0.1)
    rows = figure.subplots(len(drawn), 1, squeeze=False)[:, 0]
    for ax, (clip, clip_TN3) in zip(rows, drawn, strict=True):
        name = "right_hand" if clip.right >= clip.left else "left_hand"
        hand_THC = clip_TN3[:, selection.part(name), :2].astype(np.float32)
        seen = np.flatnonzero(~np.isnan(hand_THC).any(axis=(1, 2)))
        ax.set_title(
            f"{clip.row.phrase}   (signer {clip.row.signer}, {clip.frames} frames, {name[:-5]})",
            loc="left",
            fontsize=8,
            pad=2,
        )
        ax.set(xlim=(-0.5, _POSES - 0.5), ylim=(0.68, -0.52), aspect="equal")
        ax.axis("off")
        if len(seen):
            _strip(ax, hand_THC, seen)
    return figure


def _strip(ax: Axes, hand_THC: np.ndarray, seen: np.ndarray) -> None:
    size = largest(hand_THC[seen])
    moments = seen[np.linspace(0, len(seen) - 1, min(_POSES, len(seen))).round().astype(int)]
    for column, frame in enumerate(moments):
        ax.add_collection(boxed(hand_THC[frame], size, column))
        ax.text(column, 0.62, f"{frame}", fontsize=6, color=GREY, ha="center", va="center")


def largest(hands_THC: np.ndarray) -> float:
    """The side of a square that nearly all these hands fit into."""
    return max(float(np.percentile(np.ptp(hands_THC, axis=1).max(-1), 95)) * 1.08, 1e-6)


def boxed(points_21x2: np.ndarray, size: float, x: float) -> shapes.LineCollection:
    """A hand in a box of side 1 about (x, 0), which stands for `size`."""
    centre = (points_21x2.max(0) + points_21x2.min(0)) / 2
    segments, colours = hand((points_21x2 - centre) / size + (x, 0))
    return shapes.LineCollection(list(segments), colors=colours, lw=1.4, capstyle="round")


def _animate(path: pathlib.Path, drawn: Sequence[Sample], selection: landmarks.Selection) -> None:
    """Clips side by side, at the speed of 30 frames a second, as far as the first six seconds."""
    scenes = [(clip.row.phrase, Scene(clip_TN3, selection)) for clip, clip_TN3 in drawn]
    last = min(max(clip.frames for clip, _ in drawn), _STEP * _STEPS)
    pictures = []
    for frame in range(0, last, _STEP):
        picture = Image.new("RGB", (_SIDE * len(scenes), _SIDE + _TITLE), "white")
        for i, (title, scene) in enumerate(scenes):
            picture.paste(scene.picture(frame, title), (_SIDE * i, 0))
        pictures.append(picture)
    path.write_bytes(gif(pictures, _FPS))


def gif(pictures: Sequence[Image.Image], fps: float, colours: int = 32) -> bytes:
    """An endless animation of pictures that were drawn at twice the size: Pillow's lines have no
    smooth edges of their own."""
    small = [p.reduce(2).quantize(colours, Image.Quantize.FASTOCTREE) for p in pictures]
    out = io.BytesIO()
    duration = round(1000 / fps)
    small[0].save(out, "GIF", save_all=True, append_images=small[1:], duration=duration, loop=0)
    return out.getvalue()


def skeleton(
    pen: ImageDraw.ImageDraw,
    points_N2: np.ndarray,
    selection: landmarks.Selection,
    width: int = 4,
) -> None:
    """Draws what is known of a frame, in pixels: dots for the face, lines for arms and hands."""
    for x, y in points_N2[selection.part("face")].tolist():
        if x == x:  # Not NaN.
            pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), GREY)
    arms = selection.indices(*(p for p in _ARMS if p in selection.points))
    for bone in itertools.pairwise(arms.tolist()):
        _line(pen, points_N2[list(bone)], GREY, width)
    for name in ("left_hand", "right_hand"):
        for segment, colour in zip(*hand(points_N2[selection.part(name)]), strict=True):
            _line(pen, segment, colour, width)


class Scene:
    """A clip in a square picture that holds the hands, the face and the shoulders. `aspect` is the
    width of the film's picture in its heights."""

    def __init__(self, clip_TN3: np.ndarray, selection: landmarks.Selection, aspect: float = 1):
        self.selection = selection
        clip_TN2 = clip_TN3[..., :2].astype(np.float32) * np.array([aspect, 1], np.float32)
        shown = [p for p in selection.points if "pose" not in p or p in ("pose_11", "pose_12")]
        flat = clip_TN2[:, selection.indices(*shown)].reshape(-1, 2)
        flat = flat[~np.isnan(flat).any(axis=1)]
        low, high = (
            np.percentile(flat, (0.5, 99.5), axis=0) if len(flat) else (np.zeros(2), np.ones(2))
        )
        span = max((high - low).max() * 1.1, 1e-3)
        self.pixels_TN2 = ((clip_TN2 - (low + high) / 2) / span + 0.5) * _SIDE + (0, _TITLE)

    def picture(self, frame: int, title: str) -> Image.Image:
        points_N2 = self.pixels_TN2[min(frame, len(self.pixels_TN2) - 1)]
        picture = Image.new("RGB", (_SIDE, _SIDE + _TITLE), "white")
        pen = ImageDraw.Draw(picture)
        skeleton(pen, points_N2, self.selection)
        pen.rectangle((0, 0, _SIDE, _TITLE), "white")
        pen.rectangle((0, 0, _SIDE - 1, _SIDE + _TITLE - 1), outline="white", width=8)
        pen.rectangle((8, _TITLE, _SIDE - 8, _SIDE + _TITLE - 8), outline="#d5d8dc", width=2)
        pen.text((_SIDE / 2, _TITLE / 2), title, "black", _font(), anchor="mm")
        return picture


def _line(pen: ImageDraw.ImageDraw, points_N2: np.ndarray, colour: str, width: int) -> None:
    if not np.isnan(points_N2).any():
        pen.line([(x, y) for x, y in points_N2.tolist()], colour, width=width, joint="curve")


@functools.cache
def _font():
    return ImageFont.load_default(22)
