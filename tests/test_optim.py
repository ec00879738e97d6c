"""What is decayed and what is perturbed."""

import functools
import pathlib

import jax
import pytest

from aslx import checkpoint, config, inference, optim

CONFIGS = sorted((pathlib.Path(__file__).parent.parent / "configs").glob("*.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_what_weighs_a_sum_is_decayed_and_nothing_else(path):
    model = jax.eval_shape(functools.partial(inference.build, config.load(path)))
    marked = checkpoint.flatten(optim.matrices(model))
    kinds = {(name.removesuffix("/value").split("/")[-1], yes) for name, yes in marked.items()}
    weights = {"kernel", "recurrent", "embedding", "taps", "channels"}
    assert {name for name, yes in kinds if yes} <= weights
    assert not {name for name, yes in kinds if not yes} & weights
