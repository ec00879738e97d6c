"""The fields of a batch: how each is read from records and written into arrays.

A task names its fields; the first is the clip or the image. The loader allocates each batch once,
and the fields write its rows. The first field reads a record into its row, which checks the bytes.
The other fields take their values from the index; `check` tells whether every record has them, and
`check_fits` whether a run can be trained on all of them.
Where a row joins two records, the second begins where the first ends.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from aslx import errors
from aslx.data import records as records_lib
from aslx.schema import landmarks, vocab

Batch = dict[str, np.ndarray]
Records = records_lib.Records
# Makes a batch's one large array: np.empty, which `pad` completes, or np.zeros. Zeroing memory that
# is then overwritten would move it through the processor twice.
Make = Callable[..., np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Clip:
    """`name` f16[B, T, *wanted_shape] and `length` i32[B], the frames of each row; zeros follow.

    Landmarks are NaN where the tracker lost a part, keypoints zero.
    """

    name: str
    stored_shape: tuple[int, ...]  # A frame's, in the record.
    places: np.ndarray | None  # i64: what the features want of a stored frame; None: all of it.

    @property
    def wanted_shape(self) -> tuple[int, ...]:
        """A frame's, in the batch."""
        if self.places is None:
            return self.stored_shape
        return len(self.places), *self.stored_shape[1:]

    def take(self, clip: np.ndarray) -> np.ndarray:
        """A stored clip [T, *stored_shape] -> what is wanted, [T, *wanted_shape]."""
        return clip if self.places is None else clip.take(self.places, 1)

    def allocate(self, rows: int, frames: int, make: Make = np.zeros) -> Batch:
        clips = make((rows, frames, *self.wanted_shape), "<f2")
        return {self.name: clips, "length": np.zeros(rows, np.int32)}

    def read(self, features: dict) -> np.ndarray:
        """The clip f16[T, *wanted_shape] of a parsed record."""
        raw = features[self.name].bytes_list.value[0]
        return self.take(np.frombuffer(raw, "<f2").reshape(-1, *self.stored_shape))

    def put(self, batch: Batch, row: int, clip: np.ndarray) -> None:
        """Appends a clip to a row."""
        at = batch["length"][row]
        batch[self.name][row, at : at + len(clip)] = clip
        batch["length"][row] = at + len(clip)

    def load(self, batch: Batch, row: int, records: Records, i: int) -> None:
        """Appends the clip of record `i` to a row; where all of it is wanted, it is read there."""
        frames = int(records.index.frames[i])
        if self.places is not None:
            stored = np.empty((frames, *self.stored_shape), "<f2")
            records.read(i, stored)
            return self.put(batch, row, self.take(stored))
        at = int(batch["length"][row])
        records.read(i, batch[self.name][row, at : at + frames])
        batch["length"][row] = at + frames

    def pad(self, batch: Batch) -> None:
        clips, length = batch[self.name], batch["length"]
        for row in np.flatnonzero(length < clips.shape[1]).tolist():
            clips[row, length[row] :] = 0


def landmarks_clip(stored: landmarks.Selection, wanted: landmarks.Selection) -> Clip:
    """`landmarks` f16[B, T, N, 3]; BadInput where a wanted point is not stored."""
    same = stored.points == wanted.points
    places = None if same else stored.indices(*wanted.points)
    return Clip("landmarks", (len(stored.points), 3), places)


def keypoints_clip(stored: int, wanted: int) -> Clip:
    """`keypoints` f16[B, T, D], without the face where fewer values are wanted than are stored."""
    every = np.arange(stored)
    places = None if stored == wanted else landmarks.without_face(every[None])[0]
    return Clip("keypoints", (stored,), places)


@dataclasses.dataclass(frozen=True)
class Image:
    """`image` u8[B, H, W, wanted]: the picture's C channels, or, with cutouts, 2 C + 1 values: the
    picture, the background behind the hand, and 255 where the hand is."""

    height: int
    width: int
    channels: int
    stored: int
    """Values of a pixel in the record."""
    wanted: int
    """Values of a pixel in the batch."""

    def allocate(self, rows: int, frames: int, make: Make = np.zeros) -> Batch:
        del frames
        return {"image": make((rows, self.height, self.width, self.wanted), np.uint8)}

    def read(self, features: dict) -> np.ndarray:
        """The picture u8[H, W, C] of a parsed record."""
        raw = features["image"].bytes_list.value[0]
        stored_HWS = np.frombuffer(raw, np.uint8).reshape(self.height, self.width, self.stored)
        return stored_HWS[..., : self.channels]

    def put(self, batch: Batch, row: int, image_HWC: np.ndarray) -> None:
        batch["image"][row, ..., : self.channels] = image_HWC

    def load(self, batch: Batch, row: int, records: Records, i: int) -> None:
        if self.stored == self.wanted:
            return records.read(i, batch["image"][row])
        stored_HWS = np.empty((self.height, self.width, self.stored), np.uint8)
        records.read(i, stored_HWS)
        batch["image"][row] = stored_HWS[..., : self.wanted]

    def pad(self, batch: Batch) -> None:
        batch["image"][batch["weight"] == 0] = 0


