"""An exported model as it was when it was opened, whatever happens to its folder since.

The folder may be a stranger's: model.json is data of a known form, no name in it leads out of the
folder, and no file is used that is not the one that it describes. (model.tflite itself runs in
LiteRT: docs/safety.md.)
"""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import AsyncIterator
from typing import IO, Annotated, Literal

import pydantic

from aslx import errors
from aslx.export import exports
from aslx.schema import landmarks
from aslx.serve.interpreter_pool import About
from aslx.storage import files

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

    @property
    def replaced(self) -> bool:
        """Whether another export has taken its place."""
        there = _mark(self.folder)
        return there is not None and there != self.mark


def export(folder: pathlib.Path) -> Export:
    """What is in a folder; BadInput where it is not one whole export."""
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
    return Export(
        *(folder, _about(path, said), tuple(said.scores), described),
        *(found, mark),
    )


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
    if clips == (kind == "image") or (columns and len(columns) != about.width):
        raise errors.BadInput(f"{path}: {kind} of shape {said.input.shape} are not read: {_AGAIN}")
    return about
