"""What a network may keep."""

import dataclasses
import functools
import pathlib

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from aslx import errors
from aslx.kernels import blocks
from aslx.models import layers, stateless
from aslx.runs import opening
from tests import tiny


class Network(nnx.Module):
    def __init__(self, part):
        self.linear = nnx.Linear(4, 4, rngs=nnx.Rngs(0))
        self.encoder = nnx.Dict(norm=part) if isinstance(part, nnx.Module) else part


def norm():
    return nnx.BatchNorm(4, rngs=nnx.Rngs(0))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (norm, r"Network\.encoder\.norm is an nnx\.BatchNorm, .* use nnx\.LayerNorm"),
        (
            lambda: blocks.stack([norm(), norm()]),
            r"Network\.encoder\.norm is an nnx\.BatchNorm, .* use nnx\.LayerNorm",
        ),
        (
            lambda: nnx.Dropout(0.1, rngs=nnx.Rngs(0)),
            r"Network\.encoder\.norm is an nnx\.Dropout, .* the key that the call is given",
        ),
        (
            lambda: nnx.MultiHeadAttention(2, 4, dropout_rate=0.1, rngs=nnx.Rngs(0)),
            r"norm is an nnx\.MultiHeadAttention, .*models\.attention\.Attention",
        ),
        (lambda: nnx.Cache(jnp.zeros(3)), r"Network\.encoder is an nnx\.Cache, which is state"),
        (lambda: nnx.Rngs(3), r"Network\.encoder\.default\.\w+ is an nnx\.Rng\w+, which is state"),
        (lambda: jnp.zeros(3), r"Network\.encoder is an array that is no parameter"),
    ],
)
@pytest.mark.parametrize("abstract", [False, True])
def test_a_network_with_state_is_refused_by_name(make, said, abstract):
    def build() -> Network:
        return stateless.checked(Network(make()))

    with pytest.raises(errors.BadInput, match=said):
        jax.eval_shape(build) if abstract else build()


@dataclasses.dataclass(frozen=True)
class Normed:
    def build(self, num_features, characters, *, rngs):
        del num_features, characters, rngs
        return Network(norm())


def test_a_config_whose_network_has_state_is_refused_before_anything_is_made():
    cfg = dataclasses.replace(tiny.cfg(pathlib.Path("none")), model=Normed())
    with pytest.raises(errors.BadInput, match=r"norm is an nnx\.BatchNorm"):
        jax.eval_shape(functools.partial(opening.network, cfg))


def test_parameters_frozen_ones_and_dropout_that_is_off_are_no_state():
    for part in (layers.Frozen(jnp.zeros(3)), nnx.Dropout(0.1, deterministic=True)):
        network = Network(part)
        assert stateless.checked(network) is network
