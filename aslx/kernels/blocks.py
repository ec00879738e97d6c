"""Stacked blocks of a network, one after another.

A stack has the structure of one block; each of its arrays has a leading axis of layers.
"""

from collections.abc import Callable
from typing import Any

import jax

Apply = Callable[[Any, jax.Array, jax.Array | None], jax.Array]


def scan(
    stack: Any, x: jax.Array, key: jax.Array | None, apply: Apply, remat: bool = False
) -> jax.Array:
    """`apply(block, x, key)` of each block in turn: compiled once, whatever the depth. With `remat`
    only the results of a block's products with its weights are kept for the backward pass, which
    computes everything else again."""
    depth = len(jax.tree.leaves(stack)[0])
    keys = None if key is None else jax.random.split(key, depth)
    if remat:  # In a loop's body no other pass can undo it: prevent_cse would cost copies.
        keep = jax.checkpoint_policies.dots_with_no_batch_dims_saveable
        apply = jax.checkpoint(apply, policy=keep, prevent_cse=False)
    return jax.lax.scan(lambda x, part: (apply(part[0], x, part[1]), None), x, (stack, keys))[0]


def unroll(
    stack: Any, x: jax.Array, key: jax.Array | None, apply: Apply, remat: bool = False
) -> jax.Array:
    """For an exported file, which never trains: each block with its weights as constants. TFLite
    packs and quantises constants, but not the slices that a loop takes."""
    del key, remat
    for i in range(len(jax.tree.leaves(stack)[0])):
        with jax.ensure_compile_time_eval():
            block = jax.tree.map(lambda leaf, i=i: leaf[i], stack)
        x = apply(block, x, None)
    return x
