"""What libraries in C++ say of themselves on stderr, left out of it."""

import contextlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator

_ONE_AT_A_TIME = threading.Lock()  # The descriptor is the whole process's.


@contextlib.contextmanager
def without(pattern: bytes) -> Iterator[None]:
    """Meanwhile lines that begin with `pattern` are left out of stderr; other lines come later,
    when the block ends."""
    if sys.stderr is None:  # The process has none.
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
