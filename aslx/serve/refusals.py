"""Refuses a stranger's request, with a reason in one short line."""

from collections.abc import Callable
from typing import Any

import pydantic

from aslx.export import exported

_LONG, _HEAD = 300, 200  # Characters of a reason, and of its beginning if it is cut.


class Refused(Exception):
    """A request that cannot be answered: HTTP status and reason."""

    def __init__(self, status: int, why: str):
        super().__init__(why)
        self.status = status


def line(why: str) -> str:
    """A reason in the form in which it is sent: one line, cut if it quotes something long."""
    why = " ".join(why.split())
    return why if len(why) <= _LONG else f"{why[:_HEAD]} ... {why[_HEAD - _LONG :]}"


def validated(validate: Callable[[Any], Any], data: Any) -> Any:
    """Validates data with a pydantic model; Refused names the first error and its place."""
    try:
        return validate(data)
    except pydantic.ValidationError as error:
        invalid = error.errors(include_input=False)[0]["type"] == "json_invalid"
        raise Refused(400 if invalid else 422, exported.first_error(error)) from None
