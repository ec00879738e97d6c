"""aslx: a JAX trainer for sign-language recognition.

Five functions do what the commands do. They are imported when they are first used.

- `open_run`: the best model of a run directory.
- `open_export`: an exported model, which needs no TensorFlow.
- `read`: what either of them reads in a file or in an array.
- `train_run`: trains what a config says, as `aslx.config.load("quickstart")` gives it.
- `export_run`: writes a run as TensorFlow Lite.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aslx.export.exported import open_export
    from aslx.export.exporting import export_run
    from aslx.predict.predictions import read
    from aslx.runs.trained_run import open_run
    from aslx.train.training import train_run

__version__ = "0.1.0"
__all__ = ["export_run", "open_export", "open_run", "read", "train_run"]

_HOMES = {
    "export_run": "aslx.export.exporting",
    "open_export": "aslx.export.exported",
    "open_run": "aslx.runs.trained_run",
    "read": "aslx.predict.predictions",
    "train_run": "aslx.train.training",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'aslx' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
