"""What every network promises, and the counts of the published ones."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from aslx.models import (
    fingerspelling_lstm,
    fingerspelling_transformer,
    lstm,
    squeezeformer,
    streaming,
    transformer,
)
from tests import tiny

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(3, 17, 6)).astype(np.float32)
MASK = np.arange(17) < np.array([[17], [9], [0]])
TOKENS = RNG.integers(0, 62, (3, 7)).astype(np.int32)

TRANSFORMER = transformer.Config(dim=16, num_layers=1, num_heads=2, kernel=5, stride=2)
LSTM = lstm.Config(dim=16, num_layers=1, decoder_layers=2, num_heads=2, stride=2)
SQUEEZEFORMER = squeezeformer.Config(
    dim=16, num_layers=3, halve_after=2, num_heads=2, kernel=5, groups=(4, 2)
)
STREAMING = streaming.Config(dim=16, num_layers=2, num_heads=2, chunk=4, past=8, groups=(4, 2))
SLOW = pytest.param(SQUEEZEFORMER, marks=pytest.mark.slow)
NETWORKS = [TRANSFORMER, LSTM, SQUEEZEFORMER]
NAMES = ["transformer", "lstm", "squeezeformer"]
BASELINES = [fingerspelling_transformer.Config(), fingerspelling_lstm.Config()]
MODERN = pytest.mark.parametrize("cfg", NETWORKS, ids=NAMES)
AUTOREGRESSIVE = pytest.mark.parametrize(
    "cfg", [*NETWORKS, fingerspelling_transformer.Config()], ids=[*NAMES, "baseline"]
)


@functools.cache
def build(cfg: Any) -> Any:
    return tiny.filled(lambda: cfg.build(6, 59, rngs=nnx.Rngs(0)))


@jax.jit
def run(model, features, mask, tokens, key=None):
    """(teacher-forced logits, CTC logits or None, the memory, the memory's mask)"""
    memory, memory_mask = model.encode(features, mask, key)
    logits = model.decode(tokens, memory, memory_mask, key) if hasattr(model, "head") else None
    ctc = model.ctc(memory) if hasattr(model, "ctc_head") else None
    return logits, ctc, memory, memory_mask


@jax.jit
def gradients(model, features, mask):
    def loss(model):
        logits, ctc, _, _ = run(model, features, mask, TOKENS)
        return jnp.var(logits) + jnp.var(ctc), logits

    return jax.grad(loss, has_aux=True)(model)


@pytest.mark.parametrize("cfg", [*NETWORKS, *BASELINES])
def test_a_network_is_a_pytree_of_float32_parameters(cfg):
    leaves = jax.tree.leaves(build(cfg))
    assert leaves and all(x.dtype == jnp.float32 for x in leaves)


@pytest.mark.parametrize("cfg", [TRANSFORMER, LSTM, SLOW, STREAMING], ids=[*NAMES, "streaming"])
@pytest.mark.long
def test_a_clip_in_which_nothing_is_seen_has_a_gradient_that_is_no_thousand_times_larger(cfg):
    def memory(model, features):
        return jnp.square(model.encode(features, np.ones((1, 17), bool))[0]).sum()

    @jax.jit
    def largest(features):
        model = cfg.build(6, 59, rngs=nnx.Rngs(0))  # Untrained: its other biases are zero.
        leaves = jax.tree.leaves(jax.grad(memory)(model, features))
        return jnp.stack([jnp.abs(leaf).max() for leaf in leaves]).max()

    nothing, seen = largest(np.zeros((1, 17, 6), np.float32)), largest(FEATURES[:1])
    assert nothing < 1000 * seen


@AUTOREGRESSIVE
def test_cached_steps_equal_teacher_forcing(cfg):
    model = build(cfg)
    expected, _, memory, memory_mask = run(model, FEATURES, MASK, TOKENS)
    assert expected.shape == (3, 7, 62) and expected.dtype == jnp.float32

    @jax.jit
    def in_steps(model):
        cache, logits = model.start(memory, memory_mask, 7), []
        for t in range(7):
            at_t, cache = model.advance(TOKENS[:, t], cache)
            logits.append(at_t)
        return jnp.stack(logits, 1)

    np.testing.assert_allclose(in_steps(model), expected, atol=1e-4)


@AUTOREGRESSIVE
def test_a_character_depends_only_on_those_before_it(cfg):
    model = build(cfg)
    changed = np.where(np.arange(7) < 4, TOKENS, (TOKENS + 1) % 62)
    a, b = (run(model, FEATURES, MASK, tokens)[0] for tokens in (TOKENS, changed))
    np.testing.assert_allclose(a[:, :4], b[:, :4], atol=1e-5)
    assert (np.abs(a - b)[:, 4:].max(-1) > 1e-3).all()


@pytest.mark.parametrize(
    ("cfg", "stride"),
    [(dataclasses.replace(TRANSFORMER, stride=n), n) for n in (1, 2, 4)]
    + [(LSTM, 2), (SQUEEZEFORMER, 2)],
)
def test_neither_padding_nor_the_rest_of_the_batch_changes_a_result(cfg, stride):
    model = build(cfg)
    logits, ctc, _, mask = run(model, FEATURES, MASK, TOKENS)
    assert ctc.shape == (3, -(-17 // stride), 60) and ctc.dtype == jnp.float32
    garbage = np.where(MASK[..., None], FEATURES, np.float32(np.nan))
    garbage = np.pad(garbage, ((0, 0), (0, 6), (0, 0)), constant_values=1e6)
    wide, wide_ctc, _, wide_mask = run(model, garbage, np.pad(MASK, ((0, 0), (0, 6))), TOKENS)
    alone, alone_ctc, _, _ = run(model, FEATURES[1:2, :9], MASK[1:2, :9], TOKENS[1:2])
    for row, frames in enumerate((17, 9)):
        m = -(-frames // stride)
        np.testing.assert_array_equal([mask[row].sum(), wide_mask[row].sum()], m)
        np.testing.assert_allclose(wide_ctc[row, :m], ctc[row, :m], atol=1e-4)
        np.testing.assert_allclose(wide[row], logits[row], atol=1e-4)
    np.testing.assert_allclose(alone_ctc[0], ctc[1, : -(-9 // stride)], atol=1e-4)
    np.testing.assert_allclose(alone[0], logits[1], atol=1e-4)


@pytest.mark.parametrize("cfg", [TRANSFORMER, SLOW], ids=["transformer", "squeezeformer"])
def test_blocks_that_are_computed_again_keep_less_and_have_the_same_gradient(cfg):
    def pulled(cfg):
        model, key = build(cfg), jax.random.key(0)  # Their dropout is the same too.
        return jax.vjp(lambda model: jnp.var(run(model, FEATURES, MASK, TOKENS, key)[2]), model)[1]

    def kept(cfg) -> int:
        return sum(x.size for x in jax.tree.leaves(jax.eval_shape(lambda: pulled(cfg))))

    def products(cfg) -> int:
        """Of weights: those of attention's shares have axes of rows and heads."""
        text = jax.jit(lambda: pulled(cfg)(1.0)).lower().as_text()
        lines = [line for line in text.splitlines() if "stablehlo.dot_general" in line]
        return sum("batching_dims" not in line for line in lines)

    again = dataclasses.replace(cfg, remat=True)
    _ = build(cfg), build(again)  # It is kept: made here, it holds no value of a trace.
    assert kept(again) < kept(cfg) and products(again) == products(cfg)
    one, other = (jax.tree.leaves(jax.jit(lambda c=c: pulled(c)(1.0))()) for c in (cfg, again))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@MODERN
def test_every_parameter_learns_and_no_empty_clip_spoils_it(cfg):
    garbage = np.where(MASK[..., None], FEATURES, np.float32(np.nan))
    grads, logits = gradients(build(cfg), garbage, MASK)
    assert not MASK[2].any() and np.isfinite(logits).all()
    for path, g in jax.tree_util.tree_leaves_with_path(grads):
        assert np.isfinite(g).all() and np.abs(g).max() > 0, jax.tree_util.keystr(path)


@AUTOREGRESSIVE
def test_dropout_needs_a_key(cfg):
    model = build(cfg)
    off = run(model, FEATURES, MASK, TOKENS)[0]
    np.testing.assert_array_equal(off, run(model, FEATURES, MASK, TOKENS)[0])
    a, again, b = (run(model, FEATURES, MASK, TOKENS, jax.random.key(i))[0] for i in (0, 0, 1))
    np.testing.assert_array_equal(a, again)
    assert np.abs(a - off).max() > 1e-3 and np.abs(a - b).max() > 1e-3


@MODERN
@pytest.mark.long
def test_bfloat16_computes_nearly_the_same(cfg):
    exact = run(build(cfg), FEATURES, MASK, TOKENS)[0]
    grads, near = gradients(build(dataclasses.replace(cfg, dtype="bfloat16")), FEATURES, MASK)
    assert near.dtype == jnp.float32
    assert 0 < np.abs(exact - near)[:2].max() < 0.15 * np.abs(exact).max()
    for g in jax.tree.leaves(grads):
        assert g.dtype == jnp.float32 and np.isfinite(g).all()


@MODERN
def test_without_decoder_layers_there_is_no_decoder(cfg):
    model = build(dataclasses.replace(cfg, decoder_layers=0))
    names = {jax.tree_util.keystr(p) for p, _ in jax.tree_util.tree_leaves_with_path(model)}
    assert not [n for n in names if "decoder" in n or "embed" in n or "norm_out" in n]
    logits, ctc, _, _ = run(model, FEATURES, MASK, TOKENS)
    assert logits is None and ctc.shape == (3, 9, 60)
    assert not hasattr(build(dataclasses.replace(cfg, ctc=False)), "ctc_head")


def test_a_transformer_without_convolutions_works():
    model = build(dataclasses.replace(TRANSFORMER, kernel=0))
    assert np.isfinite(run(model, FEATURES, MASK, TOKENS)[0]).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: transformer.Config(stride=3), "stride 3"),
        (lambda: lstm.Config(stride=8), "stride 8"),
        (lambda: build(transformer.Config(decoder_layers=0, ctc=False)), "ctc=True"),
        (lambda: build(lstm.Config(decoder_layers=0, ctc=False)), "ctc=True"),
        (lambda: lstm.Config(dim=15), "dim 15"),
        (lambda: build(transformer.Config(dim=20, num_heads=4)), "dim 20"),
        (lambda: squeezeformer.Config(num_layers=2, halve_after=2), "halve_after 2"),
        (lambda: build(squeezeformer.Config(groups=(4, 4))), "groups of 8 values, and 6"),
    ],
)
def test_a_config_that_cannot_be_built_says_why(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_published_lstm_answers_64_positions_and_reads_the_padding():
    model = build(fingerspelling_lstm.Config())
    features = RNG.normal(size=(2, 128, 6)).astype(np.float32)
    mask = np.ones((2, 128), bool)
    positions = jax.jit(lambda m, *at: m.positions(*at))
    logits = positions(model, features, mask)
    assert logits.shape == (2, 64, 62) and logits.dtype == jnp.float32
    np.testing.assert_array_equal(logits, positions(model, features, ~mask, jax.random.key(0)))
    features[:, 100:] = 0
    assert np.abs(logits - positions(model, features, mask)).max() > 1e-4


def test_the_published_transformer_reads_the_padding():
    model = build(fingerspelling_transformer.Config())
    changed = np.where(MASK[..., None], FEATURES, 0)
    (a, _, _, mask), (b, *_) = (run(model, f, MASK, TOKENS) for f in (FEATURES, changed))
    assert mask.all() and np.abs(a - b)[1:].max() > 1e-4
