"""What is asked of an augmentation. Each function draws from the key that it is given."""

import dataclasses
from typing import ClassVar, Protocol, TypeVar

import jax

Batch = dict[str, jax.Array]
Features = TypeVar("Features", contravariant=True)


class Augmentation(Protocol[Features]):
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field]]

    def mixed(self, batch: Batch, key: jax.Array, features: Features) -> Batch:
        """What rows take from one another: of a whole batch, before it is split."""
        ...

    def clips(self, batch: Batch, key: jax.Array, features: Features) -> Batch:
        """Each row changed by itself."""
        ...

    def inputs(
        self, x: jax.Array, mask: jax.Array, key: jax.Array, features: Features, /
    ) -> jax.Array:
        """What the network sees, f32[B,S,F] of bool[B,S] real frames, with values left out."""
        ...
