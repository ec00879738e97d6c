"""An exported model, as it was when it was opened, whatever happens to its folder later.

The folder may come from a stranger: model.json must have a known form, its names must stay inside
the folder, and every file must have the size and hash that it states. (model.tflite itself runs in
LiteRT: docs/safety.md.)
"""

import dataclasses
import functools
import hashlib
import json
import math
import os
import pathlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import IO, Annotated, Any, Literal, Self, TypeVar

import numpy as np
import pydantic

from aslx import errors
from aslx.export import exports, interpreters
from aslx.schema import landmarks, vocab
from aslx.storage import files

Answer = dict[str, Any]  # See `About.report`.

_CHUNK = 2**18  # Bytes.
_Text = Annotated[str, pydantic.Field(max_length=10_000)]
_Side = Annotated[int, pydantic.Field(ge=1, le=2**20)]
_Name = Annotated[str, pydantic.Field(pattern=r"^([A-Za-z0-9_]+/)?[A-Za-z0-9_][A-Za-z0-9_.]*$")]


class Form(pydantic.BaseModel):
    """What a JSON file of an export must look like. Numbers are numbers, texts are texts."""

    model_config = pydantic.ConfigDict(strict=True, frozen=True)


AnyForm = TypeVar("AnyForm", bound=Form)


class _Input(Form):
    kind: Literal["columns", "frames", "keypoints", "image"]
    shape: Annotated[list[_Side | Literal["t"]], pydantic.Field(min_length=2, max_length=3)]
    columns: Annotated[list[_Text], pydantic.Field(max_length=2**14)] = []


class _File(Form):
    bytes: Annotated[int, pydantic.Field(ge=1, le=2**31)]
    sha256: str


class _Web(Form):
    file: _Name


class _Several(Form):
    file: _Name
    streams: Annotated[int, pydantic.Field(ge=2, le=64)]


class Stream(Form):
    """A model with a state, as `exporting.stream_about` describes it."""

    file: _Name
    rate: Annotated[float, pydantic.Field(ge=1, le=240)]
    """Frames a second."""
    chunk: Annotated[int, pydantic.Field(ge=1, le=256)]
    """Frames of a step."""
    state: Annotated[dict[_Text, list[_Side]], pydantic.Field(max_length=1000)]
    several: _Several | None = None  # A file whose steps are of so many streams.


class Score(Form):
    """How well the model did."""

    name: _Text
    """"score", or "loss"."""
    value: float
    on: _Text
    """The split, and how many of its clips."""


class About(Form):
    """What aslx.export writes about the model into model.json."""

    step: Annotated[int, pydantic.Field(ge=0)]
    scores: Annotated[list[Score], pydantic.Field(max_length=10)]
    """Of the checkpoint, and of the exported file itself, where they are known."""
    input: _Input
    task: Literal["transcription", "classification"]
    answers: Annotated[list[_Text], pydantic.Field(min_length=1, max_length=2**16)]
    """The character of each column of the outputs, or the classes."""
    files: Annotated[dict[_Name, _File], pydantic.Field(max_length=100)]
    web: Annotated[list[_Web], pydantic.Field(max_length=100)] = []
    stream: Stream | None = None
    """Absent if the network reads whole clips only."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> Self:
        said, clips = self.input, self.input.shape[0] == "t" and "t" not in self.input.shape[1:]
        sides = self.kind != "image" or len(self.shape) == 3
        named = not said.columns or len(self.columns) == self.width
        if clips == (self.kind == "image") or not sides or not named:
            raise ValueError(f"{self.kind} of shape {said.shape} are not read")
        for name in (exports.MODEL, *(entry.file for entry in self.web), *self._of_streams):
            if name not in self.files:
                raise ValueError(f"{name} is not described")
        return self

    @property
    def _of_streams(self) -> list[str]:
        found = [self.stream, self.stream.several] if self.stream else []
        return [entry.file for entry in found if entry]

    @property
    def classifies(self) -> bool:
        return self.task == "classification"

    @property
    def kind(self) -> str:
        """ "columns", "frames", "keypoints" or "image"."""
        return self.input.kind

    @functools.cached_property
    def shape(self) -> tuple[int, ...]:
        """The shape of a frame, or of the image."""
        return tuple(n for n in self.input.shape if n != "t")

    @functools.cached_property
    def columns(self) -> tuple[str, ...]:
        """Kaggle's names of a frame's values; () if the values have none."""
        if self.kind == "frames":  # All points; x, y and z of each point are adjacent.
            return tuple(f"{axis}_{p}" for p in landmarks.POINTS for axis in landmarks.AXES)
        return tuple(self.input.columns)

    @property
    def width(self) -> int:
        """Values of a frame."""
        return math.prod(self.shape)

    @functools.cached_property
    def selection(self) -> landmarks.Selection:
        """The points whose columns the model reads, in their order."""
        points = dict.fromkeys(name.partition("_")[2] for name in self.columns)
        return landmarks.Selection("of the model", tuple(points))

    def report(self, outputs: np.ndarray) -> Answer:
        """The model's outputs as the API gives them."""
        if self.classifies:
            pairs = zip(self.answers, outputs, strict=True)
            shares = {name: round(float(share), 4) for name, share in pairs}
            best = self.answers[int(outputs.argmax())]
            return {"class": best, "probability": shares[best], "probabilities": shares}
        characters = [
            {"character": character, "confidence": round(confidence, 4)}
            for character, confidence in vocab.characters(outputs, self.answers)
        ]
        return {"text": "".join(c["character"] for c in characters), "characters": characters}


