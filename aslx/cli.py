"""How a command ends: its exit status, and what it says on stderr."""

import os
import pathlib
import platform
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from aslx import errors, files

# Exit statuses. Launchers read them: launch/README.md.
BUG, BAD_INPUT, TEMPORARY, INTERRUPTED, TERMINATED = 1, 2, 75, 130, 143


def run(main: Callable[[], int | None]) -> NoReturn:
    """Calls `main` and exits with what it returns (None: 0), or as `failed` says.

    What JAX compiles is kept in ~/.cache/aslx for the next command, unless
    JAX_COMPILATION_CACHE_DIR names another place. A ~ that begins an argument, or the value of an
    option, is the user's home.
    """
    os.environ.setdefault("EPATH_USE_TF", "0")  # gs:// through gcsfs: training needs no TensorFlow.
    try:
        if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
            os.environ["JAX_COMPILATION_CACHE_DIR"] = str(_compile_cache())
        sys.argv[1:] = map(_at_home, sys.argv[1:])
        status = main() or 0
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        status = INTERRUPTED
    except Exception as error:
        status = failed(error)
    sys.exit(status)


def failed(error: Exception) -> int:
    """Says what ended a command, and answers its exit status.

    Bad input is one line and 2. A failure of storage or of a network keeps its traceback and ends
    with 75, as sysexits.h has it: launchers try again. A bug keeps its traceback and ends with 1.
    """
    line = f"error: {' '.join(str(error).split())}"
    if isinstance(error, errors.BadInput):
        print(line, file=sys.stderr)
        return BAD_INPUT
    traceback.print_exception(error)
    if not errors.is_temporary(error):
        return BUG
    print(
        f"{line} (storage, network or machine: the same command may succeed later)", file=sys.stderr
    )
    return TEMPORARY


def _at_home(argument: str) -> str:
    name, is_option, value = argument.partition("=~")
    if is_option and name.startswith("--") and "=" not in name:
        return f"{name}={files.home('~' + value)}"
    return files.home(argument)


def _compile_cache() -> pathlib.Path:
    """One a host: a home may be shared by hosts whose processors differ."""
    return files.cache() / platform.node()
