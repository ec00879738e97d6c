"""Keeps messages of C++ libraries off stderr."""

import contextlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator

_ONE_AT_A_TIME = threading.Lock()  # The file descriptor belongs to the whole process.


@contextlib.contextmanager
def without(pattern: bytes) -> Iterator[None]:
    """Within the block, stderr loses the lines that begin with `pattern`; the other lines appear
    when the block ends."""
    if sys.stderr is None:  # A process without a console.
        yield
        return
    with _ONE_AT_A_TIME, tempfile.TemporaryFile() as lines:
        sys.stderr.flush()
        real = os.dup(2)
        os.dup2(lines.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(real, 2)
            os.close(real)
            lines.seek(0)
            for line in lines:
                if not re.match(pattern, line):
                    os.write(2, line)
