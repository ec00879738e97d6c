"""Blocks of one shape as one stack, and the stack applied block by block.

A stack has the structure of one block; each of its arrays has a leading axis of layers.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name

Apply = Callable[[Any, jax.Array, jax.Array | None], jax.Array]
# A block's arrays as they are stored, and the depth of their stack -> the block to compute with.
Gather = Callable[[Any, int], Any]
_GATHERED = "gathered"


def is_variable(x: Any) -> bool:
    """Whether x is a parameter with what is noted of it, and not its bare array."""
    return isinstance(x, nnx.Variable)


def is_stacked(leaf: Any) -> bool:
    """Whether a parameter belongs to a stack."""
    return is_variable(leaf) and "stacked" in leaf.get_metadata()


def stack(blocks: list) -> Any:
    """The stack of some blocks. Each parameter notes that it has one more axis of layers."""
    whole = jax.tree.map(lambda *leaves: jnp.stack(leaves), *blocks)
    for leaf in jax.tree.leaves(whole, is_leaf=is_variable):
        leaf.set_metadata(stacked=leaf.get_metadata().get("stacked", 0) + 1)
    return whole


def scan(
    stack: Any,
    x: jax.Array,
    key: jax.Array | None,
    apply: Apply,
    remat: bool = False,
    gather: Gather | None = None,
) -> jax.Array:
    """Calls `apply(block, x, key)` with each block in turn, compiled once whatever the depth. With
    `remat` the backward pass gets only the products of a block with its weights, and computes
    everything else again. Where devices hold parts of the stack, `gather` makes each block whole
    for its turn, and once more for its turn in the backward pass."""
    depth = len(jax.tree.leaves(stack)[0])
    keys = None if key is None else jax.random.split(key, depth)
    if gather is not None:
        apply = _gathering(apply, gather, depth)
    if remat or gather is not None:
        policies = jax.checkpoint_policies
        keep = policies.save_anything_except_these_names(_GATHERED)
        if remat:
            keep = policies.dots_with_no_batch_dims_saveable
        # No pass can undo it in a loop's body, so prevent_cse would only cost copies.
        apply = jax.checkpoint(apply, policy=keep, prevent_cse=False)
    return jax.lax.scan(lambda x, part: (apply(part[0], x, part[1]), None), x, (stack, keys))[0]


def _gathering(apply: Apply, gather: Gather, depth: int) -> Apply:
    def gathered(block: Any, x: jax.Array, key: jax.Array | None) -> jax.Array:
        whole = jax.tree.map(lambda leaf: checkpoint_name(leaf, _GATHERED), gather(block, depth))
        return apply(whole, x, key)

    return gathered


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