@dataclasses.dataclass(frozen=True)
class File:
    """A file whose size and hash were checked. It stays open, and so outlives its folder."""

    opened: IO[bytes]
    size: int
    sha256: str

    def read(self, start: int = 0, size: int | None = None) -> bytes:
        self.opened.seek(start)
        return self.opened.read(self.size if size is None else size)

    async def chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, self.size, _CHUNK):
            yield self.read(start, _CHUNK)


@dataclasses.dataclass(frozen=True)
class Export:
    """A folder that aslx.export wrote."""

    folder: pathlib.Path
    about: About
    described: bytes
    """The contents of model.json."""
    files: dict[str, File]
    """All files but model.json and report.json, by their names in the folder."""
    mark: tuple[int, int] | None

    @functools.cached_property
    def source(self) -> Any:
        """How files and arrays become the model's inputs, as for a run."""
        from aslx.inputs import input_kinds  # Imports JAX, which the server does without.

        match self.about.kind:
            case "columns":
                found = input_kinds.Columns(self.about.selection)
            case "frames":
                found = input_kinds.Frames(landmarks.ALL)
            case "keypoints":
                found = input_kinds.Keypoints(self.about.width == landmarks.KEYPOINTS)
            case _:
                height, width, channels = self.about.shape
                found = input_kinds.Image(height, width, channels)
        if tuple(n for n in found.shape if n != "t") != self.about.shape:
            raise errors.BadInput(f"{self.folder}: no file has {self.about.kind} of this shape")
        return found

    @functools.cached_property
    def _interpreter(self) -> Callable:
        return interpreters.of_clips(self.files[exports.MODEL].read(), self.about)

    def answers(self, clips: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The model's outputs for clips or images that `source` has read."""
        return [self._interpreter(inputs=self.source.pack(clip))["outputs"] for clip in clips]

    def report(self, answer: np.ndarray | None) -> Answer:
        """`About.report`; None is the answer to a clip in which nothing was tracked."""
        if answer is not None:
            return self.about.report(answer)
        if self.about.classifies:
            return {"class": "", "probability": 0.0, "probabilities": {}}
        return {"text": "", "characters": []}

    @property
    def replaced(self) -> bool:
        """Whether the folder now holds another export."""
        there = _mark(self.folder)
        return there is not None and there != self.mark


def open_export(folder: str | pathlib.Path) -> Export:
    """Opens the export in a folder such as RUN/export; BadInput unless it is one whole export.

    Needs the extra `serve`, and never TensorFlow."""
    folder = pathlib.Path(folder)
    path = folder / exports.ABOUT
    for _ in range(10):
        mark = _mark(folder)
        try:
            about = read_form(About, path)
            found = {name: _file(folder / name, file) for name, file in about.files.items()}
            export = Export(folder, about, path.read_bytes(), found, mark)
        except errors.BadInput:
            if _mark(folder) == mark:
                raise
        else:
            if _mark(folder) == mark:
                return export
    raise errors.BadInput(f"{folder} is replaced all the time: serve it when that is over")


def open_reader() -> Export:
    """The export that the package brings: a reader of fingerspelling."""
    if not files.exists(exports.READER / exports.ABOUT):
        raise errors.BadInput(f"{exports.READER} holds no reader: pass the --workdir of a run")
    return open_export(exports.READER)


def _mark(folder: pathlib.Path) -> tuple[int, int] | None:
    """A value that changes when another export replaces the folder."""
    try:
        found = os.stat(folder / exports.ABOUT)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_ino, found.st_mtime_ns


def read_form(form: type[AnyForm], path: pathlib.Path) -> AnyForm:
    """Reads a JSON file of an export; BadInput names the first value that has another form."""
    values = files.read_object(path)
    try:
        return form.model_validate_json(json.dumps(values))
    except pydantic.ValidationError as error:
        raise errors.BadInput(
            f"{path} is not what aslx.export writes ({first_error(error)}): {exports.AGAIN}"
        ) from None


def first_error(error: pydantic.ValidationError) -> str:
    """Where the first value of another form stands, and what is wrong with it."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part)[:100] for part in first["loc"])
    why = first["msg"].removeprefix("Value error, ")
    return f"{where}: {why}" if where else why


def _file(path: pathlib.Path, said: _File) -> File:
    if not files.is_file(path):  # Also refuses a pipe, from which reading may never end.
        raise errors.BadInput(f"{path} is missing: {exports.AGAIN}")
    with files.given(path):
        opened = path.open("rb")
    if os.fstat(opened.fileno()).st_size == said.bytes:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
        if found == said.sha256:
            return File(opened, said.bytes, found)
    opened.close()
    raise errors.BadInput(f"{path} is not the file that {exports.ABOUT} describes: {exports.AGAIN}")
