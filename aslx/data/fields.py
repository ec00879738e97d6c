"""What a record holds and how it lies in a batch: one small class a kind of field.

A task names its fields; the loader allocates each batch once and lets every field write its row. A
second record that is written to a row of clips or of text goes on where the first one ends.
Numpy only: workers import this and never JAX.
"""

import dataclasses
import functools

import numpy as np

from aslx import landmarks, vocab

Batch = dict[str, np.ndarray]

# The keypoint seed's frame: 33 pose points of x, y, z and visibility, 468 of the face, 21 of the
# left hand and 21 of the right; and the same without the face.
KEYPOINTS, KEYPOINTS_NO_FACE = 132 + 1404 + 63 + 63, 132 + 63 + 63


# Between two joined phrases, as between two words, the hand rests; and both stay what they were:
# nobody spells words that are glued together.
SPACE = int(vocab.encode(" ")[0])


def _append(batch: Batch, name: str, row: int, clip: np.ndarray) -> None:
    """A clip [T, ...] behind what the row has."""
    at = batch["length"][row]
    batch[name][row, at : at + len(clip)] = clip
    batch["length"][row] = at + len(clip)


@dataclasses.dataclass(frozen=True, eq=False)
class Landmarks:
    """`landmarks` f16[B, T, N, 3], NaN where the tracker lost a part, and zero past `length`.

    Of the record's points only those that the features want travel on.
    """

    stored: landmarks.Selection
    wanted: landmarks.Selection

    @functools.cached_property
    def _take(self) -> np.ndarray:
        return self.stored.indices(*self.wanted.points)

    def allocate(self, rows: int, frames: int) -> Batch:
        shape = (rows, frames, len(self.wanted.points), 3)
        return {"landmarks": np.zeros(shape, "<f2"), "length": np.zeros(rows, np.int32)}

    def read(self, features: dict) -> np.ndarray:
        """A record's clip f16[T, N, 3]."""
        raw = features["landmarks"].bytes_list.value[0]
        return np.frombuffer(raw, "<f2").reshape(-1, len(self.stored.points), 3)[:, self._take]

    def put(self, batch: Batch, row: int, clip_TN3: np.ndarray) -> None:
        _append(batch, "landmarks", row, clip_TN3)

    def write(self, batch: Batch, row: int, features: dict) -> None:
        self.put(batch, row, self.read(features))


@dataclasses.dataclass(frozen=True)
class Keypoints:
    """`keypoints` f16[B, T, D], zero where a part was lost and past `length`."""

    stored: int
    wanted: int

    def allocate(self, rows: int, frames: int) -> Batch:
        keypoints = np.zeros((rows, frames, self.wanted), "<f2")
        return {"keypoints": keypoints, "length": np.zeros(rows, np.int32)}

    def read(self, features: dict) -> np.ndarray:
        raw = features["keypoints"].bytes_list.value[0]
        return self.take(np.frombuffer(raw, "<f2").reshape(-1, self.stored))

    def take(self, clip_TD: np.ndarray) -> np.ndarray:
        """Leaves the face out where it is not wanted."""
        if self.stored == self.wanted:
            return clip_TD
        return np.concatenate([clip_TD[:, :132], clip_TD[:, 132 + 1404 :]], 1)

    def put(self, batch: Batch, row: int, clip_TD: np.ndarray) -> None:
        _append(batch, "keypoints", row, clip_TD)

    def write(self, batch: Batch, row: int, features: dict) -> None:
        self.put(batch, row, self.read(features))


@dataclasses.dataclass(frozen=True)
class Image:
    """`image` u8[B, H, W, C]."""

    height: int
    width: int
    channels: int

    def allocate(self, rows: int, frames: int) -> Batch:
        del frames
        return {"image": np.zeros((rows, self.height, self.width, self.channels), np.uint8)}

    def read(self, features: dict) -> np.ndarray:
        raw = features["image"].bytes_list.value[0]
        return np.frombuffer(raw, np.uint8).reshape(self.height, self.width, self.channels)

    def put(self, batch: Batch, row: int, image_HWC: np.ndarray) -> None:
        batch["image"][row] = image_HWC

    def write(self, batch: Batch, row: int, features: dict) -> None:
        self.put(batch, row, self.read(features))


@dataclasses.dataclass(frozen=True)
class Label:
    """`label` i32[B]: the number of the class."""

    def allocate(self, rows: int, frames: int) -> Batch:
        del frames
        return {"label": np.zeros(rows, np.int32)}

    def write(self, batch: Batch, row: int, features: dict) -> None:
        batch["label"][row] = features["label"].int64_list.value[0]


@dataclasses.dataclass(frozen=True)
class Signer:
    """`signer` i32[B]: a number of who signs, -1 where nobody knows."""

    def allocate(self, rows: int, frames: int) -> Batch:
        del frames
        return {"signer": np.full(rows, -1, np.int32)}

    def write(self, batch: Batch, row: int, features: dict) -> None:
        if "signer" in features:
            batch["signer"][row] = features["signer"].int64_list.value[0]


@dataclasses.dataclass(frozen=True)
class Text:
    """`tokens` i32[B, max_tokens]: the characters of the phrase, PAD after them."""

    max_tokens: int

    def allocate(self, rows: int, frames: int) -> Batch:
        del frames
        return {"tokens": np.full((rows, self.max_tokens), vocab.PAD, np.int32)}

    def write(self, batch: Batch, row: int, features: dict) -> None:
        ids = vocab.encode(features["phrase"].bytes_list.value[0])
        tokens, at = batch["tokens"][row], 0
        if tokens[0] != vocab.PAD:
            at = int((tokens != vocab.PAD).sum()) + 1
        if at + len(ids) > self.max_tokens:
            raise ValueError(
                f"a phrase of {at + len(ids)} characters does not fit "
                f"task.max_tokens={self.max_tokens}"
            )
        if at:
            tokens[at - 1] = SPACE
        tokens[at : at + len(ids)] = ids
