"""Clips and images that cannot be read: all are named at once, or left out where a user says so.
Clips that show nothing are left out and counted.
"""

import collections
import functools
from collections.abc import Mapping, Sequence

from aslx import errors
from aslx.prepare import class_items, workers

_CHECKED = 64  # Items that a process checks between two steps of the bar.
_NAMED = 10  # Of those that cannot be read.


def without(
    found: class_items.Found, kind: class_items.Kind, run: workers.Run, *, skip: bool
) -> class_items.Found:
    """What is left of the items once those that show nothing are left out, and with `skip` those
    that cannot be read too; without it a BadInput names these."""
    items, (empty, why) = found.items, _left_out(found.items, kind, run)
    if why and not skip:
        raise errors.BadInput(
            f"{_named(why, len(items))}: mend or remove them, or pass --skip-unreadable"
        )
    if not (empty or why):
        return found
    kept = [item for item in items if item.file not in why and item.file not in empty]
    dropped = collections.Counter({**found.dropped, **collections.Counter(empty.values())})
    notes = [*found.notes]
    if why:
        dropped["unreadable"] += len(why)
        notes.append(_named(why, len(items)))
    return class_items.Found(kept, dropped, notes)


def _left_out(
    items: Sequence[class_items.Item], kind: class_items.Kind, run: workers.Run
) -> tuple[dict[str, str], dict[str, str]]:
    """Why, of the files that show nothing, and of those that cannot be read."""
    parts = [items[i : i + _CHECKED] for i in range(0, len(items), _CHECKED)]
    tasks, counts = [(part,) for part in parts], [*map(len, parts)]
    check = functools.partial(_why, kind)
    empty, unreadable = {}, {}
    for shows_nothing, why in workers.gathered(run, check, tasks, counts, "checking", "files"):
        empty |= shows_nothing
        unreadable |= why
    return empty, unreadable


def _why(
    kind: class_items.Kind, items: Sequence[class_items.Item]
) -> tuple[dict[str, str], dict[str, str]]:
    empty, unreadable = {}, {}
    for item in items:
        try:
            kind.load(item)
        except class_items.Empty as error:
            empty[item.file] = str(error)
        except class_items.Unreadable as error:
            unreadable[item.file] = str(error)
    return empty, unreadable


def _named(why: Mapping[str, str], of: int) -> str:
    """The first of what cannot be read, in a line."""
    more = f"; and {len(why) - _NAMED} more" if len(why) > _NAMED else ""
    return f"{len(why)} of {of} cannot be read: {'; '.join([*why.values()][:_NAMED])}{more}"
