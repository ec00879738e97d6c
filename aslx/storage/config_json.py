"""A run's config as JSON, and back: a run directory is data, and may come from a stranger.

Reading is driven by the annotations of `Config`, not by the file. What the file calls "type" only
chooses among the frozen dataclasses that may stand at that field; nothing else is built, called or
imported, and every value must be of the type that its field declares.
"""

import dataclasses
import functools
import importlib
import pkgutil
import types
import typing
from typing import Any

from aslx import errors

# Where the types of the fields that are annotated with Any are defined.
_OPEN = {
    "task": ("aslx.tasks.transcription", "aslx.tasks.classification", "aslx.tasks.pretraining"),
    "features": (
        "aslx.inputs.phrase_features",
        "aslx.inputs.clip_features",
        "aslx.inputs.image_features",
        "aslx.inputs.streaming_features",
    ),
    "model": ("aslx.models",),
    "augmentation": ("aslx.augment.clip_augment", "aslx.augment.image_augment"),
    "batching": ("aslx.data.plan",),
}


def to_json(value: Any) -> Any:
    """Dataclasses become objects that name their type."""
    if dataclasses.is_dataclass(value):
        names = [f.name for f in dataclasses.fields(value)]
        kind = _name(type(value))
        return {"type": kind} | {name: to_json(getattr(value, name)) for name in names}
    return [to_json(v) for v in value] if isinstance(value, tuple) else value


def from_json(value: Any, declared: Any, at: str = "") -> Any:
    """The value of the type `declared` that `value` says; BadInput names the field that cannot be.

    `at` is the field's path, as "data.batching".
    """
    found = _choices(declared, at)
    if isinstance(value, dict):
        return _built(value, {_name(choice): choice for choice in found}, at)
    value = tuple(value) if isinstance(value, list) else value
    if isinstance(value, tuple):
        inner = _elements(declared, len(value))
        if inner is not None:
            each = zip(value, inner, strict=True)
            return tuple(from_json(v, kind, f"{at}.{i}") for i, (v, kind) in enumerate(each))
    elif any(_is(value, kind) for kind in _alternatives(declared)):
        return value
    raise errors.BadInput(f"{at or 'the config'} cannot be {value!r:.100}")


def _built(value: dict, choices: dict[str, type], at: str) -> Any:
    kind = value.get("type")
    if not isinstance(kind, str) or kind not in choices:
        there = ", ".join(choices) or "a plain value"
        raise errors.BadInput(f"{at or 'the config'} cannot be of type {kind!r:.100}; {there} can")
    choice = choices[kind]
    declared = typing.get_type_hints(choice)
    fields = {f.name: f for f in dataclasses.fields(choice)}
    values = {name: v for name, v in value.items() if name != "type"}
    for name in values.keys() - fields.keys():
        where = f"{at}.{name}".strip(".")
        raise errors.BadInput(f"there is no field {where}: another version of aslx wrote it")
    for name, field in fields.items():
        if name not in values and not _has_default(field):
            raise errors.BadInput(f"{at or 'the config'} has no field {name}")
    for name, field in fields.items():
        if field.default is None:  # What may be left out may be None.
            declared[name] = declared[name] | None
    return choice(
        **{k: from_json(v, declared[k], f"{at}.{k}".strip(".")) for k, v in values.items()}
    )


def _has_default(field: dataclasses.Field) -> bool:
    missing = dataclasses.MISSING
    return field.default is not missing or field.default_factory is not missing


def _choices(declared: Any, at: str) -> tuple[type, ...]:
    """The dataclasses that may stand at a field."""
    if Any in _alternatives(declared):
        return _defined(_OPEN.get(at.rpartition(".")[2], ()))
    return tuple(k for k in _alternatives(declared) if _is_choice(k, getattr(k, "__module__", "")))


@functools.cache
def _defined(places: tuple[str, ...]) -> tuple[type, ...]:
    """The frozen dataclasses that some modules define, or the modules of some packages."""
    found: list[type] = []
    for place in places:
        module = importlib.import_module(place)
        inside = pkgutil.iter_modules(getattr(module, "__path__", ()), f"{place}.")
        for each in (module, *(importlib.import_module(info.name) for info in inside)):
            found += [t for t in vars(each).values() if _is_choice(t, each.__name__)]
    return tuple(found)


def _is_choice(kind: Any, module: str) -> bool:
    return (
        isinstance(kind, type)
        and dataclasses.is_dataclass(kind)
        and kind.__module__ == module
        and kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
        and all(field.kw_only for field in dataclasses.fields(kind))
    )


def _alternatives(declared: Any) -> tuple:
    """The types of which a value may have any: of a union each, without what Annotated adds."""
    if hasattr(declared, "__metadata__"):
        return _alternatives(typing.get_args(declared)[0])
    if typing.get_origin(declared) in (typing.Union, types.UnionType):
        return tuple(k for part in typing.get_args(declared) for k in _alternatives(part))
    return (declared,)


def _elements(declared: Any, count: int) -> tuple | None:
    """The types of the elements of a tuple with `count`; None where none can stand there."""
    for kind in _alternatives(declared):
        if typing.get_origin(kind) is tuple:
            inner = typing.get_args(kind)
            if inner[-1] is Ellipsis:
                return (inner[0],) * count
            if len(inner) == count:
                return inner
    return None


def _is(value: Any, kind: Any) -> bool:
    """Whether a plain value is of a plain type. A bool is no number."""
    if kind is Any:  # A dataclass stands there.
        return False
    if typing.get_origin(kind) is typing.Literal:
        return value in typing.get_args(kind)
    if kind is None or kind is type(None):
        return value is None
    if kind is float:
        return type(value) in (int, float)
    return type(value) is kind


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
