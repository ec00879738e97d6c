"""A file or an array -> what a model reads in it."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from aslx import errors
from aslx.readers import file_kinds, pose_files, video
from aslx.schema import landmarks

Tracked = video.Track | pose_files.Clip


class Model(Protocol):
    """A run or an exported file."""

    @property
    def source(self) -> Any:
        """How files and arrays become the model's inputs: one of `input_kinds`."""

    def answers(self, clips: Sequence[np.ndarray], /) -> list[Any]:
        """The model's answers, one for each clip or image."""
        ...

    def report(self, answer: Any, /) -> dict[str, Any]:
        """An answer as `Prediction.report` has it; None stands for a clip that was not read."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """What a model reads in one clip or image."""

    name: Any
    """The clip's name: Kaggle's sequence_id, or the file's name; None for an array."""
    report: dict[str, Any]
    """`text` or `class`, and the confidence; empty and 0 if nothing was tracked."""
    clip: np.ndarray
    """The clip or image in the form of the model's `source`, for example f[T, N, 3]."""
    answer: Any
    """The model's answer; None if nothing was tracked, because the model is not asked then."""
    track: Tracked | None = None
    """The landmarks that were found in a video, or that a .pose file holds."""

    @property
    def rate(self) -> float:
        """Frames per second; about those of Kaggle's clips where nothing tells them."""
        return self.track.rate if self.track else float(video.RATE)

    @property
    def text(self) -> str:
        """The text, or the name of the class."""
        return self.report["class" if "class" in self.report else "text"]


def read(
    model: Model,
    clips: str | os.PathLike | np.ndarray,
    *,
    fps: float | None = None,
    keep_points: bool = False,
) -> list[Prediction]:
    """Reads a file or an array with a run or an exported file: one prediction for each clip.

    A file is of the kind that the model was trained on (Kaggle's parquet, which may hold many
    clips, or a .pose file; a folder of keypoint frames, npy or npz; an image) or a video. `fps` is
    the number of frames per second to take of a video; None takes all. With `keep_points` the
    `track` of a video keeps all points, and not only the points that the model reads.
    An array is one clip or image: landmarks f[T, N, 3] of the N points that the model reads, or
    f[T, 543, 3] of all points (`landmarks.POINTS`), with NaN where the tracker lost a part;
    keypoints f[T, D]; or an image u8[H, W, C].

    BadInput: the file cannot be read, or the model does not read its kind or the array's shape.
    """
    if isinstance(clips, np.ndarray):
        found = [(None, _array(model.source, clips), None)]
    else:
        found = list(_file(model.source, os.fspath(clips), fps, keep_points))
    blank = [  # Nothing to read, or a video or .pose file without a hand.
        model.source.blank(clip) or (track is not None and not track.hands.any())
        for _, clip, track in found
    ]
    shown = [clip for (_, clip, _), empty in zip(found, blank, strict=True) if not empty]
    answers = iter(model.answers(shown))
    predictions = []
    for (name, clip, track), empty in zip(found, blank, strict=True):
        answer = None if empty else next(answers)
        predictions.append(Prediction(name, model.report(answer), clip, answer, track))
    return predictions


def _file(
    source: Any, file: str, fps: float | None, keep_points: bool
) -> Iterator[tuple[Any, np.ndarray, Tracked | None]]:
    kind, moves = file_kinds.kind(file), "length" in source.reads
    if moves and video.is_video(file):
        if keep_points:
            track = video.track(file, fps)
            clip = source.tracked(track.values)
        else:  # Takes less memory than the points of the whole face and body.
            track = video.track(file, fps, take=source.tracked)
            clip = track.values
        yield pathlib.Path(file).name, clip, track
        return
    if kind and kind not in source.takes:
        takes = [*source.takes.values(), *(["videos"] if moves else [])]
        raise errors.BadInput(
            f"{file} {file_kinds.words(kind)}, and this model reads {' and '.join(takes)}"
        )
    if kind == file_kinds.POSE:
        posed = source.posed(file)
        yield file, source.selected(posed.points), posed
        return
    yield from ((*clip, None) for clip in source.clips(file))


def _array(source: Any, clip: np.ndarray) -> np.ndarray:
    """A clip or image in the form of the source; BadInput if its shape differs."""
    first, *_ = source.reads
    moves = "length" in source.reads
    wanted = source.field().allocate(1, 1)[first].shape[1 + moves :]
    given = clip.shape[moves:]
    if first == "landmarks" and given == (len(landmarks.POINTS), 3) != wanted:
        return clip[:, landmarks.ALL.indices(*source.selection.points)]
    if given != wanted:
        shape = ", ".join(map(str, ("T", *wanted) if moves else wanted))
        raise errors.BadInput(f"an array of shape {clip.shape}: this model reads [{shape}]")
    return clip
