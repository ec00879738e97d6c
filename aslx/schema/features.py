"""What is asked of a config's features, and of the kind of input that they take.

New features are one new class, in any module, that has these members; nothing lists it.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Protocol

import jax
import numpy as np


class Field(Protocol):
    """How one array of a record lies in a batch; see `data.record_fields`."""

    def allocate(self, rows: int, frames: int, /) -> dict[str, np.ndarray]: ...

    def put(self, batch: dict[str, np.ndarray], row: int, clip: np.ndarray, /) -> None: ...

    def read(self, features: Any, /) -> np.ndarray: ...


class Source(Protocol):
    """A kind of input: how a record holds it, how a file does, and how the exported model is given
    it."""

    reads: ClassVar[tuple[str, ...]]
    """The batch's arrays, in the order in which the features take them."""
    takes: ClassVar[dict[str, str]]
    """The kinds of files that `clips` reads -> what people call them."""

    @property
    def shape(self) -> tuple[int | str, ...]:
        """Of the exported model's `inputs`; a name stands for any number."""
        ...

    @property
    def about(self) -> dict[str, Any]:
        """What model.json says of the exported model's `inputs`."""
        ...

    @property
    def submission(self) -> Mapping[str, bytes] | None:
        """Files beside the model in a competition's zip; None: there is no competition."""
        ...

    def settled(self, metadata: dict) -> dict[str, Any]:
        """Values of the features' fields that the data set decides."""
        ...

    def field(self, metadata: dict | None = None) -> Field:
        """Of the records of a data set with this metadata, or of arrays as `clips` gives them.
        BadInput says what the data set lacks."""
        ...

    def clips(self, path: str) -> Iterator[tuple[Any, np.ndarray]]:
        """The clips or images in a file, each with what the file calls it."""
        ...

    def blank(self, clip: np.ndarray) -> bool:
        """Whether a clip shows nothing that could be read."""
        ...

    def batch(self, inputs: jax.Array, frames: jax.Array | None = None) -> dict[str, jax.Array]:
        """The exported model's inputs, as a batch of one; `frames` i32[1] counts the real rows,
        None: all rows are real."""
        ...

    def pack(self, clip: np.ndarray) -> np.ndarray:
        """A clip as the exported model takes it."""
        ...


class Features(Protocol):
    """A batch's arrays -> the network's inputs and their mask."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field]]

    @property
    def source(self) -> Source: ...

    @property
    def num_features(self) -> int | tuple[int, int, int]:
        """Values of a frame, or height, width and channels of an image."""
        ...

    @property
    def max_frames(self) -> int:
        """Frames that the network sees at most."""
        ...

    # The arrays are those that `source.reads` names, and then the number of frames, 0: as needed.
    def __call__(self, *arrays: Any, **frames: Any) -> tuple[jax.Array, jax.Array]: ...
