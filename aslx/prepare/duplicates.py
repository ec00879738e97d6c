"""Exact duplicates: one clip or image that comes several times, perhaps in two parts of a split.

What is tested on is then trained on too, and the score flatters.
"""

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np

from aslx.prepare import splits


def digest(array: np.ndarray) -> bytes:
    """The same for the same bytes, and for no others."""
    shape = repr((array.dtype.str, array.shape)).encode()
    return hashlib.blake2b(
        np.ascontiguousarray(array).data, key=shape[:64], digest_size=16
    ).digest()


def count(found: Iterable[tuple[str | None, str, bytes]]) -> dict[str, int]:
    """How many examples are the same as another, of (part, label, digest) of all.

    "within a part": those that an earlier one of their part equals; "across parts": those of
    validation and test that one of an earlier part equals, train first; "with another label": all
    that are the same as one of another label.
    """
    places: dict[bytes, dict[str, int]] = {}
    labels: dict[bytes, dict[str, int]] = {}
    for part, label, key in found:
        if part is not None:
            for table, name in ((places, part), (labels, label)):
                row = table.setdefault(key, {})
                row[name] = row.get(name, 0) + 1
    within = sum(n - 1 for row in places.values() for n in row.values())
    across = 0
    for row in places.values():
        across += sum([row[part] for part in splits.PARTS if part in row][1:])
    other = sum(sum(row.values()) for row in labels.values() if len(row) > 1)
    return {"within a part": within, "across parts": across, "with another label": other}


def said(counts: Mapping[str, int]) -> list[str]:
    """Lines for a terminal; none where there are no duplicates."""
    words = {
        "within a part": "come more than once in their part",
        "across parts": "of validation and test stand in an earlier part too: scores flatter",
        "with another label": "are the same as one of another label",
    }
    return [f"exact duplicates: {n:,} {words[kind]}" for kind, n in counts.items() if n]
