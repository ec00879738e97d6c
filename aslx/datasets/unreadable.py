"""Clips and images that cannot be read: all are named at once, or left out where a user says so."""

import functools
import shutil
from collections.abc import Callable, Mapping, Sequence

import tqdm

from aslx import errors, files
from aslx.datasets import labelled, workers

_CHECKED = 64  # Items that a process checks between two steps of the bar.
_NAMED = 10  # Of those that cannot be read.


def whole(
    build: Callable[[labelled.Found], dict],
    found: labelled.Found,
    kind: labelled.Kind,
    scratch: files.Path,
    options: labelled.Options,
) -> dict:
    """What `build` answers, which writes `scratch`/out.

    Where it finds an item unreadable, all that are unreadable are looked for: they are named in a
    BadInput or, as the options say, left out.
    """
    try:
        return build(found)
    except labelled.Unreadable:
        why = _unreadable(found.items, kind, options)
        if not why:
            raise
    if not options.skip_unreadable:
        raise errors.BadInput(
            f"{_named(why, len(found.items))}: mend or remove them, or pass --skip-unreadable"
        )
    shutil.rmtree(scratch / "out", ignore_errors=True)
    kept = [item for item in found.items if item.file not in why]
    dropped = {**found.dropped, "unreadable": len(why)}
    return build(labelled.Found(kept, dropped, [*found.notes, _named(why, len(found.items))]))


def _unreadable(
    items: Sequence[labelled.Item], kind: labelled.Kind, options: labelled.Options
) -> dict[str, str]:
    """Why, of the files that cannot be read."""
    parts = [items[i : i + _CHECKED] for i in range(0, len(items), _CHECKED)]
    found: dict[int, dict[str, str]] = {}
    check = functools.partial(_why, kind)
    with tqdm.tqdm(total=len(items), desc="checking", unit=" files", disable=None) as bar:
        run = workers.run(check, [(part,) for part in parts], options.processes or workers.usable())
        for i, why in run:
            found[i] = why
            bar.update(len(parts[i]))
    return {file: why for i in sorted(found) for file, why in found[i].items()}


def _why(kind: labelled.Kind, items: Sequence[labelled.Item]) -> dict[str, str]:
    found = {}
    for item in items:
        try:
            labelled.read(kind, item)
        except labelled.Unreadable as error:
            found[item.file] = str(error)
    return found


def _named(why: Mapping[str, str], of: int) -> str:
    """The first of what cannot be read, in a line."""
    more = f"; and {len(why) - _NAMED} more" if len(why) > _NAMED else ""
    return f"{len(why)} of {of} cannot be read: {'; '.join([*why.values()][:_NAMED])}{more}"
