"""Whose fault a failure is: that decides what a command prints and how it exits (aslx.cli).

Three kinds are told apart. What a user gave cannot be used: `BadInput`. Storage, a network or the
machine failed, and the same command may succeed later: `is_temporary`. Everything else is a bug.
"""

import errno
import re
from collections.abc import Iterator

_TEMPORARY = frozenset(
    {
        *(errno.EIO, errno.ESTALE, errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.ENOLCK),
        *(errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE),
        *(errno.ETIMEDOUT, errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED),
        *(errno.EPIPE, errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET),
        *(errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENOTCONN),
    }
)
# How TensorStore, under Orbax, reports what the system said.
_OS_ERROR = re.compile(r"\bOS error (\d+)\b|\bos_error_code='(\d+)'")


class BadInput(ValueError):
    """What a user gave cannot be used.

    Raised where input is checked, and nowhere else. The message is one line that names the value,
    the place where it stands, and the fix.
    """


class Unavailable(OSError):
    """Storage, a network or the machine failed; the same command may succeed later."""


def is_temporary(error: BaseException) -> bool:
    """Whether storage or a network is at fault, in `error` or in what it was raised from."""
    return any(map(_is_temporary, _chain(error)))


def _is_temporary(error: BaseException) -> bool:
    if isinstance(error, (Unavailable, ConnectionError, TimeoutError)):
        return True
    if isinstance(error, OSError):
        return error.errno in _TEMPORARY
    found = _OS_ERROR.search(str(error))
    return found is not None and int(found[1] or found[2]) in _TEMPORARY


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it came from; what an `except` raised `from None` is left out."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
