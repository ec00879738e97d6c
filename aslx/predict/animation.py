"""Animations of a reading: the skeleton alone, or over its film, with the text as it grows."""

import os
import pathlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw

from aslx.figures import drawing
from aslx.predict import predictions, reading_figure
from aslx.readers import video
from aslx.storage import files

_FPS = 10  # The most frames per second of a gif.
_GIF_WIDTH = 360  # Pixels: the most for an overlay.


def skeleton(reading: reading_figure.Reading, path: files.Path) -> None:
    """Writes a gif of the clip at its own speed."""
    scene = drawing.Scene(reading.points, reading.selection, reading.aspect)
    step = max(1, round(reading.rate / _FPS))
    frames = range(0, len(reading.points), step)
    pictures = [scene.picture(frame, reading.text(frame)) for frame in frames]
    files.write(path, drawing.gif(pictures, reading.rate / step))


def overlay(
    reading: reading_figure.Reading,
    film: str | os.PathLike,
    track: predictions.Tracked,
    fps: float | None,
    path: str | os.PathLike,
) -> None:
    """Writes the film with the skeleton and the text over it: an mp4 of all frames, or a gif of
    ten frames per second. `fps` is the value that the film was tracked with."""
    size = np.array([track.width, track.height])
    with video.pictures(film, fps) as pictures:
        frames = (
            _over(picture, points_N3[:, :2] * size, reading, frame)
            for frame, (picture, points_N3) in enumerate(zip(pictures, reading.points, strict=True))
        )
        if pathlib.Path(path).suffix.lower() == ".mp4":
            video.write(path, map(np.asarray, frames), track.rate, track.width, track.height)
        else:
            step = max(1, round(track.rate / _FPS))
            small = list(_small(frames, step))
            files.write(pathlib.Path(path), drawing.gif(small, track.rate / step, 256))


def _small(frames: Iterator[Image.Image], step: int) -> Iterator[Image.Image]:
    """Every `step`th frame, at twice the width of the gif."""
    for i, frame in enumerate(frames):
        if i % step == 0:
            width = min(2 * _GIF_WIDTH, 2 * frame.width)
            yield frame.resize((width, width * frame.height // frame.width))


def _over(
    picture: np.ndarray, points_N2: np.ndarray, reading: reading_figure.Reading, frame: int
) -> Image.Image:
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image, "RGBA")
    drawing.skeleton(pen, points_N2, reading.selection, max(2, image.width // 160))
    text = reading.text(frame)
    if text:
        bar = max(20, image.height // 12)
        size = bar * 2 // 3
        while size > 8 and drawing.font(size).getlength(text) > image.width - bar:
            size -= 2
        pen.rectangle((0, image.height - bar, image.width, image.height), (0, 0, 0, 150))
        middle = (image.width / 2, image.height - bar / 2)
        pen.text(middle, text, "white", drawing.font(size), anchor="mm")
    return image
