"""The programs of every config, as accelerators get them."""

import jax
import pytest

from aslx import config, sharding
from aslx.describe import programs
from tests import processes, tiny

pytestmark = pytest.mark.long

# What only a CPU's forms have: barriers between kernels, Fourier transforms, calls of host code.
OF_CPUS = "optimization_barrier", "stablehlo.fft", "stablehlo.custom_call @xla", "callback"


@pytest.mark.parametrize("path", processes.CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_written_for_gpus_and_tpus_without_what_only_a_cpu_needs(path, monkeypatch):
    cfg = tiny.shallow(config.load(path))
    mesh = sharding.make_mesh(cfg.mesh, jax.devices()[:1])
    monkeypatch.setattr(sharding, "platform", lambda mesh: "gpu")
    monkeypatch.setattr(sharding, "options", lambda mesh, deterministic: {})
    every = programs.of(cfg, mesh, programs.rows_per_chip(cfg, 64), 64)
    for name in ("train", "evaluate"):  # What predicts is a part of what evaluates.
        step, arguments = every[name]
        text = step.trace(*arguments).lower(lowering_platforms=("cuda", "tpu")).as_text()
        assert not [word for word in OF_CPUS if word in text], name
