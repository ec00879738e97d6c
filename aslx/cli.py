"""How a command begins and ends: its environment, its exit status, what it says on stderr."""

import glob
import json
import os
import pathlib
import platform
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from aslx import errors
from aslx.storage import files

# Exit statuses. Launchers read them: docs/scale.md.
BUG, BAD_INPUT, TEMPORARY, INTERRUPTED, TERMINATED = 1, 2, 75, 130, 143

# Modules that only some commands import, and the extra of pyproject.toml that brings each; none
# brings torch.
EXTRAS = {
    "ai_edge_litert": "export",
    "apache_beam": "beam",
    "fastapi": "serve",
    "flatbuffers": "export",
    "gcsfs": "gcs",
    "h11": "serve",
    "h5py": "pretrained",
    "keras": "bench",
    "libtpu": "tpu",
    "msgpack": "serve",
    "psutil": "bench",
    "pydantic": "serve",
    "pydantic_core": "serve",
    "safetensors": "pretrained",
    "starlette": "serve",
    "tensorflow": "export",
    "torch": "",
    "uvicorn": "serve",
    "websockets": "serve",
}
# Where a TPU's driver shows its chips.
TPUS = ("/dev/accel*", "/dev/vfio/[0-9]*")
# With these libtpu finds no chip without a word; else it tells, in ten lines, what it did not find.
NO_TPU = {
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_LOG_DIR": "disabled",
    "TPU_WORKER_HOSTNAMES": "localhost",
}


def run(main: Callable[[], int | None]) -> NoReturn:
    """Calls `main` and exits with what it returns (None: 0), or as `failed` says.

    What JAX compiles is kept in ~/.cache/aslx for the next command, unless
    JAX_COMPILATION_CACHE_DIR names another place. A ~ that begins an argument, or the value of an
    option, is the user's home.
    """
    _prepare_environment()
    try:
        if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
            os.environ["JAX_COMPILATION_CACHE_DIR"] = str(_compile_cache())
        sys.argv = [_name(main), *map(_at_home, sys.argv[1:])]
        status = main() or 0
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        status = INTERRUPTED
    except Exception as error:
        status = failed(error)
    sys.exit(status)


def failed(error: Exception) -> int:
    """Says what ended a command, and answers its exit status.

    Bad input, or a package that is not installed, is one line and 2. A failure of storage or of a
    network keeps its traceback and ends with 75, as sysexits.h has it: launchers try again. A bug
    keeps its traceback and ends with 1.
    """
    line = f"error: {' '.join(str(error).split())}"
    if missing := _missing(error):
        line = f"error: {missing}"
    if missing or isinstance(error, errors.BadInput):
        print(line, file=sys.stderr)
        return BAD_INPUT
    traceback.print_exception(error)
    if not errors.is_temporary(error):
        return BUG
    print(
        f"{line} (storage, network or machine: the same command may succeed later)", file=sys.stderr
    )
    return TEMPORARY


def installing(extra: str) -> str:
    """The command that installs an extra of pyproject.toml: of this checkout, or of the wheel."""
    root = pathlib.Path(__file__).parent.parent
    if (root / "constraints.txt").exists():
        return f"pip install -c constraints.txt -e '.[{extra}]' in {root}"
    return f"pip install 'aslx[{extra}]'"


def _prepare_environment() -> None:
    """What libraries read when they are imported or when a backend starts; the user's own settings
    stay."""
    os.environ.setdefault("EPATH_USE_TF", "0")  # gs:// through gcsfs: training needs no TensorFlow.
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1") == "1":  # JAX sets 1: warnings too.
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    if "tpu" not in os.environ.get("JAX_PLATFORMS", "") and not any(map(glob.glob, TPUS)):
        for name, value in NO_TPU.items():
            os.environ.setdefault(name, value)


def _name(main: Callable) -> str:
    """How the command was started, for its usage: `aslx train`, or `python -m aslx.train`."""
    started = sys.modules["__main__"]
    if main.__module__ != "__main__" or started.__spec__ is None:
        return sys.argv[0]
    module = started.__spec__.name.removesuffix(".__main__")
    return getattr(started, "PROGRAM", f"python -m {module}")


def _missing(error: Exception) -> str:
    """Which package of an extra is not installed, and the command that installs it; or nothing."""
    for each in (error, error.__cause__):  # fsspec raises an ImportError from the one of gcsfs.
        if isinstance(each, ModuleNotFoundError) and each.name in EXTRAS:
            extra = EXTRAS[each.name]
            command = installing(extra) if extra else f"pip install {each.name}"
            return f"this needs {each.name}, which is not installed: {command}"
    return ""


def _at_home(argument: str) -> str:
    name, is_option, value = argument.partition("=~")
    if is_option and name.startswith("--") and "=" not in name:
        return f"{name}={files.home('~' + value)}"
    return files.home(argument)


def _compile_cache() -> pathlib.Path:
    """One a host: a home may be shared by hosts whose processors differ."""
    return files.cache() / platform.node()


def last_json(values: dict) -> None:
    """The one line of JSON that a command ends with."""
    print(json.dumps(values))
