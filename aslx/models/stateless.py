"""A check that a network holds parameters and nothing else.

Other state would be trained, averaged and decayed like a parameter, or change where nothing may.
"""

from typing import Any, TypeVar

import jax
from flax import nnx

from aslx import errors
from aslx.kernels import blocks
from aslx.models import layers

Network = TypeVar("Network", bound=nnx.Module)
_INSTEAD = {
    nnx.BatchNorm: "use nnx.LayerNorm",
    nnx.Dropout: "use aslx.models.layers.dropout and the key that the call is given",
    nnx.MultiHeadAttention: "use aslx.models.attention.Attention",
    nnx.RNN: "use aslx.models.rnn.LSTM",
    nnx.LSTMCell: "use aslx.models.rnn.LSTM",
    nnx.OptimizedLSTMCell: "use aslx.models.rnn.LSTM",
}


def checked(network: Network) -> Network:
    """The network. BadInput names the first part that keeps state, and what to use instead."""
    modules = {tuple(map(str, path)): module for path, module in nnx.iter_modules(network)}
    for place, module in modules.items():
        for name, value in vars(module).items():
            if isinstance(value, jax.Array):
                raise errors.BadInput(
                    f"{_called(network, (*place, name))} is an array that is no parameter: make it "
                    "an nnx.Param to train it, or else an aslx.models.layers.Frozen"
                )
    leaves = jax.tree.leaves_with_path(network, is_leaf=blocks.is_variable)
    for path, leaf in leaves:
        if isinstance(leaf, (nnx.Param, layers.Frozen)):
            continue
        words = tuple(jax.tree_util.keystr(path, simple=True, separator="/").split("/"))
        for n in range(len(words)):  # The outermost module first.
            kind = type(modules.get(words[:n]))
            if kind in _INSTEAD:
                raise errors.BadInput(
                    f"{_called(network, words[:n])} is an nnx.{kind.__name__}, which keeps state: "
                    f"{_INSTEAD[kind]}"
                )
        raise errors.BadInput(
            f"{_called(network, words)} is an nnx.{type(leaf).__name__}, which is state and no "
            "parameter: keys, caches and statistics are arguments and results of a call"
        )
    return network


def _called(network: Any, words: tuple[str, ...]) -> str:
    return ".".join((type(network).__name__, *words))