@dataclasses.dataclass(frozen=True)
class Number:
    """`name` i32[B]: a column of the index, and `fill` in rows without a record."""

    name: str
    fill: int
    required: bool  # Whether every record needs one; else -1 stands for none.

    def allocate(self, rows: int, frames: int) -> Batch:
        del frames
        return {self.name: np.full(rows, self.fill, np.int32)}

    def check(self, records: Records) -> None:
        """BadInput where a record lacks a number that is required."""
        if self.required:
            _check_known(records, getattr(records.index, self.name), self.name)

    def check_fits(self, records: Records) -> None:
        """Every number does."""

    def write(self, batch: Batch, rows: np.ndarray, records: Records, numbers: np.ndarray) -> None:
        batch[self.name][rows] = getattr(records.index, self.name)[numbers]


LABEL = Number("label", fill=0, required=True)
SIGNER = Number("signer", fill=-1, required=False)


@dataclasses.dataclass(frozen=True)
class Text:
    """`tokens` i32[B, max_tokens]: the characters of the phrase, then `vocab.NONE`; a row of
    `vocab.LONG` for a phrase of more characters."""

    max_tokens: int
    alphabet: vocab.Alphabet

    @property
    def between(self) -> str:
        """What separates two joined phrases: the hand rests there as it does between two words. An
        alphabet may have no space."""
        return " " if " " in self.alphabet.characters else ""

    def allocate(self, rows: int, frames: int) -> Batch:
        del frames
        return {"tokens": np.full((rows, self.max_tokens), vocab.NONE, np.int32)}

    def check(self, records: Records) -> None:
        """BadInput where a record has no phrase, or one with a character that has no id."""
        _check_known(records, records.index.characters, "phrase")
        used = set().union(*map(vocab.text, records.index.text.tolist()))
        foreign = sorted(used.difference(self.alphabet.characters))
        if foreign:
            theirs = vocab.of_metadata(records.metadata)
            raise errors.BadInput(
                f"{records.split} in {records.directory} has phrases with {foreign[0]!r}: its "
                f"alphabet has {len(theirs)} characters, and the model's {len(self.alphabet)} are "
                "without it: take a model of that alphabet, or other data"
            )

    def check_fits(self, records: Records) -> None:
        """BadInput where a phrase has more than `max_tokens` characters."""
        characters = records.index.characters
        count, longest = int(self.long(records).sum()), characters.max(initial=0)
        if count:
            raise errors.BadInput(
                f"{count} of the {len(records)} phrases of {records.split} in {records.directory} "
                f"do not fit task.max_tokens={self.max_tokens}, the longest has {longest} "
                f"characters: train with --task.max-tokens {longest}"
            )

    def long(self, records: Records) -> np.ndarray:
        """bool[n]: the records whose phrase has more than `max_tokens` characters."""
        return records.index.characters > self.max_tokens

    def write(self, batch: Batch, rows: np.ndarray, records: Records, numbers: np.ndarray) -> None:
        tokens, long = batch["tokens"], self.long(records)[numbers]
        tokens[rows[long]] = vocab.LONG
        rows, numbers = rows[~long], numbers[~long]
        count = records.index.characters[numbers]
        at = (tokens[rows] != vocab.NONE).sum(1)
        if self.between:
            at += at > 0
            tokens[rows[at > 0], at[at > 0] - 1] = self.alphabet.encode(self.between)
        row, character = np.nonzero(np.arange(count.max(initial=0)) < count[:, None])
        ids = self.alphabet.encode("".join(map(vocab.text, records.index.text[numbers].tolist())))
        tokens[rows[row], at[row] + character] = ids


def _check_known(records: Records, values: np.ndarray, name: str) -> None:
    count = int((values < 0).sum())
    if count:
        raise errors.BadInput(
            f"{count} of the {len(records)} records of {records.split} in {records.directory} have "
            f"no {name}: prepare the data again, for this task"
        )
