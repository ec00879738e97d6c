"""What the compiler is told of a mesh."""

import types
from typing import Any

import jax
import numpy as np
import pytest

from aslx import sharding


def mesh(platform: str) -> Any:
    """In place of a mesh of one device, which need not be here."""
    device = types.SimpleNamespace(platform=platform)
    return types.SimpleNamespace(devices=np.array([[device]]), local_devices=[device])


@pytest.mark.parametrize("platform", ["gpu", "cuda"])
def test_a_gpu_repeats_its_bits_where_that_is_asked_for(platform):
    assert sharding.compiler_options(mesh(platform)) == {}
    options = sharding.compiler_options(mesh(platform), deterministic=True)
    assert options == sharding.repeatable(mesh(platform), True)
    assert options["xla_gpu_deterministic_ops"] is True
    assert options["xla_gpu_exclude_nondeterministic_ops"] is True
    assert options["xla_gpu_autotune_level"] == 0
    doubled = jax.jit(lambda x: 2 * x, compiler_options=options)  # An unknown option is refused.
    assert doubled(21) == 42


@pytest.mark.parametrize("platform", ["cpu", "tpu"])
def test_other_devices_repeat_theirs_anyway(platform):
    one = mesh(platform)
    assert sharding.repeatable(one, True) == {}
    assert sharding.compiler_options(one, True) == sharding.compiler_options(one)
