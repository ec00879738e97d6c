"""Characters <-> ids: an alphabet's characters, then pad, start and end.

Pad is also the CTC blank: Kaggle's loop drops every index past the characters, so exported answers
may contain either.
"""

import dataclasses
import functools
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from aslx import errors
from aslx.storage import files

NONE, LONG = -1, -2
"""In a batch, whatever the alphabet: no character; and in all of a row, a phrase too long."""
MARKS = 3
"""Ids after the characters: pad, start and end."""
MOST = 1000
"""Characters of an alphabet at most: tables of a file's alphabet stay small."""

_DAMAGED = "\ufffd"  # What `bytes.decode` writes for bytes that are no UTF-8.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Alphabet:
    """The characters that a data set's phrases are written in, in the order of their ids.

    Characters are code points in Unicode's form NFC. BadInput where they are none, more than
    `MOST`, not all different, or not each a character by itself.
    """

    characters: str

    def __post_init__(self):
        if not 0 < len(self.characters) <= MOST:
            raise errors.BadInput(
                f"an alphabet of {len(self.characters)} characters: it has 1 to {MOST}"
            )
        for i, c in enumerate(self.characters):
            if unicodedata.category(c) in ("Cc", "Cs") or normal(c) != c or c == _DAMAGED:
                raise errors.BadInput(f"the alphabet's {c!r} is no character of Unicode's NFC")
            if c in self.characters[:i]:
                raise errors.BadInput(f"the alphabet has {c!r} twice: name each character once")

    def __len__(self) -> int:
        return len(self.characters)

    @property
    def pad(self) -> int:
        return len(self.characters)

    @property
    def blank(self) -> int:
        """CTC's."""
        return self.pad

    @property
    def start(self) -> int:
        return self.pad + 1

    @property
    def end(self) -> int:
        return self.pad + 2

    @property
    def size(self) -> int:
        """Ids."""
        return self.pad + MARKS

    @functools.cached_property
    def _sorted(self) -> tuple[np.ndarray, np.ndarray]:
        """The characters' code points in order, u32[N], and the id of each, i32[N]."""
        known = codes(self.characters)
        ids = np.argsort(known).astype(np.int32)
        return known[ids], ids

    def encode(self, phrase: str) -> np.ndarray:
        """The ids of a phrase, i32[characters]; BadInput names a character without an id."""
        known, ids = self._sorted
        wanted = codes(phrase)
        at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        foreign = known[at] != wanted
        if foreign.any():
            character = phrase[int(foreign.argmax())]
            raise errors.BadInput(
                f"phrase {phrase!r:.200} has the character {character!r}, which no id stands for"
            )
        return ids[at]

    def decode(self, ids: np.ndarray) -> str:
        """The text of ids up to the first `end`, without `pad`, `start` and NONE."""
        ids = np.asarray(ids)
        ends = np.flatnonzero(ids == self.end)
        text = ids[: ends[0] if len(ends) else None]
        return "".join(self.characters[i] for i in text if 0 <= i < self.pad)

    def of_rows(self, outputs: np.ndarray) -> str:
        """The text of the exported outputs, as `characters` reads them."""
        return "".join(character for character, _ in characters(outputs, self.characters))


def codes(text: str) -> np.ndarray:
    """u32[characters]: code points."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def normal(text: str) -> str:
    """The text in Unicode's form NFC: a letter with its accent is one character where it can."""
    return unicodedata.normalize("NFC", text)


KAGGLE = Alphabet(characters=" !#$%&'()*+,-./0123456789:;=?@[_abcdefghijklmnopqrstuvwxyz~")
"""The 59 characters of Kaggle's asl-fingerspelling, in the order of the competition's
character_to_prediction_index.json."""


def text(raw: bytes) -> str:
    """The phrase of a record. Damaged bytes become a character that is in no phrase."""
    return raw.decode(errors="replace")


def characters(outputs: np.ndarray, names: Sequence[str]) -> list[tuple[str, float]]:
    """(character, confidence) of the exported outputs, read as Kaggle's evaluator reads them: the
    largest value of each row; an index past the `names` is left out."""
    best = zip(map(int, outputs.argmax(1)), map(float, outputs.max(1)), strict=True)
    return [(names[i], confidence) for i, confidence in best if i < len(names)]


def of_phrases(phrases: Iterable[str]) -> Alphabet:
    """The characters that occur in phrases, in the order of their code points."""
    return Alphabet(characters="".join(sorted(set().union(*phrases))))


def of_metadata(metadata: dict[str, Any]) -> Alphabet:
    """The alphabet of a data set, from its metadata.json; one that names none has Kaggle's."""
    found = metadata.get("alphabet", KAGGLE.characters)
    if not isinstance(found, str):
        raise errors.BadInput(f"metadata.json is damaged: its alphabet is {found!r:.80}")
    return Alphabet(characters=found)


def read(path: files.Path) -> Alphabet:
    """The alphabet of a character_to_prediction_index.json; BadInput unless it maps characters to
    0, 1, 2 and so on."""
    found = files.read_json(path)
    if not isinstance(found, dict) or any(type(i) is not int for i in found.values()):
        raise errors.BadInput(f"{path} is no map of characters to numbers")
    named = sorted(found.items(), key=lambda pair: pair[1])
    for i, (character, number) in enumerate(named):
        if len(normal(character)) != 1:
            raise errors.BadInput(f"{path} maps {character!r:.80}, which is not one character")
        if number != i:
            raise errors.BadInput(
                f"{path} maps {character!r} to {number}, and no character to {i}: number the "
                f"characters from 0 to {len(named) - 1}"
            )
    try:
        return Alphabet(characters="".join(normal(character) for character, _ in named))
    except errors.BadInput as error:
        raise errors.BadInput(f"{path}: {error}") from None
