"""Blocks of one shape as one stack, and the stack applied block by block.

A stack has the structure of one block; each of its arrays has a leading axis of layers.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

Apply = Callable[[Any, jax.Array, jax.Array | None], jax.Array]


def is_variable(x: Any) -> bool:
    """Whether x is a parameter with what is noted of it, and not its bare array."""
    return isinstance(x, nnx.Variable)


def stack(blocks: list) -> Any:
    """The stack of some blocks. Each parameter notes that it has one more axis of layers."""
    whole = jax.tree.map(lambda *leaves: jnp.stack(leaves), *blocks)
    for leaf in jax.tree.leaves(whole, is_leaf=is_variable):
        leaf.set_metadata(stacked=leaf.get_metadata().get("stacked", 0) + 1)
    return whole


def scan(
    stack: Any, x: jax.Array, key: jax.Array | None, apply: Apply, remat: bool = False
) -> jax.Array:
    """Calls `apply(block, x, key)` with each block in turn, compiled once whatever the depth. With
    `remat` the backward pass gets only the products of a block with its weights, and computes
    everything else again."""
    depth = len(jax.tree.leaves(stack)[0])
    keys = None if key is None else jax.random.split(key, depth)
    if remat:  # No pass can undo it in a loop's body, so prevent_cse would only cost copies.
        keep = jax.checkpoint_policies.dots_with_no_batch_dims_saveable
        apply = jax.checkpoint(apply, policy=keep, prevent_cse=False)
    return jax.lax.scan(lambda x, part: (apply(part[0], x, part[1]), None), x, (stack, keys))[0]


def unroll(
    stack: Any, x: jax.Array, key: jax.Array | None, apply: Apply, remat: bool = False
) -> jax.Array:
    """`scan` for an exported file, which never trains: each block has its weights as constants.
    TFLite packs and quantises constants, but not the slices that a loop takes."""
    del key, remat
    for i in range(len(jax.tree.leaves(stack)[0])):
        with jax.ensure_compile_time_eval():
            block = jax.tree.map(lambda leaf, i=i: leaf[i], stack)
        x = apply(block, x, None)
    return x
