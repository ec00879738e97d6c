"""Draws hands and bodies: as segments in a figure, and as animations."""

import functools
import io
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import collections as shapes
from matplotlib.axes import Axes
from PIL import Image, ImageDraw, ImageFont

from aslx.schema import landmarks

BLUE, GREY, PALE = "#3b6ea8", "#9aa3ad", "#d5d8dc"
FINGERS = ("#c0504d", "#e08e2b", "#4f9d4f", "#3b6ea8", "#7b5aa6")  # Thumb to little finger.
SIDE, TITLE = 480, 44  # Pixels of a scene, and of the title above it, before `gif` halves them.
_ARMS = tuple(f"pose_{i}" for i in (15, 13, 11, 12, 14, 16))  # From wrist to wrist.


def hand(points_21x2: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Segments [E, 2, 2] of one hand, and their colours: one colour per finger."""
    edges = np.array(landmarks.HAND_EDGES)
    of = {joint: i for i, name in enumerate(landmarks.FINGERS) for joint in landmarks.FINGERS[name]}
    colours = [FINGERS[of[b]] if of.get(a) in (of[b], None) else GREY for a, b in edges.tolist()]
    return points_21x2[edges], colours


def largest(hands_THC: np.ndarray) -> float:
    """The side of a square that 95 % of these hands fit into."""
    return max(float(np.percentile(np.ptp(hands_THC, axis=1).max(-1), 95)) * 1.08, 1e-6)


def boxed(
    points_21x2: np.ndarray,
    size: float,
    x: float,
    about: np.ndarray | None = None,
    pale: Sequence[bool] | np.ndarray = (False,) * 21,
) -> shapes.LineCollection:
    """A hand in a box of side 1 around (x, 0); 1 stands for `size`. The box is centred on the
    points `about` [N, 2], by default on the hand. Bones to `pale` joints are pale."""
    about = points_21x2 if about is None else about
    centre = (np.nanmax(about, 0) + np.nanmin(about, 0)) / 2
    segments, colours = hand((points_21x2 - centre) / size + (x, 0))
    colours = [
        PALE if pale[b] else c for (_, b), c in zip(landmarks.HAND_EDGES, colours, strict=True)
    ]
    return shapes.LineCollection(list(segments), colors=colours, lw=1.4, capstyle="round")


def row(ax: Axes, boxes: int, title: str, **style: Any) -> None:
    """Turns `ax` into a row of boxes of side 1 with a title at the left."""
    ax.set_title(title, loc="left", **style)
    ax.set(xlim=(-0.5, boxes - 0.5), ylim=(0.68, -0.52), aspect="equal")
    ax.axis("off")


def moments(frames: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the frames, evenly spaced."""
    return frames[np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)]


def numbered(ax: Axes, box: int, frame: int) -> None:
    """Writes the number of the frame below its box."""
    ax.text(box, 0.62, f"{frame}", fontsize=6, color=GREY, ha="center", va="center")


def visible(text: str) -> str:
    """The text with a mark for each space."""
    return text.replace(" ", "␣")


def gif(pictures: Sequence[Image.Image], fps: float, colours: int = 32) -> bytes:
    """An endless animation at half the size of the pictures: Pillow does not smooth lines, and
    halving does."""
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
    """Draws the tracked points of a frame in pixels: the face as dots, arms and hands as lines."""
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
    """A clip in a square picture that fits the hands, the face and the shoulders. `aspect` is the
    width of the film's picture divided by its height."""

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
        self.pixels_TN2 = ((clip_TN2 - (low + high) / 2) / span + 0.5) * SIDE + (0, TITLE)

    def picture(self, frame: int, title: str) -> Image.Image:
        points_N2 = self.pixels_TN2[min(frame, len(self.pixels_TN2) - 1)]
        picture = Image.new("RGB", (SIDE, SIDE + TITLE), "white")
        pen = ImageDraw.Draw(picture)
        skeleton(pen, points_N2, self.selection)
        pen.rectangle((0, 0, SIDE, TITLE), "white")
        pen.rectangle((0, 0, SIDE - 1, SIDE + TITLE - 1), outline="white", width=8)
        pen.rectangle((8, TITLE, SIDE - 8, SIDE + TITLE - 8), outline=PALE, width=2)
        pen.text((SIDE / 2, TITLE / 2), title, "black", font(22), anchor="mm")
        return picture


def _line(pen: ImageDraw.ImageDraw, points_N2: np.ndarray, colour: str, width: int) -> None:
    if not np.isnan(points_N2).any():
        pen.line([(x, y) for x, y in points_N2.tolist()], colour, width=width, joint="curve")


@functools.cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font that comes with Pillow, so that it is the same on every machine."""
    return ImageFont.load_default(size)
