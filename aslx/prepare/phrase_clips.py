"""Clips of fingerspelling: lines of a csv, and the landmarks of their sequences in a parquet or in
.pose files.

Functions take and answer values that can be pickled, for a process pool or another runner.
"""

import dataclasses
import os
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from aslx import errors
from aslx.readers import csv_files, parquet, pose_files
from aslx.schema import landmarks, vocab

NO_FRAMES = "no frames in the file"
NO_LANDMARK = "not one landmark in any frame"
NO_PART = "signer and phrase fell into different parts"
FEW_HANDS = "too few frames with a whole hand"
FEW_FRAMES = "too few frames a character"
_HOLD = re.compile(r"(\d{1,9})-(\d{1,9})", re.ASCII)
_INFINITY = 0x7C00  # Of IEEE 754 binary16; NaN lies above.


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a csv."""

    path: str  # Of the parquet or .pose file, relative to the source folder.
    sequence_id: int
    signer: int  # Kaggle's participant_id, -1 where it is unknown.
    phrase: str
    part: str | None = None  # One of splits.PARTS, once divided; None where it fits in none.
    confidence: float | None = None  # Of the model that read the phrase; None where it is known.
    name: str = ""  # The signer's, where the csv has a name and no number.
    holds: tuple[tuple[int, int], ...] = ()  # Each character's first and last frame, where known.
    mended: tuple[str, ...] = ()  # Words of `mending`.


@dataclasses.dataclass(frozen=True)
class Clip:
    """Facts about the landmarks of a row."""

    row: Row
    frames: int = 0
    right: int = 0  # Frames that show the whole right hand,
    left: int = 0  # the whole left hand,
    no_hand: int = 0  # and neither.
    empty: bool = False  # No frame has a landmark.
    mended: tuple[str, ...] = ()  # Words of `mending`.
    dropped: str = ""  # The reason; empty where the clip is kept.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Keep:
    """Which clips to keep, and which points of each."""

    selection: str = "holistic130"
    """holistic130 (hands, arms, lips, nose, eyes) or hands_arms (hands, arms)."""
    whole_hands: bool = False
    """Keep a clip only if 2 x its characters < the frames that show one hand (both baselines)."""
    frames_per_character: float = 0.0
    """Keep a clip only if it has as many frames a character (the transformer baseline: 1)."""

    def reason(self, clip: Clip) -> str:
        """Why the clip is dropped; empty where it is kept."""
        length = len(clip.row.phrase)
        if clip.frames == 0:
            return NO_FRAMES
        if clip.empty:
            return NO_LANDMARK
        if clip.frames < self.frames_per_character * length:
            return FEW_FRAMES
        # adish007/ASL-Fingerspelling-using-LSTM: `2*len(phrase) < max(r_nonan, l_nonan)`.
        if self.whole_hands and not 2 * length < max(clip.right, clip.left):
            return FEW_HANDS
        return ""


def phrase(line: csv_files.Line, where: str, alphabet: vocab.Alphabet | None) -> str:
    """The phrase of a line, in NFC; BadInput where it is empty, or has a character that is not in
    the alphabet or, if none is known, that can be in none."""
    text = vocab.normal(line["phrase"])
    try:
        if not text:
            raise errors.BadInput("an empty phrase")
        (alphabet or vocab.of_phrases([text])).encode(text)
    except errors.BadInput as error:
        raise errors.BadInput(f"{where}: {error}; correct or remove the line") from error
    return text


def written(holds: Iterable[Sequence[int]]) -> str:
    """Characters' first and last frames, int[L, 2], as a csv has them: 3-7 9-12."""
    return " ".join(f"{first}-{last}" for first, last in holds)


def holds(line: csv_files.Line, phrase: str) -> tuple[tuple[int, int], ...]:
    """The frames in which each character of the phrase is held, where the csv tells; BadInput where
    they are not a range of frames for each character, in order."""
    text = line.values.get("holds", "").strip()
    if not text:
        return ()
    found = [_HOLD.fullmatch(part) for part in text.split()]
    ranges = [(int(m[1]), int(m[2])) for m in found if m]
    flat = [frame for pair in ranges for frame in pair]
    if len(ranges) != len(phrase) or len(found) != len(phrase) or flat != sorted(flat):
        raise errors.BadInput(
            f"{line.where}: holds is {text[:40]!r}, and a range of frames for each of the "
            f"{len(phrase)} characters is wanted, in order, such as 3-7 9-12"
        )
    return tuple(ranges)


