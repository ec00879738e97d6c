"""Exact duplicates of clips and images: a score on clips that a model was trained on flatters."""

import collections
from collections.abc import Hashable, Iterable, Mapping

from aslx.prepare import splits


def count(found: Iterable[tuple[str, Hashable, bytes]]) -> dict[str, int]:
    """Counts of equal examples, from (part, label, digest) of all examples.

    "within a part": examples that equal an earlier one of their part. "across parts": examples of
    validation and test that equal one of an earlier part, train first. "with another label":
    examples that equal one of another label.
    """
    parts: dict[bytes, collections.Counter] = collections.defaultdict(collections.Counter)
    labels: dict[bytes, collections.Counter] = collections.defaultdict(collections.Counter)
    for part, label, key in found:
        parts[key][part] += 1
        labels[key][label] += 1
    return {
        "within a part": sum(of.total() - len(of) for of in parts.values()),
        "across parts": sum(
            sum([of[part] for part in splits.PARTS if part in of][1:]) for of in parts.values()
        ),
        "with another label": sum(of.total() for of in labels.values() if len(of) > 1),
    }


def said(counts: Mapping[str, int]) -> list[str]:
    """Lines for a terminal about the counts that are not zero."""
    words = {
        "within a part": "come more than once in their part",
        "across parts": "of validation and test are in an earlier part too: scores flatter",
        "with another label": "are the same as one of another label",
    }
    return [f"exact duplicates: {n:,} {words[kind]}" for kind, n in counts.items() if n]
