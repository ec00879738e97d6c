"""What was read in a clip, in files of other tools: .pose and ELAN's .eaf."""

import itertools
import math
import pathlib
from typing import Any

import numpy as np

from aslx import errors
from aslx.predict import predictions
from aslx.readers import eaf_files, pose_writing
from aslx.schema import landmarks

_ROUNDING = 1e-3  # Milliseconds by which times of frames are wrong.


def write_pose(source: Any, one: predictions.Prediction, path: pathlib.Path) -> None:
    """Writes the landmarks of a clip: all of a film or a .pose file, else those that the model
    reads, of a picture whose size nobody knows. `source` is the model's; BadInput where it reads
    images."""
    if one.track is not None:
        track = one.track
        pose_writing.write(path, track.points, track.rate, track.width, track.height)
        return
    if "length" not in source.reads:
        raise errors.BadInput(f"--pose {path.parent}: an image has no landmarks")
    selection, points = source.points(one.clip)
    every = np.full((len(points), len(landmarks.POINTS), 3), np.nan, np.float32)
    every[:, landmarks.ALL.indices(*selection.points)] = points
    pose_writing.write(path, every, one.rate)


def write_eaf(
    run: Any, one: predictions.Prediction, film: pathlib.Path | None, path: pathlib.Path
) -> None:
    """Writes an .eaf of what was read: a tier `text` (or `class`) from the first frame that shows a
    hand to the last one and, where `run` tells when it saw a character, a tier `characters`.
    `run` is None for an exported file, which does not tell."""
    if one.track is None:
        raise errors.BadInput(f"--eaf {path}: this file tells no times: give a video or .pose file")
    name = "class" if "class" in one.report else "text"
    tiers: dict[str, list[eaf_files.Annotation]] = {name: []}
    if one.text:
        seconds = one.track.seconds
        shown = np.flatnonzero(one.track.hands)[[0, -1]]
        first, last = 1000 * (seconds[shown].astype(float) + np.array([0, 1 / one.rate]))
        # Outwards, so that whoever cuts the film by these times gets every frame with a hand.
        begin, end = math.floor(first + _ROUNDING), math.ceil(last - _ROUNDING)
        tiers[name].append(eaf_files.Annotation(begin, end, one.text, _sure(one)))
        if run is not None and name == "text":
            tiers["characters"] = _characters(run, one, begin, end)
    eaf_files.write(path, film, tiers)


def _sure(one: predictions.Prediction) -> float:
    """The class's probability, or the mean over the characters."""
    for name in ("probability", "confidence"):
        if name in one.report:
            return one.report[name]
    return float(np.mean([each["confidence"] for each in one.report["characters"]]))


def _characters(
    run: Any, one: predictions.Prediction, begin: int, end: int
) -> list[eaf_files.Annotation]:
    """Each character from half-way after the one before to half-way to the next; none where the
    network tells no times."""
    from aslx.predict import reading_figure  # Needs JAX, and an exported file does without.

    letters = reading_figure.read(run, one.clip, one.answer, one.track).letters
    if "".join(character for _, character in letters) != one.text or one.track is None:
        return []
    seconds = one.track.seconds
    at = np.interp([frame for frame, _ in letters], np.arange(len(seconds)), seconds) * 1000
    bounds = [begin, *((a + b) / 2 for a, b in itertools.pairwise(at)), end]
    edges = np.maximum.accumulate(np.round(bounds).astype(int) - np.arange(len(bounds)))
    edges += np.arange(len(bounds))  # Every character lasts a millisecond at least.
    return [
        eaf_files.Annotation(int(a), int(b), character, sure)
        for (a, b), character, sure in zip(
            itertools.pairwise(edges), one.text, one.answer.sure, strict=True
        )
    ]
