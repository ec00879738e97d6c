"""Random streams by name: what draws from one stream changes no draw of another.

A key is never passed to two consumers. Each consumer takes the stream of its own name, so an
augmentation that is switched on leaves all other draws as they were, and an ablation is paired.
"""

import zlib

import jax


def named(key: jax.Array, name: str) -> jax.Array:
    """The key of the stream `name` of `key`: folded with the name's CRC-32."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))
