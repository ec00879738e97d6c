"""Why what a stranger sent cannot be answered, in one short line."""

from collections.abc import Callable
from typing import Any

import pydantic

_LONG, _HEAD = 300, 200  # Characters of a reason, and of its beginning where it is cut.


class Refused(Exception):
    """A request that cannot be answered: HTTP status, and why."""

    def __init__(self, status: int, why: str):
        super().__init__(why)
        self.status = status


def line(why: str) -> str:
    """A reason as it is sent: it may repeat what it is about, which may be long."""
    why = " ".join(why.split())
    return why if len(why) <= _LONG else f"{why[:_HEAD]} ... {why[_HEAD - _LONG :]}"


def validated(validate: Callable[[Any], Any], data: Any) -> Any:
    """What a pydantic model makes of the data; Refused names the first error and where it is."""
    try:
        return validate(data)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        status = 400 if first["type"] == "json_invalid" else 422
        raise Refused(status, f"{where}: {first['msg']}" if where else first["msg"]) from None
