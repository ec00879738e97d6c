"""The programs of every config, as accelerators get them."""

import jax
import pytest

from aslx import config, sharding
from aslx.describe import model_flops, programs
from tests import processes

# What only a CPU's forms have: barriers between kernels, Fourier transforms, calls of host code.
OF_CPUS = "optimization_barrier", "stablehlo.fft", "stablehlo.custom_call @xla", "callback"


@pytest.mark.parametrize("path", processes.CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_written_for_gpus_and_tpus_without_what_only_a_cpu_needs(path, monkeypatch):
    cfg = config.load(path)
    mesh = sharding.make_mesh(cfg.mesh, jax.devices()[:1])
    monkeypatch.setattr(sharding, "platform", lambda mesh: "gpu")
    monkeypatch.setattr(sharding, "options", lambda mesh, deterministic: {})
    every = programs.of(cfg, mesh, programs.rows_per_chip(cfg, 64), 64)
    for name in ("train", "evaluate"):  # What predicts is a part of what evaluates.
        step, arguments = every[name]
        text = step.trace(*arguments).lower(lowering_platforms=("cuda", "tpu")).as_text()
        assert not [word for word in OF_CPUS if word in text], name


def test_a_networks_flops_are_those_of_its_products_forward_and_back():
    cfg = config.load("squeezeformer")
    # With what a compiled step on a TPU multiplies, but for the attention that it computes again.
    assert model_flops.of(cfg, 88, 384) == pytest.approx(1046e9, rel=0.02)
    once = config.load("squeezeformer", ["--model.no-remat"])
    assert model_flops.of(once, 88, 384) == model_flops.of(cfg, 88, 384)
    assert model_flops.of(cfg, 44, 384) * 2 == model_flops.of(cfg, 88, 384)
