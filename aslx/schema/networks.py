"""What is asked of a network, by what reads it. Shapes as in layers.py; V classes.

A network has the functions of its own kind, and a task calls those that it needs. `key` is None
outside of training.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import jax
from flax import nnx

from aslx.kernels import mode as modes

Array = jax.Array
Key = jax.Array | None


class Config(Protocol):
    """A network's config."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field]]

    @property
    def build(self) -> Callable[..., nnx.Module]:
        """Of the features' `num_features` and the number of classes, or of the alphabet's
        characters; `rngs` is given by name."""
        ...


class Classifier(Protocol):
    def classify(self, inputs: Array, mask: Array, key: Key = None) -> Array:
        """f32[B, V]: logits of the classes."""
        ...


class Regularised(Protocol):
    def regularised(self) -> list[Array]:
        """The kernels whose squares Keras adds to the loss."""
        ...


class Positions(Protocol):
    def positions(self, inputs: Array, mask: Array, key: Key = None) -> Array:
        """f32[B, T, V]: logits of the character at each of T positions."""
        ...


class Encoder(Protocol):
    def encode(self, inputs: Array, mask: Array, key: Key = None) -> tuple[Array, Array]:
        """The memory [B, M, D] of a clip, and which of its positions are real, bool[B, M]."""
        ...


class CTC(Protocol):
    mode: modes.Mode

    def ctc(self, memory_BMD: Array, /) -> Array:
        """f32[B, M, V]: logits of the characters and, last, the blank."""
        ...


class Predictor(Protocol):
    """A transducer's head."""

    context: int
    """Characters before it that the next one depends on."""

    def predicted(self, last: Array, /) -> Array:
        """[..., D] of the last characters i32[..., C]; the pad stands before the text."""
        ...

    def joined(self, memory: Array, predicted: Array, /) -> Array:
        """f32[..., V] of both [..., D]: logits of the characters and, last, the blank."""
        ...


class Decoder(Protocol):
    """Character after character: `advance` with a cache equals teacher forcing by `decode`."""

    def decode(self, tokens_BT: Array, memory: Array, mask_BM: Array, /, key: Key = None) -> Array:
        """f32[B, T, V]: logits of the character after each token, given those up to it."""
        ...

    def attention(self, tokens_BT: Array, memory: Array, mask_BM: Array, /) -> Array:
        """f32[B, T, M]: the share of its attention that each position of the memory gets."""
        ...

    def start(self, memory: Array, mask_BM: Array, max_tokens: int, /) -> Any:
        """The cache before the first token."""
        ...

    def advance(self, tokens_B: Array, cache: Any, /) -> tuple[Array, Any]:
        """f32[B, V], the logits of the character after `tokens_B`, and the cache behind it."""
        ...


class Backwards(Protocol):
    def decode_backwards(
        self, tokens_BT: Array, memory: Array, mask_BM: Array, /, key: Key = None
    ) -> Array:
        """`Decoder.decode` of texts from their last character to the first."""
        ...


class Guesser(Protocol):
    def __call__(self, inputs: Array, mask: Array, key: Key = None) -> Array:
        """f32[B, S, V]: logits of the code of each frame."""
        ...


class Trunk(Protocol):
    def frozen(self, inputs: Array, /) -> Array:
        """What the frozen layers answer; the network's other functions take it for inputs."""
        ...


class Aligner(Encoder, CTC, Protocol):
    """An encoder under a CTC head."""


class Transducer(Aligner, Predictor, Protocol):
    """An encoder under a transducer's head, and a CTC head that helps it to learn."""


class Transcriber(Aligner, Decoder, Backwards, Protocol):
    """An encoder under both heads; a config may leave a head out."""
