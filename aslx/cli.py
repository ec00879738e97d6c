"""How a command begins and ends: its environment, its exit status, its messages on stderr."""

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
from aslx.storage import files, user_folders

# Exit statuses. Launchers read them: docs/scale.md.
BUG, BAD_INPUT, TEMPORARY, INTERRUPTED, TERMINATED = 1, 2, 75, 130, 143

# The extras of pyproject.toml, and the modules of each that only some commands import. No extra
# installs torch.
EXTRAS = {
    "": ("torch",),
    "aim": ("aim",),
    "beam": ("apache_beam",),
    "bench": ("keras", "psutil"),
    "dask": ("distributed",),
    "elan": ("pympi",),
    "export": ("ai_edge_litert", "flatbuffers", "tensorflow"),
    "gcs": ("gcsfs",),
    "gpu-compile": ("jax_cuda13_plugin",),
    "hub": ("huggingface_hub",),
    "mlflow": ("mlflow",),
    "pose": ("pose_format",),
    "pretrained": ("h5py", "safetensors"),
    "quantizer": ("ai_edge_quantizer",),
    "serve": (
        *("fastapi", "h11", "msgpack", "pydantic", "pydantic_core", "starlette", "uvicorn"),
        "websockets",
    ),
    "sweep": ("optuna", "sqlalchemy"),
    "texts": ("wordfreq",),
    "tfds": ("importlib_resources",),
    "tpu": ("libtpu",),
    "wandb": ("wandb",),
}
# The device files of TPU chips.
TPUS = ("/dev/accel*", "/dev/vfio/[0-9]*")
# On a machine without a TPU, libtpu prints ten lines about what it did not find unless these are
# set.
NO_TPU = {
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_LOG_DIR": "disabled",
    "TPU_WORKER_HOSTNAMES": "localhost",
}


def run(main: Callable[[], int | None]) -> NoReturn:
    """Calls `main` and exits with the status that it returns (None: 0), or with that of `failed`.

    Compiled programs are kept in ~/.cache/aslx for the next command, or in the folder that
    JAX_COMPILATION_CACHE_DIR names. A ~ at the beginning of an argument, or of an option's value,
    is the user's home.
    """
    _prepare_environment()
    try:
        if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
            # A folder per host: a home may be shared by hosts whose processors differ.
            os.environ["JAX_COMPILATION_CACHE_DIR"] = str(user_folders.cache() / platform.node())
        sys.argv = [_name(main), *map(_at_home, sys.argv[1:])]
        status = main() or 0
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        status = INTERRUPTED
    except Exception as error:
        status = failed(error)
    sys.exit(status)


def failed(error: Exception) -> int:
    """Prints why a command failed; returns its exit status.

    Bad input, or a package that is not installed, is one line and status 2. A failure of storage
    or of a network keeps its traceback and ends with 75, as in sysexits.h: launchers try again. A
    bug keeps its traceback and ends with 1.
    """
    missing = _missing(error)
    line = f"error: {missing or ' '.join(str(error).split())}"
    if missing or isinstance(error, errors.BadInput):
        print(line, file=sys.stderr)
        return BAD_INPUT
    traceback.print_exception(error)
    if not errors.is_temporary(error):
        return BUG
    fault = "storage, network or machine: the same command may succeed later"
    print(f"{line} ({fault})", file=sys.stderr)
    return TEMPORARY


def installing(extra: str) -> str:
    """The command that installs an extra of pyproject.toml: of this checkout, or of the wheel."""
    root = pathlib.Path(__file__).parent.parent
    if files.exists(root / "constraints.txt"):
        return f"pip install -c constraints.txt -e '.[{extra}]' in {root}"
    return f"pip install 'aslx[{extra}]'"


def _prepare_environment() -> None:
    """Sets what libraries read on import or when a backend starts; the user's settings stay."""
    # JAX's default of 1 s keeps few of the programs of `aslx predict`, and compiling takes memory.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
    os.environ.setdefault("EPATH_USE_TF", "0")  # gs:// through gcsfs: training needs no TensorFlow.
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1") == "1":  # JAX sets 1, which shows warnings.
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    if "tpu" not in os.environ.get("JAX_PLATFORMS", "") and not any(map(glob.glob, TPUS)):
        for name, value in NO_TPU.items():
            os.environ.setdefault(name, value)


def _name(main: Callable) -> str:
    """The command as its usage names it: `aslx train`, or `python -m aslx.train`."""
    started = sys.modules["__main__"]
    if main.__module__ != "__main__" or started.__spec__ is None:
        return sys.argv[0]
    module = started.__spec__.name.removesuffix(".__main__")
    return getattr(started, "PROGRAM", f"python -m {module}")


def _missing(error: Exception) -> str:
    """Which package of an extra is not installed, and the command that installs it; else ""."""
    for each in (error, error.__cause__):  # fsspec raises an ImportError from that of gcsfs.
        for extra, modules in EXTRAS.items():
            if isinstance(each, ModuleNotFoundError) and each.name in modules:
                command = installing(extra) if extra else f"pip install {each.name}"
                return f"this needs {each.name}, which is not installed: {command}"
    return ""


def _at_home(argument: str) -> str:
    name, is_option, value = argument.partition("=~")
    if is_option and name.startswith("--") and "=" not in name:
        return f"{name}={user_folders.home('~' + value)}"
    return user_folders.home(argument)


def last_json(values: dict) -> None:
    """Prints the line of JSON that a command ends with."""
    print(json.dumps(values))
