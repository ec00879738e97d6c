"""Characters <-> ids: the 59 of Kaggle's asl-fingerspelling, then pad, start and end.

The order is that of the competition's character_to_prediction_index.json. Pad is also the CTC
blank: Kaggle's loop drops every index past 58, so exported answers may contain either.
"""

import pathlib
from collections.abc import Sequence

import numpy as np

from aslx import errors
from aslx.storage import files

CHARACTERS = " !#$%&'()*+,-./0123456789:;=?@[_abcdefghijklmnopqrstuvwxyz~"
PAD, START, END = 59, 60, 61
BLANK = PAD
SIZE = 62

_UNKNOWN = 255
_IDS = np.full(256, _UNKNOWN, np.uint8)
_IDS[np.frombuffer(CHARACTERS.encode(), np.uint8)] = np.arange(len(CHARACTERS))


def encode(phrase: str | bytes) -> np.ndarray:
    """The ids of a phrase, uint8[characters]; BadInput names a character without an id."""
    raw = phrase.encode() if isinstance(phrase, str) else phrase
    ids = _IDS[np.frombuffer(raw, np.uint8)]
    if (ids == _UNKNOWN).any():
        text = raw.decode(errors="replace")
        foreign = next(c for c in text if c not in CHARACTERS)
        raise errors.BadInput(
            f"phrase {text!r} has the character {foreign!r}, which no id stands for"
        )
    return ids


def decode(ids: np.ndarray) -> str:
    """The text of ids up to the first END, without PAD, BLANK and START."""
    ids = np.asarray(ids)
    ends = np.flatnonzero(ids == END)
    return "".join(CHARACTERS[i] for i in ids[: ends[0] if len(ends) else None] if i < PAD)


def characters(outputs: np.ndarray, names: Sequence[str] = CHARACTERS) -> list[tuple[str, float]]:
    """(character, confidence) of the exported outputs, read as Kaggle's evaluator reads them: the
    largest value of each row; an index past the `names` is left out."""
    best = zip(map(int, outputs.argmax(1)), map(float, outputs.max(1)), strict=True)
    return [(names[i], confidence) for i, confidence in best if i < len(names)]


def of_rows(outputs: np.ndarray) -> str:
    """The text of `characters`."""
    return "".join(character for character, _ in characters(outputs))


def check(path: pathlib.Path) -> None:
    """Raises BadInput where a character_to_prediction_index.json differs from `CHARACTERS`."""
    theirs = files.read_json(path)
    if not isinstance(theirs, dict):
        raise errors.BadInput(f"{path} is no map of characters to numbers")
    ours = {c: i for i, c in enumerate(CHARACTERS)}
    if theirs != ours:
        odd = sorted(k for k in theirs.keys() | ours.keys() if theirs.get(k) != ours.get(k))
        raise errors.BadInput(
            f"{path} maps {odd[0]!r} to {theirs.get(odd[0])}, not {ours.get(odd[0])}"
        )
