"""Work and errors that several hosts share while they train together."""

from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from aslx import errors

_ROOM = 4096  # Bytes of a host's text.

T = TypeVar("T")


def together(work: Callable[[], T]) -> T:
    """The result of `work` on this host. BadInput on any host is raised on all hosts with the same
    line: otherwise the others would wait for the host that ended."""
    if jax.process_count() == 1:
        return work()
    answer, refused = None, ""
    try:
        answer = work()
    except errors.BadInput as error:
        refused = str(error)
    for line in gathered(refused):
        if line:
            raise errors.BadInput(line)
    return answer  # type: ignore[return-value] - `work` returned, because no host refused.


def on_first(work: Callable[[], object]) -> None:
    """Does `work` on the first host alone; BadInput there is raised on all hosts."""
    together(lambda: work() if jax.process_index() == 0 else None)


def gathered(text: str) -> list[str]:
    """Each host's text, in the order of the hosts, on every host. A text is cut off at 4 KiB."""
    if jax.process_count() == 1:
        return [text]
    data = text.encode()[:_ROOM]
    row = np.frombuffer(data.ljust(_ROOM, b"\0"), np.uint8)
    rows = np.asarray(multihost_utils.process_allgather(row)).reshape(-1, _ROOM)
    return [r.tobytes().rstrip(b"\0").decode(errors="ignore") for r in rows]
