"""What is decayed, what is perturbed, and which optimiser moves what."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aslx import config, inference, optim, stored

CONFIGS = sorted((pathlib.Path(__file__).parent.parent / "configs").glob("*.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_what_weighs_a_sum_is_decayed_and_nothing_else(path):
    model = jax.eval_shape(functools.partial(inference.build, config.load(path)))
    marked = stored.flatten(optim.matrices(model))
    kinds = {(name.removesuffix("/value").split("/")[-1], yes) for name, yes in marked.items()}
    weights = {"kernel", "recurrent", "embedding", "taps", "channels"}
    assert {name for name, yes in kinds if yes} <= weights
    assert not {name for name, yes in kinds if not yes} & weights


def test_muon_moves_kernels_along_all_directions_alike_and_adam_the_rest():
    rng = np.random.default_rng(0)
    params = {"kernel": jnp.zeros((40, 8)), "taps": jnp.zeros((9, 8)), "bias": jnp.zeros(8)}
    # One direction of the gradient is thirty times as steep as the others.
    grads = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), jnp.float32), params)
    grads["kernel"] = grads["kernel"].at[:, 0].mul(30)

    def first(**options):
        cfg = optim.Config(warmup=0.0, clip_norm=0.0, weight_decay=0.0, **options)
        tx = optim.build(cfg, 10)
        return tx.update(grads, tx.init(params), params)[0]

    ours, adam = first(muon_lr=0.02), first()
    sizes = np.linalg.svd(ours["kernel"], compute_uv=False)
    assert sizes.max() < 1.3 * 0.02 and sizes.max() < 2 * sizes.min()
    for name in ("taps", "bias"):
        np.testing.assert_array_equal(ours[name], adam[name])
