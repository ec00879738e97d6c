"""A tree of arrays whose structure is looked at once, and not at each call of a jitted function.

JAX takes the arguments of each call apart and puts its results together. The modules of a network
and of its optimizer's state do so in Python: 8 ms a call for the 617 arrays of `squeezeformer`'s
state, of which 7 are saved here (`python -m benchmarks.host`).
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import jax

Tree = TypeVar("Tree")


@dataclasses.dataclass(frozen=True, eq=False)
class _Structure:
    """Equal to itself alone: JAX compares it at each call."""

    treedef: Any


_known: dict[Any, _Structure] = {}


@jax.tree_util.register_pytree_node_class
class Flat(Generic[Tree]):
    """The leaves of a tree, and its structure."""

    def __init__(self, tree: Tree):
        leaves, treedef = jax.tree.flatten(tree)
        self._leaves: Sequence[Any] = leaves
        self._structure = _known.setdefault(treedef, _Structure(treedef))

    @property
    def tree(self) -> Tree:
        """The tree: within a jitted function the whole of it costs nothing once it is traced."""
        return jax.tree.unflatten(self._structure.treedef, self._leaves)

    def tree_flatten(self) -> tuple[Sequence[Any], _Structure]:
        return self._leaves, self._structure

    @classmethod
    def tree_unflatten(cls, structure: _Structure, leaves: Sequence[Any]) -> "Flat":
        flat = object.__new__(cls)
        flat._leaves, flat._structure = leaves, structure
        return flat
