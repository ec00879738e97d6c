"""An exported model as it was when it was opened, whatever happens to its folder since.

The folder may be a stranger's: model.json is data of a known form, no name in it leads out of the
folder, and no file is used that is not the one that it describes. (model.tflite itself runs in
LiteRT: docs/safety.md.)
"""

import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import IO, Annotated, Any, Literal

import numpy as np
import pydantic

from aslx import errors
from aslx.export import exports, tflite
from aslx.schema import landmarks
from aslx.storage import files

Answer = dict[str, Any]  # See `About.report`.

_AGAIN = "export again"
_CHUNK = 2**18  # Bytes.
_Text = Annotated[str, pydantic.Field(max_length=10_000)]
_Side = Annotated[int, pydantic.Field(ge=1, le=2**20)]
_Name = Annotated[str, pydantic.Field(pattern=r"^([A-Za-z0-9_]+/)?[A-Za-z0-9_][A-Za-z0-9_.]*$")]


class _Form(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)


class _Input(_Form):
    kind: Literal["columns", "frames", "keypoints", "image"]
    shape: Annotated[list[_Side | Literal["t"]], pydantic.Field(min_length=2, max_length=3)]
    columns: Annotated[list[_Text], pydantic.Field(max_length=2**14)] = []


class _File(_Form):
    bytes: Annotated[int, pydantic.Field(ge=1, le=2**31)]
    sha256: str


class _Web(_Form):
    file: _Name


class Score(_Form):
    """How well the model did."""

    name: _Text
    """"score", or "loss"."""
    value: float
    on: _Text
    """The split, and how much of it."""


class _Described(_Form):
    """What aslx.export writes into model.json."""

    step: Annotated[int, pydantic.Field(ge=0)]
    scores: Annotated[list[Score], pydantic.Field(max_length=10)]
    input: _Input
    task: Literal["transcription", "classification"]
    answers: Annotated[list[_Text], pydantic.Field(min_length=1, max_length=2**16)]
    files: Annotated[dict[_Name, _File], pydantic.Field(max_length=100)]
    web: Annotated[list[_Web], pydantic.Field(max_length=100)] = []


@dataclasses.dataclass(frozen=True)
class File:
    """A file that was found to be what model.json says. It is held open, and so outlives its
    folder."""

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
class About:
    """What aslx.export wrote of the model into model.json."""

    step: int
    task: str  # "transcription" or "classification".
    kind: str  # "columns", "frames", "keypoints" or "image".
    shape: tuple[int, ...]  # Of a frame, or of the image.
    columns: tuple[str, ...]  # Kaggle's names of a frame's values; () where they have none.
    answers: tuple[str, ...]  # Characters by column of the outputs, or classes.

    @property
    def classifies(self) -> bool:
        return self.task == "classification"

    @property
    def width(self) -> int:
        """Values of a frame."""
        return int(np.prod(self.shape))

    @property
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
        # The competition's loop: an index without a character is left out.
        characters = [
            {"character": self.answers[i], "confidence": round(float(row[i]), 4)}
            for row, i in zip(outputs, outputs.argmax(1), strict=True)
            if i < len(self.answers)
        ]
        return {"text": "".join(c["character"] for c in characters), "characters": characters}


