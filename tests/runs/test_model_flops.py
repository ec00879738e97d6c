"""The FLOPs that a network needs, whatever its programs do beside them."""

import jax
import pytest

from aslx import config, sharding
from aslx.describe import programs
from aslx.runs import model_flops

pytestmark = pytest.mark.long


def flops(cfg: config.Config, rows: int) -> float:
    mesh = sharding.make_mesh(cfg.mesh, jax.devices()[:1])
    return model_flops.of(cfg, programs.batch(cfg, mesh, rows, 384))


def test_a_networks_flops_are_those_of_its_products_forward_and_back():
    # With what a compiled step on a TPU multiplies, but for the attention that it computes again.
    assert flops(config.load("squeezeformer"), 88) == pytest.approx(1046e9, rel=0.02)


def test_flops_count_nothing_that_is_computed_again_and_grow_with_the_rows():
    two_blocks = ["--model.num-layers", "2", "--model.halve-after", "1"]
    cfg = config.load("squeezeformer", two_blocks)
    plain = config.load("squeezeformer", [*two_blocks, "--model.no-remat"])
    assert flops(plain, 88) == flops(cfg, 88) == 2 * flops(cfg, 44)
