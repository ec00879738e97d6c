"""What a record holds and how it lies in a batch: one small class a kind of field.

A task names its fields, the clip or image first. The loader asks the remaining fields (`check`)
whether they can write every record; it allocates each batch once, and the fields write its rows.
The first field reads a record into its row and so checks its bytes; the remaining fields take
their values from the index. A second record in a row begins where the first one ends.

Numpy only: workers import this and never JAX.
"""

import abc
import dataclasses
import functools
from collections.abc import Callable
from typing import ClassVar

import numpy as np

from aslx import errors
from aslx.data import records as records_lib
from aslx.schema import landmarks, vocab

Batch = dict[str, np.ndarray]
Records = records_lib.Records
# Of the one large array. What np.empty makes is `pad`ded when the rows are written: memory that is
# filled with zeros first passes through the processor twice.
Make = Callable[..., np.ndarray]

# A space stands between two joined phrases, because the hand rests there as between two words.
SPACE = int(vocab.encode(" ")[0])


class _Clip(abc.ABC):
    """`name` f16[B, T, *wanted_shape] and `length` i32[B]: frames, and zeros behind them."""

    name: ClassVar[str]

    @property
    @abc.abstractmethod
    def stored_shape(self) -> tuple[int, ...]:
        """Of a frame in the record."""

    @property
    @abc.abstractmethod
    def wanted_shape(self) -> tuple[int, ...]:
        """Of a frame in the batch."""

    @property
    @abc.abstractmethod
    def whole(self) -> bool:
        """Whether all of a record is wanted, as it is stored."""

    @abc.abstractmethod
    def take(self, clip: np.ndarray) -> np.ndarray:
        """What is wanted [T, *wanted_shape] of a stored clip [T, *stored_shape]."""

    def allocate(self, rows: int, frames: int, make: Make = np.zeros) -> Batch:
        clips = make((rows, frames, *self.wanted_shape), "<f2")
        return {self.name: clips, "length": np.zeros(rows, np.int32)}

    def read(self, features: dict) -> np.ndarray:
        """A record's clip f16[T, *wanted_shape]."""
        raw = features[self.name].bytes_list.value[0]
        return self.take(np.frombuffer(raw, "<f2").reshape(-1, *self.stored_shape))

    def put(self, batch: Batch, row: int, clip: np.ndarray) -> None:
        """A clip behind what the row has."""
        at = batch["length"][row]
        batch[self.name][row, at : at + len(clip)] = clip
        batch["length"][row] = at + len(clip)

    def load(self, batch: Batch, row: int, records: Records, i: int) -> None:
        """Record `i`'s clip behind what the row has; read there, where all of it is wanted."""
        frames = int(records.index.frames[i])
        if not self.whole:
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


@dataclasses.dataclass(frozen=True, eq=False)
class Landmarks(_Clip):
    """`landmarks` f16[B, T, N, 3], NaN where the tracker lost a part, and zero past `length`.

    Of the record's points only those that the features want travel on.
    """

    name: ClassVar[str] = "landmarks"
    stored: landmarks.Selection
    wanted: landmarks.Selection

    @functools.cached_property
    def _places(self) -> np.ndarray:
        return self.stored.indices(*self.wanted.points)

    @property
    def stored_shape(self) -> tuple[int, ...]:
        return len(self.stored.points), 3

    @property
    def wanted_shape(self) -> tuple[int, ...]:
        return len(self.wanted.points), 3

    @property
    def whole(self) -> bool:
        return self.stored is self.wanted or self.stored.points == self.wanted.points

    def take(self, clip: np.ndarray) -> np.ndarray:
        return clip[:, self._places]


@dataclasses.dataclass(frozen=True)
class Keypoints(_Clip):
    """`keypoints` f16[B, T, D], zero where a part was lost and past `length`."""

    name: ClassVar[str] = "keypoints"
    stored: int
    wanted: int

    @property
    def stored_shape(self) -> tuple[int, ...]:
        return (self.stored,)

    @property
    def wanted_shape(self) -> tuple[int, ...]:
        return (self.wanted,)

    @property
    def whole(self) -> bool:
        return self.stored == self.wanted

    def take(self, clip: np.ndarray) -> np.ndarray:
        """Leaves the face out where it is not wanted."""
        return clip if self.whole else landmarks.without_face(clip)


@dataclasses.dataclass(frozen=True)
class Image:
    """`image` u8[B, H, W, wanted]: the picture's C channels, and with cutouts, 2 C + 1 values, what
    is behind the hand too, and 255 where the hand is."""

    height: int
    width: int
    channels: int
    stored: int
    """Values of a pixel in the record,"""
    wanted: int
    """and in the batch."""

    def allocate(self, rows: int, frames: int, make: Make = np.zeros) -> Batch:
        del frames
        return {"image": make((rows, self.height, self.width, self.wanted), np.uint8)}

    def read(self, features: dict) -> np.ndarray:
        """A record's picture u8[H, W, C]."""
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


def _known(records: Records, values: np.ndarray, name: str) -> None:
    count = int((values < 0).sum())
    if count:
        raise errors.BadInput(
            f"{count} of the {len(records)} records of {records.split} in {records.directory} have "
            f"no {name}: prepare the data again, for this task"
        )


@dataclasses.dataclass(frozen=True)
class Label:
    """`label` i32[B]: the number of the class."""

    def allocate(self, rows: int, frames: int) -> Batch:
        del frames
        return {"label": np.zeros(rows, np.int32)}

    def check(self, records: Records) -> None:
        _known(records, records.index.label, "label")

    def write(self, batch: Batch, rows: np.ndarray, records: Records, numbers: np.ndarray) -> None:
        batch["label"][rows] = records.index.label[numbers]


@dataclasses.dataclass(frozen=True)
class Signer:
    """`signer` i32[B]: the signer's number, -1 where it is unknown."""

    def allocate(self, rows: int, frames: int) -> Batch:
        del frames
        return {"signer": np.full(rows, -1, np.int32)}

    def check(self, records: Records) -> None:
        """Nobody need be known."""

    def write(self, batch: Batch, rows: np.ndarray, records: Records, numbers: np.ndarray) -> None:
        batch["signer"][rows] = records.index.signer[numbers]


@dataclasses.dataclass(frozen=True)
class Text:
    """`tokens` i32[B, max_tokens]: the characters of the phrase, PAD after them."""

    max_tokens: int

    def allocate(self, rows: int, frames: int) -> Batch:
        del frames
        return {"tokens": np.full((rows, self.max_tokens), vocab.PAD, np.int32)}

    def check(self, records: Records) -> None:
        characters = records.index.characters
        _known(records, characters, "phrase")
        count, longest = int((characters > self.max_tokens).sum()), characters.max(initial=0)
        if count:
            raise errors.BadInput(
                f"{count} of the {len(records)} phrases of {records.split} in {records.directory} "
                f"do not fit task.max_tokens={self.max_tokens}, the longest has {longest} "
                f"characters: train with --task.max-tokens {longest}"
            )

    def write(self, batch: Batch, rows: np.ndarray, records: Records, numbers: np.ndarray) -> None:
        count = records.index.characters[numbers]
        tokens = batch["tokens"]
        at = (tokens[rows] != vocab.PAD).sum(1)
        at += at > 0
        tokens[rows[at > 0], at[at > 0] - 1] = SPACE
        row, character = np.nonzero(np.arange(count.max()) < count[:, None])
        ids = vocab.encode(b"".join(records.index.text[numbers].tolist()))
        tokens[rows[row], at[row] + character] = ids
