"""Clips and images that cannot be read: all are named at once, or left out where a user says so.
Clips that show nothing are left out and counted.
"""

import collections
import functools
import shutil
from collections.abc import Callable, Mapping, Sequence

import tqdm

from aslx import errors
from aslx.prepare import class_dataset, workers
from aslx.storage import files

_CHECKED = 64  # Items that a process checks between two steps of the bar.
_NAMED = 10  # Of those that cannot be read.


def whole(
    build: Callable[[class_dataset.Found], dict],
    found: class_dataset.Found,
    kind: class_dataset.Kind,
    scratch: files.Path,
    options: class_dataset.Options,
) -> dict:
    """What `build` answers, which writes `scratch`/out.

    Where it finds an item unreadable, all that are unreadable are looked for: they are named in a
    BadInput or, as the options say, left out. Items that show nothing are left out.
    """
    try:
        return build(found)
    except (class_dataset.Unreadable, class_dataset.Empty):
        empty, why = _left_out(found.items, kind, options)
        if not (empty or why):
            raise
    if why and not options.skip_unreadable:
        raise errors.BadInput(
            f"{_named(why, len(found.items))}: mend or remove them, or pass --skip-unreadable"
        )
    shutil.rmtree(scratch / "out", ignore_errors=True)
    kept = [item for item in found.items if item.file not in why and item.file not in empty]
    dropped = collections.Counter({**found.dropped, **collections.Counter(empty.values())})
    notes = [*found.notes]
    if why:
        dropped["unreadable"] += len(why)
        notes.append(_named(why, len(found.items)))
    return build(class_dataset.Found(kept, dropped, notes))


def _left_out(
    items: Sequence[class_dataset.Item], kind: class_dataset.Kind, options: class_dataset.Options
) -> tuple[dict[str, str], dict[str, str]]:
    """Why, of the files that show nothing, and of those that cannot be read."""
    parts = [items[i : i + _CHECKED] for i in range(0, len(items), _CHECKED)]
    found: dict[int, tuple[dict[str, str], dict[str, str]]] = {}
    check = functools.partial(_why, kind)
    with tqdm.tqdm(total=len(items), desc="checking", unit=" files", disable=None) as bar:
        run = workers.run(check, [(part,) for part in parts], options.processes or workers.usable())
        for i, why in run:
            found[i] = why
            bar.update(len(parts[i]))
    empty, unreadable = {}, {}
    for i in sorted(found):
        empty |= found[i][0]
        unreadable |= found[i][1]
    return empty, unreadable


def _why(
    kind: class_dataset.Kind, items: Sequence[class_dataset.Item]
) -> tuple[dict[str, str], dict[str, str]]:
    empty, unreadable = {}, {}
    for item in items:
        try:
            class_dataset.read(kind, item)
        except class_dataset.Empty as error:
            empty[item.file] = str(error)
        except class_dataset.Unreadable as error:
            unreadable[item.file] = str(error)
    return empty, unreadable


def _named(why: Mapping[str, str], of: int) -> str:
    """The first of what cannot be read, in a line."""
    more = f"; and {len(why) - _NAMED} more" if len(why) > _NAMED else ""
    return f"{len(why)} of {of} cannot be read: {'; '.join([*why.values()][:_NAMED])}{more}"
