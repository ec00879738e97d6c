"""The part of a network that is trained, and the part that is not."""

from typing import Any

import jax
import optax
from flax import nnx

from aslx.kernels import blocks
from aslx.models import layers


def split_frozen(network: nnx.Module) -> tuple[optax.Params, optax.Params]:
    """A network without its `layers.Frozen` leaves, and with these leaves alone; None stands for
    each leaf that is left out."""

    def pick(frozen: bool) -> optax.Params:
        def keep(x: Any) -> Any:
            return x if isinstance(x, layers.Frozen) == frozen else None

        return jax.tree.map(keep, network, is_leaf=blocks.is_variable)

    return pick(False), pick(True)


def merge_frozen(model: optax.Params, frozen: optax.Params) -> nnx.Module:
    """The network that `split_frozen` took apart."""

    def either(a: Any, b: Any) -> Any:
        return b if a is None else a

    return jax.tree.map(either, model, frozen, is_leaf=lambda x: x is None or blocks.is_variable(x))
