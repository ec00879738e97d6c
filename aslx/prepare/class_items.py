"""Clips and images of known classes, before they are in shards: the items of a source, how each is
read, and which are left out.
"""

import collections
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from aslx import errors
from aslx.prepare import workers

_CHECKED = 64  # Items that a process checks between two steps of the progress bar.
_NAMED = 10  # Unreadable items that the error names.


class Unreadable(errors.BadInput):
    """A clip or an image that cannot be read."""


class Empty(errors.BadInput):
    """A clip that shows nothing. It is left out and counted under the error's message."""


@dataclasses.dataclass(frozen=True)
class Item:
    """One clip or image."""

    file: str  # Unique; the record holds it.
    label: str
    source: Any  # The argument of `Kind.read`.
    signer: int = -1
    part: str | None = None  # None where the source names no part.


@dataclasses.dataclass(frozen=True)
class Found:
    """The items of a source, and what is left out of it."""

    items: Sequence[Item]
    dropped: Mapping[str, int] = dataclasses.field(default_factory=dict)  # Counts by reason.
    notes: Sequence[str] = ()  # Other facts for the user.
    classes: Sequence[str] | None = None  # In the order of their ids; None: sorted by name.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
    """The name of a data set, the array of its records, and how an item's array is read."""

    name: str
    array: str  # "landmarks", "keypoints" or "image".
    shape: tuple  # None: any number of frames.
    dtype: Any
    size: int  # Bytes of such an array, about.
    read: Callable[[Any], np.ndarray]
    metadata: dict
    mended: Callable[[Any], Sequence[str]] | None = None
    """The words of `mending` for the source that was read last."""
    fit: Callable[[Sequence[Item]], "Kind"] | None = None
    """Makes the kind that is written, from the items that train."""

    def load(self, item: Item) -> np.ndarray:
        """The array of an item; `Unreadable` or `Empty` says why there is none."""
        try:
            return self.read(item.source)
        except Empty:
            raise
        except errors.BadInput as error:
            raise Unreadable(str(error)) from error

    def example(self, item: Item) -> dict[str, Any]:
        """The fields of a record."""
        fields = {"label": item.label, "signer": item.signer, "file": item.file}
        return {self.array: self.load(item)} | fields

    def put_right(self, item: Item) -> Sequence[str]:
        """What `load`, called just before, put right in the item: words of `mending`."""
        return self.mended(item.source) if self.mended else ()


def image(name: str, shape: tuple[int, int, int], read: Callable[..., np.ndarray]) -> Kind:
    """The kind of images of one shape; `read` takes a source and the shape."""
    return Kind(
        name=name,
        array="image",
        shape=shape,
        dtype=np.uint8,
        size=int(np.prod(shape)),
        read=functools.partial(read, shape=shape),
        metadata={"size": list(shape)},
    )


def left_out(dropped: Mapping[str, int]) -> list[str]:
    """A line for each reason why items were left out."""
    return [f"left out {count:,}: {what}" for what, count in sorted(dropped.items())]


def without(found: Found, kind: Kind, run: workers.Run, *, skip: bool) -> Found:
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
    why = [str(error) for error in faults.values() if isinstance(error, Unreadable)]
    empty = [str(error) for error in faults.values() if isinstance(error, Empty)]
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


def _faults(kind: Kind, items: Sequence[Item]) -> Mapping[str, errors.BadInput]:
    """Why an item has no array, by its file."""
    faults = {}
    for item in items:
        try:
            kind.load(item)
        except (Empty, Unreadable) as error:
            faults[item.file] = error
    return faults
