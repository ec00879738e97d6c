"""Parses msgpack messages of strangers in little more memory than the messages have bytes."""

import itertools
import math
from typing import Any

import msgpack
import numpy as np
import pydantic

from aslx.serve import refusals
from aslx.serve.refusals import Refused

LISTS = 20_002  # The most lists in a message: its rows, and the lists that hold them.
LENGTH = 20_000  # The most values of a list.
_NAME = 1000  # The most bytes of a text.
_NUMBERS = {int, float, type(None)}


def message(model: type[pydantic.BaseModel], body: bytes) -> Any:
    """A message with the fields of `model`, whose lists hold texts, or rows f32[n]."""
    maps, lists = itertools.count(), itertools.count()

    def whole_map(values: dict) -> dict:
        if next(maps):  # The message is the only map: a map within it would end before it.
            raise Refused(422, "a map in a map")
        return values

    def whole_list(values: list) -> Any:
        if next(lists) >= LISTS:
            raise Refused(422, f"more than {LISTS} lists")
        types = set(map(type, values))
        if types <= _NUMBERS:
            if type(None) in types:  # NumPy converts None too, ten times slower.
                values = [math.nan if value is None else value for value in values]
            with np.errstate(over="ignore"):  # A value that float32 cannot hold counts as missing.
                return np.array(values, np.float32)
        if types in ({str}, {np.ndarray}):
            return values
        raise Refused(422, "a list of other things than numbers, texts, or rows of numbers")

    try:
        values = msgpack.unpackb(
            body,
            object_hook=whole_map,
            list_hook=whole_list,
            max_map_len=len(model.model_fields) + 1,
            max_array_len=LENGTH,
            max_str_len=_NAME,
            max_bin_len=0,
            max_ext_len=0,
        )
    except (ValueError, msgpack.UnpackException) as error:
        raise Refused(400, f"no msgpack message: {error!r}") from None
    if not isinstance(values, dict):
        raise Refused(422, "the message is no map")
    if isinstance(values.get("columns"), np.ndarray):  # An empty list, or a list of numbers.
        values["columns"] = values["columns"].tolist()
    if "frames" not in values or "frames" not in model.model_fields:
        return refusals.validated(model.model_validate, values)
    rows = _rows(values["frames"])
    found = refusals.validated(model.model_validate, values | {"frames": []})
    found.frames = rows
    return found


def _rows(values: Any) -> list[np.ndarray]:
    if isinstance(values, np.ndarray) and not values.size:
        return []
    if isinstance(values, list) and all(isinstance(row, np.ndarray) for row in values):
        return values
    raise Refused(422, "frames: a list of rows is wanted")
