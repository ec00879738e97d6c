"""The study of a sweep: its locks, Optuna's SQLite file, and the table of its trials."""

import contextlib
import csv
import io
import math
import os
import pathlib
import shlex
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from aslx import errors
from aslx.storage import files, system
from aslx.train import search

if TYPE_CHECKING:
    import optuna

_NAME = "sweep"
_PATIENT = {"connect_args": {"timeout": 60.0}}  # Seconds: other processes may work on it.
# A trial that is worse than the median of those before it is ended. Two go to their ends first, and
# nothing is ended by its first evaluation.
_FIRST_TRIALS, _FIRST_EVALUATIONS = 2, 1


@contextlib.contextmanager
def held(out: pathlib.Path, name: str) -> Iterator[int | None]:
    """The open file of a lock in `out`; None where another process holds it."""
    opened = os.open(out / "trials" / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield opened if system.lock(opened) else None
    finally:
        os.close(opened)


@contextlib.contextmanager
def locked(out: pathlib.Path) -> Iterator[None]:
    """Holds the lock of the whole sweep, once no other process does."""
    while True:
        with held(out, _NAME) as opened:
            if opened is not None:
                yield
                return
        time.sleep(0.1)


def opened(out: pathlib.Path, space: search.Space) -> "optuna.Study":
    """The study in `out`, new or of the same command."""
    import optuna
    import sqlalchemy.exc

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(_FIRST_TRIALS, _FIRST_EVALUATIONS)
    url = f"sqlite:///{out / 'study.db'}"
    try:
        study = optuna.create_study(
            storage=optuna.storages.RDBStorage(url, engine_kwargs=_PATIENT),
            study_name=_NAME,
            direction="maximize",
            pruner=pruner,
            load_if_exists=True,
        )
    except sqlalchemy.exc.OperationalError as error:
        raise errors.Unavailable(f"{out / 'study.db'}: {error.orig}") from error
    except (sqlalchemy.exc.DatabaseError, RuntimeError) as error:
        said = f"{out / 'study.db'} is no study of Optuna: move it away, or take another --out"
        raise errors.BadInput(said) from error
    asked = {"config": space.config, "options": [*space.fixed, *space.asked]}
    there = study.user_attrs.get("asked")
    if there is None:
        study.set_user_attr("asked", asked)
    elif there != asked:
        said = shlex.join([str(there.get("config")), *map(str, there.get("options", ()))])
        raise errors.BadInput(f"{out} is a sweep of {said}: repeat that, or take another --out")
    return study


def table(study: "optuna.Study", names: list[str]) -> list[dict[str, str]]:
    """A row for each trial, the best first, those without a score last."""

    def score(trial: "optuna.trial.FrozenTrial") -> float:
        return -math.inf if trial.value is None else trial.value

    return [
        {
            "trial": str(trial.number),
            "state": trial.state.name.lower(),
            "score": "" if trial.value is None else f"{trial.value:.4f}",
            "evaluations": str(len(trial.intermediate_values)),
            **{name: str(trial.params.get(name, "")) for name in names},
        }
        for trial in sorted(study.get_trials(deepcopy=False), key=score, reverse=True)
    ]


def write(rows: list[dict[str, str]], out: pathlib.Path) -> None:
    """The table, and trials.csv of the same."""
    lines = [[*rows[0]], *([*row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    files.write(out / "trials.csv", text.getvalue())
