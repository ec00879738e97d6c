"""Clips and images that cannot be read are named, all at once, or left out where the user says so.
Clips that show nothing are left out and counted.
"""

import collections
import dataclasses
from collections.abc import Mapping, Sequence

from aslx import errors
from aslx.prepare import class_items, workers

_CHECKED = 64  # Items that a process checks between two steps of the progress bar.
_NAMED = 10  # Unreadable items that the error names.


def without(
    found: class_items.Found, kind: class_items.Kind, run: workers.Run, *, skip: bool
) -> class_items.Found:
    """`found` without items that show nothing and, with `skip`, items that cannot be read; `found`
    itself where there are none. Without `skip`, BadInput names items that cannot be read."""
    items = found.items
    tasks = [(kind, items[i : i + _CHECKED]) for i in range(0, len(items), _CHECKED)]
    counts = [len(some) for _, some in tasks]
    faults: dict[str, errors.BadInput] = {}
    for some in workers.gathered(run, _faults, tasks, counts, "checking", "files"):
        faults |= some
    if not faults:
        return found
    why = [str(error) for error in faults.values() if isinstance(error, class_items.Unreadable)]
    empty = [str(error) for error in faults.values() if isinstance(error, class_items.Empty)]
    more = f"; and {len(why) - _NAMED} more" if len(why) > _NAMED else ""
    named = f"{len(why)} of {len(items)} cannot be read: {'; '.join(why[:_NAMED])}{more}"
    if why and not skip:
        raise errors.BadInput(f"{named}: mend or remove them, or pass --skip-unreadable")
    dropped = {**found.dropped, **collections.Counter(empty)}
    notes = [*found.notes]
    if why:
        dropped["unreadable"] = len(why)
        notes.append(named)
    kept = [item for item in items if item.file not in faults]
    return dataclasses.replace(found, items=kept, dropped=dropped, notes=notes)


def _faults(
    kind: class_items.Kind, items: Sequence[class_items.Item]
) -> Mapping[str, errors.BadInput]:
    """Why an item has no array, by its file."""
    faults = {}
    for item in items:
        try:
            kind.load(item)
        except (class_items.Empty, class_items.Unreadable) as error:
            faults[item.file] = error
    return faults
