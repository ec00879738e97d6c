"""What a sweep varies: the words of its command line, checked against the config's own fields."""

import contextlib
import dataclasses
import difflib
import io
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import tyro

from aslx import config as config_lib
from aslx import errors
from aslx.storage import config_json

if TYPE_CHECKING:
    import optuna

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER}):({_NUMBER})(:log)?")
_WHOLE = re.compile(r"[-+]?\d+")
Value = str | int | float


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of a list of values, as they were written."""

    values: tuple[str, ...]

    def suggest(self, trial: "optuna.Trial", name: str) -> Value:
        return trial.suggest_categorical(name, self.values)

    @property
    def ends(self) -> tuple[str, ...]:
        return self.values


@dataclasses.dataclass(frozen=True)
class Range:
    """A number from `low` to `high`, both included; a whole one where both are whole."""

    low: float
    high: float
    log: bool
    whole: bool

    def suggest(self, trial: "optuna.Trial", name: str) -> Value:
        if self.whole:
            return trial.suggest_int(name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)

    @property
    def ends(self) -> tuple[str, ...]:
        ends = (self.low, self.high)
        return tuple(str(int(end)) if self.whole else repr(end) for end in ends)


@dataclasses.dataclass(frozen=True)
class Space:
    """A config, the options that hold for all trials, and what the others try."""

    config: str
    fixed: tuple[str, ...]
    asked: tuple[str, ...]
    """What is searched, as it was written."""
    searched: dict[str, Choice | Range]
    """By the name of the option, without its dashes."""
    cfg: config_lib.Config

    def words(self, values: dict[str, Value]) -> list[str]:
        """The options of aslx.train for a trial."""
        return [*self.fixed, *(f"--{name}={value}" for name, value in values.items())]

    def rank(self, scores: dict[str, float]) -> float:
        """What the run's best checkpoint has the most of."""
        return self.cfg.task.report.rank(scores)


def of(path: str, words: Sequence[str]) -> Space:
    """BadInput names a field that the config does not have, or what cannot be its value."""
    default, fixed, asked = config_lib.load(path), [], {}
    for name, values in _options(words):
        if name in asked or f"--{name}" in fixed:
            raise errors.BadInput(f"--{name} is given twice")
        what = _searched(name, values[0]) if len(values) == 1 else None
        if what is None:
            fixed += [f"--{name}", *values]
        else:
            asked[name] = (what, values[0])
    if not asked:
        raise errors.BadInput(
            "a sweep needs something to try: --optim.peak-lr 1e-4:1e-2:log is a range, "
            "--model.dim 64,128 a list"
        )
    cfg = _config(path, default, fixed)
    for name, (what, _) in asked.items():
        for value in what.ends:
            _config(path, default, [*fixed, f"--{name}={value}"])
    written = tuple(word for name, (_, text) in asked.items() for word in (f"--{name}", text))
    searched = {name: what for name, (what, _) in asked.items()}
    return Space(path, tuple(fixed), written, searched, cfg)


def _options(words: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """The options' names, without dashes and as tyro spells them, and their values."""
    found: list[tuple[str, list[str]]] = []
    for word in words:
        if word.startswith("--"):
            name, _, value = word[2:].partition("=")
            found.append((name.replace("_", "-"), [value] if "=" in word else []))
        elif found:
            found[-1][1].append(word)
        else:
            raise errors.BadInput(f"{word!r} belongs to no option: the config comes first, alone")
    yield from found


def _searched(name: str, text: str) -> Choice | Range | None:
    """What a value asks to try; None for a single one."""
    if found := _RANGE.fullmatch(text):
        low, high = float(found[1]), float(found[2])
        whole = all(map(_WHOLE.fullmatch, found.group(1, 2)))
        if not low < high or (found[3] and low <= 0):
            raise errors.BadInput(
                f"--{name} {text}: give the lower end first, and above 0 for a :log"
            )
        return Range(low, high, bool(found[3]), whole)
    if "," in text:
        values = tuple(text.split(","))
        if "" in values or len(set(values)) < len(values):
            raise errors.BadInput(f"--{name} {text}: give each value once")
        return Choice(values)
    return None


def _config(path: str, default: config_lib.Config, words: Sequence[str]) -> config_lib.Config:
    """The config with these values."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # Tyro's own message has many lines.
            cfg, unknown = tyro.cli(
                config_lib.Config, default=default, args=list(words), return_unknown_args=True
            )
    except SystemExit:
        option = words[-1].replace("=", " ", 1) if "=" in words[-1] else " ".join(words)
        raise errors.BadInput(
            f"{path} cannot have {option}: python -m aslx.train --config {path} --help lists what "
            "each field takes"
        ) from None
    if unknown:
        name = unknown[0].partition("=")[0].removeprefix("--")
        near = difflib.get_close_matches(name, _names(config_json.to_json(default)), 1)
        meant = f"did you mean --{near[0]}?" if near else f"--config {path} --help lists its fields"
        raise errors.BadInput(f"{path} has no field --{name}: {meant}")
    return cfg


def _names(form: dict, at: str = "") -> list[str]:
    """The options of a config in its JSON form."""
    found = []
    for name, value in form.items():
        here = f"{at}{name}".replace("_", "-")
        found += _names(value, f"{here}.") if isinstance(value, dict) else [here]
    return found
