"""Layers that the networks share."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from aslx.kernels import mode as modes
from aslx.models import attention, layers, squeezeformer

RNG = np.random.default_rng(0)


def some(*shape: int) -> jax.Array:
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def test_dropout_keeps_the_mean_and_drops_the_rate():
    x = jnp.ones((4, 50, 101))
    y = layers.dropout(x, 0.3, jax.random.key(0))
    assert abs(float((y == 0).mean()) - 0.3) < 0.02
    assert abs(float(y.mean()) - 1) < 0.02
    # Neighbours that share a random word are independent.
    both = (y[:, :13] == 0) & (y[:, 13:26] == 0)
    assert abs(float(both.mean()) - 0.09) < 0.02
    assert layers.dropout(x, 0.3, None) is x
    assert layers.dropout(x, 0.0, jax.random.key(0)) is x


def test_rotary_products_depend_on_the_distance_alone():
    q, k = some(2, 1, 1, 1, 8)
    turns = attention.turns(20, 8)

    def product(i, j):
        a, b = attention.rotate(q, turns[i : i + 1]), attention.rotate(k, turns[j : j + 1])
        return float((a * b).sum())

    np.testing.assert_allclose(product(3, 1), product(19, 17), rtol=1e-5)
    assert abs(product(3, 1) - product(3, 2)) > 1e-3


def test_attention_sees_only_what_the_mask_shows():
    mixer = attention.Attention(8, 2, dtype=jnp.dtype("float32"), rngs=nnx.Rngs(0))
    x = some(1, 6, 8)
    mask = jnp.arange(6) < 4
    y = mixer(x, mask[None, None])
    changed = jnp.where(mask[:, None], x, 1e3)
    np.testing.assert_allclose(mixer(changed, mask[None, None])[:, :4], y[:, :4], atol=1e-5)
    blind = mixer(x, jnp.zeros((1, 1, 6), bool))
    assert np.isfinite(blind).all()


def test_positions_are_sines_then_cosines():
    p = layers.positions(50, 6)
    np.testing.assert_allclose(p[0], [0, 0, 0, 1, 1, 1])
    np.testing.assert_allclose(
        p[7], [f(7 * 10000 ** -(i / 3)) for f in (np.sin, np.cos) for i in range(3)], atol=1e-6
    )


def test_stacked_frames_are_real_where_any_of_them_is():
    x = jnp.arange(1.0, 6).reshape(1, 5, 1)
    stacked, mask = layers.stack_frames(x, jnp.asarray([[True, True, True, False, False]]), 2)
    np.testing.assert_array_equal(stacked[0], [[1, 2], [3, 0], [0, 0]])
    np.testing.assert_array_equal(mask, [[True, True, False]])


def test_a_linear_map_is_flaxs_with_its_initial_values():
    lecun = nnx.initializers.lecun_normal()
    x = some(2, 3, 4, 6)
    ours = layers.Linear((4, 6), (5, 2), kernel_init=lecun, rngs=nnx.Rngs(0))
    flax = nnx.LinearGeneral((4, 6), (5, 2), axis=(-2, -1), kernel_init=lecun, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(ours.kernel[...], flax.kernel[...])
    np.testing.assert_allclose(ours(x), flax(x), atol=1e-6)


def test_bound_layers_compute_in_another_mode_and_the_given_ones_stay_plain():
    cfg = squeezeformer.Config(dim=16, num_layers=3, halve_after=2, num_heads=2, kernel=5)
    network = cfg.build(6, 59, rngs=nnx.Rngs(0))
    bound = layers.bound((network, None), modes.CPU)[0]
    for model, mode in ((bound, modes.CPU), (network, modes.PLAIN)):
        parts = [part for _, part in nnx.iter_modules(model) if isinstance(part, layers.Layer)]
        assert len(parts) > 10 and all(part.mode is mode for part in parts)
    for a, b in zip(jax.tree.leaves(bound), jax.tree.leaves(network), strict=True):
        assert a is b


def test_dropout_of_vectors_draws_for_each_row_separately():
    x, key = jnp.ones((8, 64)), jax.random.key(3)
    y = np.asarray(layers.dropout(x, 0.5, key))
    np.testing.assert_array_equal(layers.dropout(x[:4], 0.5, key), y[:4])
    assert 0.3 < (y == 0).mean() < 0.7
