import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from aslx.models import attention, layers

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("taps", [1, 4, 5])
def test_the_depthwise_convolution_is_xlas_with_its_gradients(taps):
    x = RNG.normal(size=(2, 11, 3)).astype(np.float32)
    kernel = RNG.normal(size=(taps, 3)).astype(np.float32)
    weights = RNG.normal(size=x.shape).astype(np.float32)

    def reference(x, kernel):
        return jax.lax.conv_general_dilated(
            x,
            kernel[:, None],
            (1,),
            [(taps // 2, taps - 1 - taps // 2)],
            dimension_numbers=("NWC", "WIO", "NWC"),
            feature_group_count=3,
        )

    def value(f):
        return jax.value_and_grad(lambda x, k: jnp.sum(f(x, k) * weights), (0, 1))(x, kernel)

    np.testing.assert_allclose(layers.depthwise(x, kernel), reference(x, kernel), atol=1e-5)
    for a, b in zip(
        jax.tree.leaves(value(layers.depthwise)), jax.tree.leaves(value(reference)), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_what_is_materialised_is_what_it_was_and_so_is_its_gradient():
    x = jnp.arange(3.0)
    assert (layers.materialised(x) == x).all()
    tripled = jax.jit(jax.grad(lambda x: (3 * layers.materialised(x)).sum()))
    np.testing.assert_array_equal(tripled(x), [3, 3, 3])


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
    q, k = RNG.normal(size=(2, 1, 1, 1, 8)).astype(np.float32)
    turns = attention.turns(20, 8)

    def product(i, j):
        a, b = attention.rotate(q, turns[i : i + 1]), attention.rotate(k, turns[j : j + 1])
        return float((a * b).sum())

    np.testing.assert_allclose(product(3, 1), product(19, 17), rtol=1e-5)
    assert abs(product(3, 1) - product(3, 2)) > 1e-3


def test_attention_sees_only_what_the_mask_shows():
    mixer = attention.Attention(8, 2, dtype=jnp.dtype("float32"), rngs=nnx.Rngs(0))
    x = RNG.normal(size=(1, 6, 8)).astype(np.float32)
    mask = jnp.arange(6) < 4
    y = mixer(x, mask[None, None])
    changed = np.where(mask[:, None], x, 1e3)
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
    x = np.arange(1, 6, dtype=np.float32).reshape(1, 5, 1)
    stacked, mask = layers.stack_frames(x, jnp.asarray([[True, True, True, False, False]]), 2)
    np.testing.assert_array_equal(stacked[0], [[1, 2], [3, 0], [0, 0]])
    np.testing.assert_array_equal(mask, [[True, True, False]])


def test_a_product_is_numpys_with_its_gradients():
    x, w, g = (RNG.normal(size=s).astype(np.float32) for s in ((2, 3, 5), (5, 4), (2, 3, 4)))
    y, back = jax.vjp(layers.product, x, w)
    np.testing.assert_allclose(y, x @ w, atol=1e-5)
    dx, dw = back(g)
    np.testing.assert_allclose(dx, g @ w.T, atol=1e-5)
    np.testing.assert_allclose(dw, np.einsum("abc,abd->cd", x, g), atol=1e-5)


def test_dropout_of_vectors_draws_for_each_row_apart():
    x, key = np.ones((8, 64), np.float32), jax.random.key(3)
    y = np.asarray(layers.dropout(x, 0.5, key))
    np.testing.assert_array_equal(layers.dropout(x[:4], 0.5, key), y[:4])
    assert 0.3 < (y == 0).mean() < 0.7
