"""The kinds of failure: each decides what a command prints and how it exits (`aslx.cli`).

`BadInput`: what the user gave cannot be used. `is_temporary`: storage, a network or the machine
failed, and the same command may succeed later. Every other exception is a bug.
"""

import errno
import re

_TEMPORARY = frozenset(
    {
        *(errno.EIO, errno.ESTALE, errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.ENOLCK),
        *(errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE),
        *(errno.ETIMEDOUT, errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED),
        *(errno.EPIPE, errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET),
        *(errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENOTCONN),
    }
)
# How TensorStore, which Orbax uses, reports an error of the operating system.
_OS_ERROR = re.compile(r"\bOS error (\d+)\b|\bos_error_code='(\d+)'")


class BadInput(ValueError):
    """What a user gave cannot be used.

    Raised only where input is checked. The message is one line that names the value, the place
    where it stands, and the fix.
    """


class Unavailable(OSError):
    """Storage, a network or the machine failed; the same command may succeed later."""


def is_temporary(error: BaseException | None) -> bool:
    """Whether `error`, or an error that it was raised from, is a failure of storage or a network.

    The cause of an error that was raised `from None` does not count.
    """
    seen = []
    while error is not None and error not in seen:
        if _is_temporary(error):
            return True
        seen.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False


def _is_temporary(error: BaseException) -> bool:
    if isinstance(error, (Unavailable, ConnectionError, TimeoutError)):
        return True
    return number(error) in _TEMPORARY


def number(error: BaseException) -> int | None:
    """The operating system's number of the error that an exception reports, if it reports one."""
    if isinstance(error, OSError):
        return error.errno
    found = _OS_ERROR.search(str(error))
    return int(found[1] or found[2]) if found else None
