"""Which parameters are decayed, and which optimiser moves which parameter."""

import dataclasses
import functools
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from aslx import config, optim
from aslx.checkpoints import stored
from aslx.kernels import blocks
from aslx.models import attention, layers
from aslx.runs import partition
from tests import processes, tiny

CONFIGS = [path.stem for path in processes.CONFIGS]


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.long
def test_the_weights_of_sums_are_decayed_and_nothing_else(name):
    model = tiny.abstract(name)
    marked = stored.flatten(optim.matrices(model))
    kinds = {(name.removesuffix("/value").split("/")[-1], yes) for name, yes in marked.items()}
    weights = {"kernel", "recurrent", "embedding", "taps", "channels"}
    assert {name for name, yes in kinds if yes} <= weights
    assert not {name for name, yes in kinds if not yes} & weights


def test_muon_moves_kernels_along_all_directions_alike_and_adam_the_rest():
    params = {"kernel": jnp.zeros((40, 8)), "taps": jnp.zeros((9, 8)), "bias": jnp.zeros(8)}
    # One direction of the gradient is thirty times as steep as the others.
    grads = random_like(params)
    grads["kernel"] = grads["kernel"].at[:, 0].mul(30)
    muon, adam = (first_update(params, grads, muon_lr) for muon_lr in (0.02, 0.0))
    sizes = np.linalg.svd(muon["kernel"], compute_uv=False)
    assert sizes.max() < 1.3 * 0.02 and sizes.max() < 2 * sizes.min()
    for name in ("taps", "bias"):
        np.testing.assert_allclose(muon[name], adam[name], rtol=1e-6)


def first_update(params: Any, grads: Any, muon_lr: float = 0.02) -> Any:
    """Of a tree of arrays, or of a module."""
    cfg = optim.Config(warmup=0.0, clip_norm=0.0, weight_decay=0.0, muon_lr=muon_lr)
    tx = optim.build(cfg, 10)
    return jax.jit(lambda p, g: tx.update(g, tx.init(p), p)[0])(params, grads)


def random_like(tree: Any, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), jnp.float32), tree)


# Of an update of about 1e-2, after the five products of its iteration.
ROUNDING = 1e-6


def test_muon_moves_each_of_stacked_blocks_as_it_would_alone():
    each = [nnx.Linear(12, 8, rngs=nnx.Rngs(i)) for i in range(3)]
    grads = [random_like(block, i) for i, block in enumerate(each)]
    found = first_update(blocks.stack(each), blocks.stack(grads))
    for i in range(3):
        alone = first_update(each[i], grads[i])
        np.testing.assert_allclose(found.kernel[i], alone.kernel[...], rtol=1e-5, atol=ROUNDING)


@pytest.mark.parametrize(("into", "out"), [((12,), (2, 5)), ((2, 5), (12,))])
def test_muon_moves_a_kernel_of_heads_as_one_matrix(into, out):
    make = functools.partial(layers.Linear, into, out, kernel_init=nnx.initializers.normal())
    heads = [make(rngs=nnx.Rngs(i)) for i in range(2)]
    grads = [random_like(each, i) for i, each in enumerate(heads)]
    together = first_update(blocks.stack(heads), blocks.stack(grads))
    for i in range(2):
        matrix = {"kernel": grads[i].kernel[...].reshape(np.prod(into), -1)}
        alone = first_update(jax.tree.map(jnp.zeros_like, matrix), matrix)["kernel"]
        for found in (first_update(heads[i], grads[i]).kernel[...], together.kernel[i]):
            np.testing.assert_allclose(found.reshape(alone.shape), alone, rtol=1e-5, atol=ROUNDING)


def test_muon_leaves_the_taps_of_a_depthwise_convolution_to_adam_even_when_stacked():
    f32 = jnp.dtype("float32")
    make = functools.partial(layers.DepthwiseConv, 8, 5, dtype=f32)
    for module in (make(rngs=nnx.Rngs(0)), blocks.stack([make(rngs=nnx.Rngs(i)) for i in (0, 1)])):
        found = first_update(module, random_like(module))
        # Adam's first steps all have the same size.
        np.testing.assert_allclose(np.abs(found.kernel[...]), 1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.long
def test_muon_moves_nearly_all_of_every_network_and_the_log_says_so(name):
    cfg = config.load(name)
    model, _ = partition.split_frozen(tiny.abstract(name))
    said = optim.shares(dataclasses.replace(cfg.optim, muon_lr=0.02), model)
    muon, adam = map(float, re.findall(r"([\d.]+)%", said))
    assert muon > 90 and muon + adam == pytest.approx(100, abs=0.11)
    assert optim.shares(dataclasses.replace(cfg.optim, muon_lr=0.0), model).startswith(
        "AdamW moves 100.0% of the parameters"
    )


def test_muon_moves_every_kernel_of_attention():
    module = attention.Attention(8, 2, dtype=jnp.dtype("float32"), rngs=nnx.Rngs(0))
    said = optim.shares(optim.Config(muon_lr=0.02), module)
    assert said.startswith("Muon moves 88.9% of the parameters (256)")
