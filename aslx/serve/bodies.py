"""Turns the bodies of strangers' requests into clips for the model, or refuses them in one line.

JSON and msgpack have the same form, `Clip`; parquet has Kaggle's, and .pose that of pose-format. A
number may be null or NaN: the tracker lost the point.
"""

import dataclasses
import io
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import pydantic
from PIL import Image

from aslx import cli, errors
from aslx.export.exported import About
from aslx.readers import (
    images,
    parquet,
    parquet_bounds,
    parquet_rows,
    pose_files,
    sign_parquet,
)
from aslx.schema import landmarks
from aslx.serve import packed, refusals
from aslx.serve.limits import Limits
from aslx.serve.refusals import Refused

JSON, MSGPACK = "application/json", "application/msgpack"
PARQUET, PNG, JPEG = "application/vnd.apache.parquet", "image/png", "image/jpeg"
POSE = "application/pose"
_TAKES = {
    "columns": (JSON, MSGPACK, PARQUET, POSE),
    "frames": (JSON, MSGPACK, PARQUET, POSE),
    "keypoints": (JSON, MSGPACK),
    "image": (PNG, JPEG),
}
SEQUENCES = 100  # The most in a parquet.
_DECODED = 2**26  # The most bytes of a parquet's decoded columns.
_LISTS = 2**17  # The most lists and objects in a JSON message.
_PIXELS, _SIDE = 2**24, 2**14  # The most of an image, before it is resized.
_LARGE = 2**18  # Bytes above which a body is parsed alone.

# With fail_fast, the first of millions of wrong values ends the validation.
_Short = pydantic.Field(max_length=packed.LENGTH, fail_fast=True)
Names = Annotated[list[str], _Short]
Frame = Annotated[list[float | None], _Short]
Rows = Annotated[list[Frame], _Short]
Clips = list[tuple[int | None, np.ndarray]]  # Sequence id, if the body has it; f32[t, *shape].


class Strict(pydantic.BaseModel):
    """A form whose numbers must be numbers, without unknown fields."""

    model_config = pydantic.ConfigDict(strict=True, extra="forbid")


class Clip(Strict):
    """Frames of landmarks, and the names of their values."""

    columns: Names = pydantic.Field(default_factory=list)
    """Kaggle's names in the order of a frame's values. All columns that the model reads must be
    there; others are ignored. By default, the model's columns in its own order."""
    frames: Rows


class Columns:
    """The order of a client's columns, by which its frames become the model's."""

    def __init__(self, about: About, names: Sequence[str]):
        self._about, self._order = about, None
        self._selection = about.selection
        self.width = about.width
        if not names:
            return
        if not about.columns:
            raise Refused(422, f"the {about.kind} that the model reads have no named columns")
        place = {name: i for i, name in enumerate(names)}
        if len(place) < len(names):
            raise Refused(422, "a column is named twice")
        missing = [name for name in about.columns if name not in place]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise Refused(422, f"the columns lack {missing[0]!r}{more}, which the model reads")
        self.width = len(names)
        self._order = np.array([place[name] for name in about.columns])

    def rows(self, frames: list[list[float | None]]) -> np.ndarray:
        """f32[t, *shape] of lists of numbers and None."""
        for i, frame in enumerate(frames):
            if len(frame) != self.width:
                raise Refused(422, f"frame {i} has {len(frame)} values, and not {self.width}")
        with np.errstate(over="ignore"):  # A value that float32 cannot hold counts as missing.
            return self.ordered(np.array(frames, np.float32).reshape(len(frames), self.width))

    def ordered(self, rows: np.ndarray) -> np.ndarray:
        """f32[t, *shape] of f32[t, width]; a lost part is NaN, also if the client sends zeros."""
        rows = rows if self._order is None else rows[:, self._order]
        clip = rows.reshape(len(rows), *self._about.shape)
        if self._about.kind == "frames":
            return landmarks.lost_where_zero(clip, self._selection)[0]
        if self._about.kind == "columns":
            points_TN3 = self._selection.from_columns(clip)
            found_TN3, lost = landmarks.lost_where_zero(points_TN3, self._selection)
            return landmarks.columns(found_TN3) if lost else clip
        return clip


def takes(about: About) -> tuple[str, ...]:
    """The content types that the model's clips can have."""
    return _TAKES[about.kind]


def is_large(body: bytes, kind: str) -> bool:
    """Whether to parse a body alone: parsed numbers take many times the bytes of their text."""
    return len(body) > _LARGE or kind in (PARQUET, POSE)


