"""How a command ends: 0, or one line on stderr and exit status 2 where its input is at fault."""

import os
import pathlib
import platform
import sys
from collections.abc import Callable
from typing import NoReturn

from aslx import files


def run(main: Callable[[], int | None]) -> NoReturn:
    """Calls `main` and exits with what it returns (None: 0).

    ValueError and OSError are how the modules report bad input, a missing file or a full disk:
    they become one line without a traceback and status 2. An interrupt ends with 130, as a shell
    reports it. Any other exception is a bug, and keeps its traceback.

    What JAX compiles is kept in ~/.cache/aslx for the next command, unless
    JAX_COMPILATION_CACHE_DIR names another place.
    """
    os.environ.setdefault("EPATH_USE_TF", "0")  # gs:// through gcsfs: training needs no TensorFlow.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_compile_cache()))
    try:
        status = main() or 0
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        status = 130
    except (ValueError, OSError) as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        status = 2
    sys.exit(status)


def _compile_cache() -> pathlib.Path:
    """One a host: a home may be shared by hosts whose processors differ."""
    return files.cache() / platform.node()
