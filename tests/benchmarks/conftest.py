"""Benchmarks compile for TPUs that are not here."""

import jax
import pytest


@pytest.fixture(scope="module", autouse=True)
def uncached():
    """A cache would keep programs for TPUs, and then fail to read them without one."""
    name = "jax_persistent_cache_min_compile_time_secs"
    before = getattr(jax.config, name)
    jax.config.update(name, float("inf"))
    yield
    jax.config.update(name, before)