def clips(body: bytes, kind: str, about: About, limits: Limits) -> Clips:
    """All clips of a body of this content type; Refused if they cannot be read."""
    if kind not in takes(about):
        raise Refused(415, f"content type {kind!r}: the model takes {', '.join(takes(about))}")
    if kind in (PNG, JPEG):
        return [(None, _image(body, about.shape))]
    if kind == PARQUET:
        return _parquet(body, about, limits)
    if kind == POSE:
        return _pose(body, about, limits)
    clip = parsed(Clip, body, kind)
    check_frames(len(clip.frames), limits)
    return [(None, Columns(about, clip.columns).rows(clip.frames))]


def parsed(model: type[pydantic.BaseModel], body: bytes | str, kind: str) -> Any:
    """A JSON or msgpack message, validated by the model."""
    text = body.encode(errors="surrogatepass") if isinstance(body, str) else body
    if kind == MSGPACK:
        return packed.message(model, text)
    # The parser builds the whole message before the model checks it: also millions of empty lists.
    if text.count(b"[") + text.count(b"{") > _LISTS:
        raise Refused(422, f"more than {_LISTS} lists and objects")
    return refusals.validated(model.model_validate_json, body)


def check_frames(count: int, limits: Limits) -> None:
    if count > limits.frames:
        raise Refused(413, f"a clip of {count} frames: at most {limits.frames} are taken")


class _Body(io.BytesIO):
    """A body with a name for error messages."""

    def __str__(self) -> str:
        return "the body"


def _parquet(body: bytes, about: About, limits: Limits) -> Clips:
    # A few bytes can stand for many equal rows.
    bounds = parquet_bounds.Bounds(rows=10 * limits.frames, bytes=_DECODED)
    try:
        if about.kind == "frames" and "landmark_index" in parquet_rows.names(_Body(body)):
            return _long(body, bounds, limits)
        return _wide(body, about, bounds, limits)
    except parquet_bounds.TooMuch as error:
        raise Refused(413, str(error)) from None
    except errors.BadInput as error:
        raise Refused(422, str(error)) from None


def _long(body: bytes, bounds: parquet_bounds.Bounds, limits: Limits) -> Clips:
    """A clip in the layout of asl-signs: a row for each landmark."""
    bounds = dataclasses.replace(bounds, rows=limits.frames * len(landmarks.POINTS))
    return [(None, sign_parquet.clip(_Body(body), bounds).points)]


def _wide(body: bytes, about: About, bounds: parquet_bounds.Bounds, limits: Limits) -> Clips:
    """Clips in the layout of asl-fingerspelling: a row for each frame."""
    selection = about.selection
    pack = landmarks.columns if about.kind == "columns" else np.asarray
    found: Clips = []
    for sequence in parquet.read(_Body(body), selection, bounds):
        check_frames(len(sequence.points), limits)
        if len(found) == SEQUENCES:
            raise Refused(413, f"more than {SEQUENCES} sequences in a parquet")
        found.append((sequence.id, pack(sequence.points)))
    return found


def _pose(body: bytes, about: About, limits: Limits) -> Clips:
    try:
        found = pose_files.parsed(body, "the body", limits.frames)
    except pose_files.TooMany as error:
        raise Refused(413, str(error)) from None
    except errors.BadInput as error:
        raise Refused(422, str(error)) from None
    except ModuleNotFoundError:
        raise Refused(415, f"this server reads no .pose: {cli.installing('pose')}") from None
    if about.kind == "frames":
        return [(None, found.points)]
    selection = about.selection
    points_TN3 = found.points[:, landmarks.ALL.indices(*selection.points)]
    return [(None, landmarks.columns(points_TN3))]


def _image(body: bytes, shape: tuple[int, ...]) -> np.ndarray:
    height, width, channels = shape
    try:
        with Image.open(io.BytesIO(body), formats=("PNG", "JPEG")) as image:
            sides = image.width, image.height
        if max(sides) <= _SIDE and sides[0] * sides[1] <= _PIXELS:
            return images.read(_Body(body), (height, width, channels)).astype(np.float32)
    except Exception:  # A decoder may raise anything for a stranger's bytes.
        raise Refused(422, "the body is no PNG or JPEG image that can be read") from None
    size = f"an image of {sides[0]} x {sides[1]} pixels"
    raise Refused(413, f"{size}: at most {_PIXELS} are taken, and {_SIDE} a side")
