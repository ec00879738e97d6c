"""What is decayed, what is perturbed, and which optimiser moves what."""

import dataclasses
import functools
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from aslx import config, optim
from aslx.checkpoints import stored
from aslx.kernels import blocks
from aslx.models import attention, layers
from aslx.runs import opening, partition

CONFIGS = sorted((pathlib.Path(__file__).parent.parent / "configs").glob("*.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_what_weighs_a_sum_is_decayed_and_nothing_else(path):
    model = jax.eval_shape(functools.partial(opening.network, config.load(path)))
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


def first(params, grads):
    """Muon's first update of an array, or of a module."""
    cfg = optim.Config(warmup=0.0, clip_norm=0.0, weight_decay=0.0, muon_lr=0.02)
    tx = optim.build(cfg, 10)
    return jax.jit(lambda p, g: tx.update(g, tx.init(p), p)[0])(params, grads)


def random_like(tree, seed=0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), jnp.float32), tree)


def test_muon_moves_each_of_stacked_blocks_as_it_would_alone():
    each = [nnx.Linear(12, 8, rngs=nnx.Rngs(i)) for i in range(3)]
    grads = [random_like(block, i) for i, block in enumerate(each)]
    found = first(blocks.stack(each), blocks.stack(grads))
    for i in range(3):
        alone = first(each[i], grads[i])
        np.testing.assert_allclose(found.kernel[i], alone.kernel[...], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("into", "out"), [((12,), (2, 5)), ((2, 5), (12,))])
def test_muon_moves_a_kernel_of_heads_as_the_matrix_that_it_is(into, out):
    make = functools.partial(layers.Linear, into, out, kernel_init=nnx.initializers.normal())
    heads = [make(rngs=nnx.Rngs(i)) for i in range(2)]
    grads = [random_like(each, i) for i, each in enumerate(heads)]
    together = first(blocks.stack(heads), blocks.stack(grads))
    for i in range(2):
        matrix = {"kernel": grads[i].kernel[...].reshape(np.prod(into), -1)}
        alone = first(jax.tree.map(jnp.zeros_like, matrix), matrix)["kernel"].reshape(*into, *out)
        found = first(heads[i], grads[i]).kernel[...]
        np.testing.assert_allclose(found, alone, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(together.kernel[i], alone, rtol=1e-5, atol=1e-7)


def test_taps_of_a_depthwise_convolution_are_no_matrix_for_muon_however_they_are_stacked():
    f32 = jnp.dtype("float32")
    make = functools.partial(layers.DepthwiseConv, 8, 5, dtype=f32)
    for module in (make(rngs=nnx.Rngs(0)), blocks.stack([make(rngs=nnx.Rngs(i)) for i in (0, 1)])):
        found = first(module, random_like(module))
        # Adam's first steps are all of one size.
        np.testing.assert_allclose(np.abs(found.kernel[...]), 1e-3, rtol=1e-3)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_muon_moves_nearly_all_of_every_network_and_says_so(path):
    cfg = config.load(path)
    model, _ = partition.split_frozen(jax.eval_shape(functools.partial(opening.network, cfg)))
    said = optim.shares(dataclasses.replace(cfg.optim, muon_lr=0.02), model)
    muon, adam = map(float, re.findall(r"([\d.]+)%", said))
    assert muon > 90 and muon + adam == pytest.approx(100, abs=0.11)
    assert optim.shares(dataclasses.replace(cfg.optim, muon_lr=0.0), model).startswith(
        "AdamW moves 100.0% of the parameters"
    )


def test_attention_is_muons_in_all_its_parts():
    module = attention.Attention(8, 2, dtype=jnp.dtype("float32"), rngs=nnx.Rngs(0))
    kinds = stored.flatten(optim._kinds(module))
    assert {name for name, kind in kinds.items() if kind == "muon"} == {
        f"{part}/kernel" for part in ("q", "k", "v", "out")
    }
