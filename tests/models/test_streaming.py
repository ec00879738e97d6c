"""The streaming network: chunk by chunk it answers as it answers a whole clip."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from aslx import errors
from aslx.models import streaming

CFG = streaming.Config(dim=16, num_layers=2, num_heads=2, kernel=5, chunk=4, past=8, groups=(4, 2))
FRAMES = 48
RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(3, FRAMES, 6)).astype(np.float32)
MASK = np.arange(FRAMES) < np.array([[FRAMES], [29], [0]])


@pytest.fixture(scope="module")
def network() -> streaming.Network:
    """As if trained: all biases would be zero, and padding would do no harm that shows."""
    rng = np.random.default_rng(1)
    model = jax.jit(lambda: CFG.build(6, 59, rngs=nnx.Rngs(0)))()
    return jax.tree.map(lambda x: x + 0.1 * rng.normal(size=x.shape).astype(x.dtype), model)


@jax.jit
def whole(model, features, mask):
    memory, mask_BM = model.encode(features, mask)
    return model.ctc(memory), mask_BM


step = jax.jit(lambda model, *arrays: model.step(*arrays))


def in_steps(model, features, mask, sizes):
    state, logits, masks, at = model.init_state(len(features)), [], [], 0
    for size in sizes:
        part = slice(at, at + size)
        found, real, state = step(model, state, features[:, part], mask[:, part])
        logits.append(found)
        masks.append(real)
        at += size
    assert at == features.shape[1]
    return np.concatenate(logits, 1), np.concatenate(masks, 1)


@pytest.mark.parametrize("sizes", [[4] * 12, [8] * 6, [4, 8, 12, 4, 20], [16, 32]], ids=str)
def test_any_cutting_into_chunks_has_the_logits_of_the_whole_clip(network, sizes):
    expected, real = whole(network, FEATURES, MASK)
    found, mask = in_steps(network, FEATURES, MASK, sizes)
    np.testing.assert_array_equal(mask, real)
    np.testing.assert_allclose(found[mask], expected[real], atol=1e-5)


def test_an_output_waits_for_its_chunk_and_no_frame_after_it(network):
    before, _ = whole(network, FEATURES, MASK)
    changed = FEATURES.copy()
    changed[:, 20:] += 1.0
    after, _ = whole(network, changed, MASK)
    differ = np.abs(np.asarray(before - after))[0].max(-1) > 1e-6
    assert np.flatnonzero(differ)[0] == 10  # Chunks of two positions, four frames.
    changed = FEATURES.copy()
    changed[:, 23:] += 1.0
    after, _ = whole(network, changed, MASK)
    differ = np.abs(np.asarray(before - after))[0].max(-1) > 1e-6
    assert np.flatnonzero(differ)[0] == 10


def test_what_lies_far_back_is_forgotten_and_the_state_keeps_its_size(network):
    """Two blocks see two pasts, and three tails of four positions and one of four frames."""
    state, other = network.init_state(1), network.init_state(1)
    shapes, last = jax.tree.map(jnp.shape, state), np.inf
    _, _, other = step(network, other, 5 + FEATURES[:1, :4], MASK[:1, :4])
    for i in range(4, FRAMES, 4):
        a, _, state = step(network, state, FEATURES[:1, i : i + 4], MASK[:1, i : i + 4])
        b, _, other = step(network, other, FEATURES[:1, i : i + 4], MASK[:1, i : i + 4])
        assert jax.tree.map(jnp.shape, state) == shapes
        last = np.abs(a - b).max()
    assert last < 1e-6


def test_a_stream_of_an_hour_has_no_drift(network):
    # The positions that attention tells are those from the oldest key on.
    rng = np.random.default_rng(2)
    last = rng.normal(size=(1, 40, 6)).astype(np.float32)
    real = np.ones((1, 4), bool)

    @jax.jit
    def run(state, frames_N4F):
        def one(state, frames_4F):
            logits, _, state = network.step(state, frames_4F[None], real)
            return state, logits

        return jax.lax.scan(one, state, frames_N4F)

    long = rng.normal(size=(27_000, 4, 6)).astype(np.float32)
    state, _ = run(network.init_state(1), long)
    fresh, _ = run(network.init_state(1), long[-100:])
    _, a = run(state, last.reshape(-1, 4, 6))
    _, b = run(fresh, last.reshape(-1, 4, 6))
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_every_parameter_learns(network):
    @jax.jit
    def gradients(model):
        return jax.grad(lambda m: jnp.square(whole(m, FEATURES, MASK)[0]).sum())(model)

    assert all(
        np.isfinite(g).all() and np.abs(g).max() > 0 for g in jax.tree.leaves(gradients(network))
    )


@pytest.mark.parametrize(
    "changes", [{"chunk": 3}, {"past": 6}, {"decoder_layers": 1}, {"ctc": False}]
)
def test_a_config_that_cannot_stream_is_refused(changes):
    with pytest.raises(errors.BadInput):
        streaming.Config(**{"chunk": 4, "past": 8} | changes)
