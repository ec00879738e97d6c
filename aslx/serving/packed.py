"""msgpack messages of strangers, in little more memory than they have bytes."""

import itertools
from typing import Any

import msgpack
import numpy as np
import pydantic

from aslx.serving.refusals import Refused

LISTS = 20_002  # Of a message: its rows, and those that hold them.
LENGTH = 20_000  # Of a list.
_NAME = 1000  # Bytes of text.
_NUMBERS = {int, float, type(None)}


def message(model: type[pydantic.BaseModel], body: bytes) -> Any:
    """A message of the fields of this form, whose lists are of texts, or of rows f32[n]."""
    maps, lists = itertools.count(), itertools.count()

    def whole_map(values: dict) -> dict:
        if next(maps):  # The outer one ends last.
            raise Refused(422, "a map in a map")
        return values

    def whole_list(values: list) -> Any:
        if next(lists) >= LISTS:
            raise Refused(422, f"more than {LISTS} lists")
        types = set(map(type, values))
        if types <= _NUMBERS:
            with np.errstate(over="ignore"):  # What float32 cannot hold is missing.
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
    return _formed(model, values)


def _formed(model: type[pydantic.BaseModel], values: Any) -> Any:
    if not isinstance(values, dict):
        raise Refused(422, "the message is no map")
    rows = values.pop("frames", None) if "frames" in model.model_fields else None
    if "columns" in values and isinstance(values["columns"], np.ndarray):
        values["columns"] = values["columns"].tolist()
    return rows
