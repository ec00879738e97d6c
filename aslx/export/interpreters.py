"""The interpreters of an export's files, which must take and answer what model.json says."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from aslx import errors
from aslx.export import exports, stream_reading, tflite

if TYPE_CHECKING:
    from aslx.export import exported

_BAD = ValueError, RuntimeError, KeyError  # LiteRT's errors for a bad model.


def of_clips(model: bytes, about: "exported.About") -> Callable:
    """inputs -> outputs, called as Kaggle's evaluator does; BadInput if the model takes or answers
    something else than model.json says."""
    try:
        runner = tflite.runner(model)
        takes = tuple(runner.get_input_details()["inputs"]["shape_signature"])
        gives = tuple(runner.get_output_details()["outputs"]["shape"])
    except _BAD as error:
        raise errors.BadInput(f"{exports.MODEL} cannot be run: {error}; {exports.AGAIN}") from None
    says = about.shape if about.kind == "image" else (-1, *about.shape)
    answers = len(about.answers)
    enough = gives == (answers,) if about.classifies else len(gives) == 2 and gives[1] >= answers
    if takes != says:
        what = f"says {says}, and {exports.MODEL} takes {takes}"
    elif not enough:
        what = f"names {answers} answers, and {exports.MODEL} gives {gives}"
    else:
        return runner
    raise errors.BadInput(f"{exports.ABOUT} {what}: {exports.AGAIN}")


def of_streams(
    model: bytes, about: "exported.About", streams: int = 0
) -> tuple[stream_reading.Start, stream_reading.Step]:
    """The start and the steps of a stream, or of so many streams as one; BadInput as above."""
    said = about.stream
    assert said
    name = said.several.file if streams and said.several else said.file
    several, count = (streams,) if streams else (), len(about.answers) + 1
    try:
        start, step = tflite.stream(model)
        takes = {k: tuple(of["shape"]) for k, of in step.get_input_details().items()}
        gives = {k: tuple(of["shape"]) for k, of in step.get_output_details().items()}
    except _BAD as error:
        raise errors.BadInput(f"{name} cannot be run: {error}; {exports.AGAIN}") from None
    state = {k: (*several, *shape) for k, shape in said.state.items()}
    frames = (*several, said.chunk, *about.shape)
    inputs = {"inputs": frames, "frames": (*several, 1), "rests": (2,)}
    rows = gives.pop("outputs", ())
    if takes != inputs | state or gives != {"ended": (*several, 1)} | state:
        what = "has a state of other arrays, or takes or gives others"
    elif len(rows) != 2 + len(several) or rows[-1] != count:
        what = f"gives {rows}, and {exports.ABOUT} names {count - 1} answers"
    else:
        return stream_reading.steps(start, step)
    raise errors.BadInput(f"{name} {what}: {exports.AGAIN}")
