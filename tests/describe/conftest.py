"""Compilation for TPUs, without a cache."""

import jax
import pytest


@pytest.fixture(scope="module", autouse=True)
def uncached():
    """Without a TPU, JAX cannot read programs for TPUs back from its cache."""
    name = "jax_persistent_cache_min_compile_time_secs"
    before = getattr(jax.config, name)
    jax.config.update(name, float("inf"))
    yield
    jax.config.update(name, before)
