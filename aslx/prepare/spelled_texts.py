"""Texts as people fingerspell: words, names, short sentences, and letters in no order.

The words and their frequencies are those of the package wordfreq (Robyn Speer, version 3, 2022,
doi:10.5281/zenodo.7199437).
"""

import dataclasses
import functools
import string
from collections.abc import Sequence

import numpy as np

from aslx.prepare.synthetic_hand import phrases

WORDS = 30_000  # The most frequent ones of English, and names of people and places among them.
# The power of a word's frequency with which a lone word is drawn: people fingerspell rare words and
# names, and have signs for the frequent ones. Sentences draw words by their frequency.
_RARE, _PLAIN = 0.4, 1.0


@dataclasses.dataclass(frozen=True)
class _Words:
    """Words, and the running sum of their weights."""

    words: Sequence[str]
    sums: np.ndarray  # [N]

    def draw(self, rng: np.random.Generator) -> str:
        at = np.searchsorted(self.sums, rng.random() * self.sums[-1], "right")
        return self.words[min(int(at), len(self.words) - 1)]


@functools.cache
def _english() -> dict[str, float]:
    """Words of the letters a to z, and their frequencies."""
    import wordfreq

    found = wordfreq.top_n_list("en", WORDS, ascii_only=True)
    words = (word for word in found if set(word) <= set(string.ascii_lowercase))
    return {word: wordfreq.word_frequency(word, "en") for word in words}


@functools.cache
def _words(power: float, letter: str = "") -> _Words:
    """The words that have a letter, weighted by a power of their frequency."""
    found = {word: f**power for word, f in _english().items() if letter in word}
    return _Words(list(found), np.cumsum(list(found.values())))


def _letter(rng: np.random.Generator) -> str:
    return string.ascii_lowercase[rng.integers(26)]


def _word(rng: np.random.Generator) -> str:
    return _words(_RARE).draw(rng)


def _word_with_a_letter(rng: np.random.Generator) -> str:
    """Every letter is drawn alike: j, q, x and z are rare in English and as hard to read."""
    return _words(_RARE, _letter(rng)).draw(rng)


def _name(rng: np.random.Generator) -> str:
    first = phrases.given_name(rng) if rng.random() < 0.5 else phrases.invented_name(rng)
    last = _word(rng) if rng.random() < 0.5 else phrases.invented_name(rng)
    return f"{first} {last}"


def _sentence(rng: np.random.Generator) -> str:
    return " ".join(_words(_PLAIN).draw(rng) for _ in range(rng.integers(2, 7)))


def _letters(rng: np.random.Generator) -> str:
    return "".join(_letter(rng) for _ in range(rng.integers(1, 9)))


_KINDS = {  # And the share of the texts at which each ends.
    _word: 0.3,
    _word_with_a_letter: 0.5,
    _name: 0.65,
    _sentence: 0.82,
    _letters: 0.95,
}


def text(seed: tuple[int, ...]) -> str:
    """The text that this random seed gives: 1 to `phrases.LONGEST` letters and spaces. One in
    twenty is one of Kaggle's phrases, which have digits and signs."""
    rng = np.random.default_rng(seed)
    kind = rng.random()
    make = next((make for make, end in _KINDS.items() if kind < end), None)
    if make is None:
        return phrases.phrase(seed)
    found = ""
    while not 0 < len(found) <= phrases.LONGEST:
        found = make(rng)
    return found
