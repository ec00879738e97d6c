"""Trees of arrays that a jitted function takes without a walk through them in Python."""

import cProfile
import functools
import pstats

import jax
import numpy as np

from aslx import config, optim, sharding
from aslx.runs import flat
from aslx.train import setup
from tests import processes


def functions_called(step, tree) -> int:
    """Python functions of one more call of a step."""
    tree = step(step(tree))
    profile = cProfile.Profile()
    profile.runcall(step, tree)
    return pstats.Stats(profile).total_calls  # pyright: ignore[reportAttributeAccessIssue]


def test_the_tree_is_the_one_that_it_was_made_of():
    tree = {"a": np.arange(3), "b": (None, [np.ones(2)])}
    again = jax.jit(lambda held: held)(flat.Flat(tree)).tree
    assert jax.tree.structure(again) == jax.tree.structure(tree)
    assert jax.tree.all(jax.tree.map(np.array_equal, again, tree))


def test_trees_of_one_structure_share_a_program_and_others_have_their_own():
    double = jax.jit(lambda held: jax.tree.map(lambda x: 2 * x, held))
    for tree in ({"a": 1.0}, {"a": 2.0}, {"b": 1.0}):
        double(flat.Flat(tree))
    assert double._cache_size() == 2  # pyright: ignore[reportAttributeAccessIssue]


def test_a_step_calls_no_python_for_each_array_of_a_state():
    cfg = config.load(processes.ROOT / "configs/squeezeformer_small.py")
    mesh = sharding.make_mesh(cfg.mesh, jax.devices()[:1])
    abstract, _ = setup.state(cfg, mesh, optim.build(cfg.optim, 10))
    state = jax.tree.map(lambda x: np.zeros((), x.dtype), abstract)
    step = jax.jit(lambda state: state, donate_argnums=0)
    asked = functools.partial(functions_called, step)
    assert asked(flat.Flat(state)) < 50 < len(jax.tree.leaves(state)) < asked(state)