def read(
    path: str | os.PathLike, rows: Sequence[Row], keep: Keep
) -> Iterator[tuple[Clip, np.ndarray]]:
    """The clip of every row, with its landmarks float16[T, N, 3] from the file at `path`.

    Clips come in the order of the file; the rows that it lacks come last. Sequences without a row
    are skipped. BadInput as `parquet.read` or `pose_files.read`, and where a value does not fit
    float16.
    """
    selection = landmarks.selection(keep.selection)
    waiting = {row.sequence_id: row for row in rows}
    for found in _sequences(path, rows, selection):
        if found.id in waiting:
            row, where = waiting.pop(found.id), f"{path}, sequence {found.id}"
            yield clip(row, found.points, found.mended, keep, where)
    for row in waiting.values():
        yield Clip(row, dropped=NO_FRAMES), np.zeros((0, len(selection.points), 3), "<f2")


def clip(
    row: Row, points_TN3: np.ndarray, mended: Sequence[str], keep: Keep, where: str
) -> tuple[Clip, np.ndarray]:
    """The clip of a row whose landmarks are f[T, N, 3], the points of the selection, and these as
    float16. BadInput where a value does not fit, or where a character is held past the end."""
    selection = landmarks.selection(keep.selection)
    hands = selection.part("right_hand"), selection.part("left_hand")
    half_TN3 = half(points_TN3, selection, where)
    lost_TN3 = _magnitudes(half_TN3) > _INFINITY
    right, left = (~lost_TN3[:, hand].any(axis=(1, 2)) for hand in hands)
    if row.holds and row.holds[-1][1] >= len(half_TN3):
        raise errors.BadInput(
            f"{where} has {len(half_TN3)} frames, and its csv says that a character is held until"
            f" frame {row.holds[-1][1]}"
        )
    found = Clip(
        row,
        frames=len(half_TN3),
        right=int(right.sum()),
        left=int(left.sum()),
        no_hand=int((~right & ~left).sum()),
        empty=bool(lost_TN3.all()),
        mended=(*row.mended, *mended),
    )
    return dataclasses.replace(found, dropped=keep.reason(found)), half_TN3


def _sequences(
    path: str | os.PathLike, rows: Sequence[Row], selection: landmarks.Selection
) -> Iterator[parquet.Sequence]:
    if not pose_files.is_pose(os.fspath(path)):
        yield from parquet.read(path, selection)
        return
    if len(rows) > 1:
        raise errors.BadInput(f"{path} is listed {len(rows)} times: a .pose file holds one clip")
    clip = pose_files.read(pathlib.Path(path))
    points_TN3 = clip.points[:, landmarks.ALL.indices(*selection.points)]
    yield parquet.Sequence(rows[0].sequence_id, np.ascontiguousarray(points_TN3), clip.mended)


def _magnitudes(half_TN3: np.ndarray) -> np.ndarray:
    """The bits of float16 without the sign: numpy compares integers five times as fast."""
    return half_TN3.view("<u2") & 0x7FFF


def half(clip_TN3: np.ndarray, selection: landmarks.Selection, where: str) -> np.ndarray:
    """Points f[T, N, 3] rounded to float16; NaN stays. BadInput where a value does not fit."""
    with np.errstate(over="ignore"):
        half_TN3 = clip_TN3.astype("<f2")
    infinite_TN3 = _magnitudes(half_TN3) == _INFINITY
    if infinite_TN3.any():
        frame, point, axis = np.argwhere(infinite_TN3)[0]
        raise errors.BadInput(
            f"{where}: {landmarks.AXES[axis]}_{selection.points[point]} is "
            f"{clip_TN3[frame, point, axis]} in frame {frame}, beyond float16's 65504; "
            "write landmarks as fractions of the image"
        )
    return half_TN3