@dataclasses.dataclass(frozen=True)
class Export:
    """A folder that aslx.export wrote."""

    folder: pathlib.Path
    about: About
    scores: tuple[Score, ...]
    """The checkpoint's, and the exported file's own, where they are known."""
    described: bytes
    """model.json."""
    files: dict[str, File]
    """By their names in the folder; model.json and report.json are none of them."""
    mark: tuple[int, int] | None

    @functools.cached_property
    def source(self) -> Any:
        """How files and arrays become the model's inputs, as of a run."""
        from aslx.inputs import input_kinds  # It imports JAX, which the server does without.

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
        return interpreter(self.files[exports.MODEL].read(), self.about)

    def answers(self, clips: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The model's outputs for clips or images, as `source` reads them from a file."""
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
        """Whether another export has taken its place."""
        there = _mark(self.folder)
        return there is not None and there != self.mark


def open_export(folder: str | pathlib.Path) -> Export:
    """The export in a folder, as RUN/export; BadInput where it is not one whole export.

    Needs the extra `serve`, and TensorFlow never."""
    folder = pathlib.Path(folder)
    for _ in range(10):
        mark = _mark(folder)
        try:
            found = _export(folder, mark)
        except errors.BadInput:
            if _mark(folder) == mark:
                raise
        else:
            if _mark(folder) == mark:
                return found
    raise errors.BadInput(f"{folder} is replaced all the time: serve it when that is over")


def _mark(folder: pathlib.Path) -> tuple[int, int] | None:
    """What changes where another export takes the folder's place."""
    try:
        found = os.stat(folder / exports.ABOUT)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_ino, found.st_mtime_ns


def _export(folder: pathlib.Path, mark: tuple[int, int] | None) -> Export:
    path = folder / exports.ABOUT
    values = files.read_object(path)
    try:
        said = _Described.model_validate(values)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part)[:100] for part in first["loc"])
        raise errors.BadInput(
            f"{path} is not what aslx.export writes ({where}: {first['msg']}): {_AGAIN}"
        ) from None
    found = {name: _file(folder / name, file) for name, file in said.files.items()}
    for name in (exports.MODEL, *(entry.file for entry in said.web)):
        if name not in found:
            raise errors.BadInput(f"{path} does not describe {name}: {_AGAIN}")
    described = path.read_bytes()
    about, scores = _about(path, said), tuple(said.scores)
    return Export(folder, about, scores, described, found, mark)


def _file(path: pathlib.Path, said: _File) -> File:
    if not path.is_file():  # Nor a pipe, which nobody may ever write to.
        raise errors.BadInput(f"{path} is missing: {_AGAIN}")
    with files.given(path):
        opened = path.open("rb")
    if os.fstat(opened.fileno()).st_size == said.bytes:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
        if found == said.sha256:
            return File(opened, said.bytes, found)
    opened.close()
    raise errors.BadInput(f"{path} is not the file that {exports.ABOUT} describes: {_AGAIN}")


def _about(path: pathlib.Path, said: _Described) -> About:
    kind, columns = said.input.kind, tuple(said.input.columns)
    if kind == "frames":  # All points, x, y and z of each together.
        columns = tuple(f"{axis}_{p}" for p in landmarks.POINTS for axis in landmarks.AXES)
    shape = tuple(n for n in said.input.shape if n != "t")
    about = About(said.step, said.task, kind, shape, columns, tuple(said.answers))
    clips = said.input.shape[0] == "t" and "t" not in said.input.shape[1:]
    sides = kind != "image" or len(shape) == 3
    if clips == (kind == "image") or not sides or (columns and len(columns) != about.width):
        raise errors.BadInput(f"{path}: {kind} of shape {said.input.shape} are not read: {_AGAIN}")
    return about


def interpreter(model: bytes, about: About) -> Callable:
    """inputs -> outputs, as Kaggle's evaluator calls them; BadInput where the model does not take
    what model.json says, or answers otherwise."""
    try:
        runner = tflite.runner(model)
        takes = tuple(runner.get_input_details()["inputs"]["shape_signature"])
        gives = tuple(runner.get_output_details()["outputs"]["shape"])
    except (ValueError, RuntimeError, KeyError) as error:  # As LiteRT says of what it cannot run.
        raise errors.BadInput(f"model.tflite cannot be run: {error}; export again") from None
    says = about.shape if about.kind == "image" else (-1, *about.shape)
    if takes != says:
        raise errors.BadInput(
            f"model.json says {says}, and model.tflite takes {takes}: export again"
        )
    answers = len(about.answers)
    enough = gives == (answers,) if about.classifies else len(gives) == 2 and gives[1] >= answers
    if not enough:
        raise errors.BadInput(
            f"model.json names {answers} answers, and model.tflite gives {gives}: export again"
        )
    return runner
