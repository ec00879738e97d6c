"""The FLOPs that a network needs, whatever its programs do beside them."""

import jax
import pytest

from aslx import config, sharding
from aslx.describe import programs
from aslx.runs import model_flops


def flops(cfg: config.Config, rows: int) -> float:
    mesh = sharding.make_mesh(cfg.mesh, jax.devices()[:1])
    return model_flops.of(cfg, programs.batch(cfg, mesh, rows, 384))


def test_a_networks_flops_are_those_of_its_products_forward_and_back():
    cfg = config.load("squeezeformer")
    # With what a compiled step on a TPU multiplies, but for the attention that it computes again.
    assert flops(cfg, 88) == pytest.approx(1046e9, rel=0.02)
    assert flops(config.load("squeezeformer", ["--model.no-remat"]), 88) == flops(cfg, 88)
    assert flops(cfg, 44) * 2 == flops(cfg, 88)
