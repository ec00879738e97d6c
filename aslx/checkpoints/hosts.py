"""What several hosts that train together decide alike."""

from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from aslx import errors

_ROOM = 4096  # Bytes of a host's text.

T = TypeVar("T")


def together(work: Callable[[], T]) -> T:
    """What `work` answers here. BadInput on any host is raised on all of them, with the same line:
    else the others would wait for the one that ended."""
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
    return answer  # type: ignore[return-value] - No line: `work` answered.


def on_first(work: Callable[[], object]) -> None:
    """`work` on the first host alone; BadInput there is raised on all."""
    together(lambda: work() if jax.process_index() == 0 else None)


def gathered(text: str) -> list[str]:
    """Each host's text, by the host's number, on every host; what exceeds 4 KiB is left out."""
    if jax.process_count() == 1:
        return [text]
    data = text.encode()[:_ROOM]
    row = np.frombuffer(data.ljust(_ROOM, b"\0"), np.uint8)
    rows = np.asarray(multihost_utils.process_allgather(row)).reshape(-1, _ROOM)
    return [r.tobytes().rstrip(b"\0").decode(errors="ignore") for r in rows]
