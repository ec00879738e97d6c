"""Clips and images of known classes, before they are shards: what a source holds, and how each
is read."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from aslx import errors


class Unreadable(errors.BadInput):
    """A clip or an image that cannot be read."""


class Empty(errors.BadInput):
    """A clip that shows nothing. It is left out and counted, by the words of the error."""


@dataclasses.dataclass(frozen=True)
class Item:
    """One clip or image."""

    file: str  # Unique; what the record calls it.
    label: str
    source: Any  # What `Kind.read` takes.
    signer: int = -1
    part: str | None = None  # Where the data say so.


@dataclasses.dataclass(frozen=True)
class Found:
    """What a source holds, and what of it is left out."""

    items: Sequence[Item]
    dropped: Mapping[str, int] = dataclasses.field(default_factory=dict)  # How many, by what.
    notes: Sequence[str] = ()  # What else a user should know.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
    """What a data set holds: its name, the array of a record, and how to read it."""

    name: str
    array: str  # "landmarks", "keypoints" or "image".
    shape: tuple  # None: any number of frames.
    dtype: Any
    size: int  # Bytes of such an array, about.
    read: Callable[[Any], np.ndarray]
    metadata: dict
    mended: Callable[[Any], Sequence[str]] | None = None
    """What reading a source puts right: words of `mending`. Asked once the source is read."""

    def load(self, item: Item) -> np.ndarray:
        """The array of an item; `Unreadable`, or `Empty`, says why there is none."""
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
        """What reading the item put right."""
        return self.mended(item.source) if self.mended else ()


def image(name: str, shape: tuple[int, int, int], read: Callable[..., np.ndarray]) -> Kind:
    """Images of one shape; `read` takes a source, and the shape."""
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
    """What is left out, in words."""
    return [f"left out {count:,}: {what}" for what, count in sorted(dropped.items())]
