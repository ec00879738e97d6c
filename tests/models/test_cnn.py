"""The small network's own arithmetic, against XLA's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.test_util import check_grads

from aslx.models import cnn


def test_depthwise_is_a_grouped_convolution_and_so_is_its_gradient():
    rng = np.random.default_rng(0)
    x, taps = rng.normal(size=(2, 5, 7, 3)), rng.normal(size=(9, 3))
    x, taps = jnp.asarray(x, jnp.float32), jnp.asarray(taps, jnp.float32)
    expected = jax.lax.conv_general_dilated(
        x,
        taps.reshape(3, 3, 1, 3),
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=3,
    )
    np.testing.assert_allclose(cnn.depthwise(x, taps), expected, atol=1e-5)
    check_grads(cnn.depthwise, (x, taps), order=1, modes=("rev",), atol=1e-2, rtol=1e-2)


def test_halving_takes_the_largest_of_each_square_and_of_the_edge_alone():
    x = jnp.arange(15.0).reshape(1, 3, 5, 1)
    found = cnn.halved(x)[0, :, :, 0]
    np.testing.assert_array_equal(found, [[6, 8, 9], [11, 13, 14]])


@pytest.mark.parametrize(("height", "width"), [(4, 6), (3, 5)])
def test_of_each_square_the_first_of_the_largest_has_the_gradient(height, width):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (2, height, width, 4)).astype(np.float32)  # So that there are equals.
    weights = rng.normal(size=(2, -(-height // 2), -(-width // 2), 4)).astype(np.float32)
    found = jax.grad(lambda x: (cnn.halved(x) * weights).sum())(x)
    expected = np.zeros_like(x)
    for b, i, j, c in np.ndindex(weights.shape):
        square = x[b, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c]
        up, along = np.unravel_index(square.argmax(), square.shape)
        expected[b, 2 * i + up, 2 * j + along, c] = weights[b, i, j, c]
    np.testing.assert_array_equal(found, expected)


def small(**options) -> cnn.ResidualCNN:
    cfg = cnn.Config(dropout=0.0, **options)
    return cfg.build((8, 12, 3), 5, rngs=nnx.Rngs(0))


def every_window(image: jax.Array) -> jax.Array:
    """f32[B, V, 5]: logits of `small(margin=1)`, one window of the map after the other."""
    model = small()
    map_BHWC = model._map(image, [None] * 2)
    assert map_BHWC.shape[1:3] == (2, 3)
    wider = jnp.pad(map_BHWC, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    windows = [wider[:, i : i + 2, j : j + 3] for i in range(3) for j in range(3)]
    flat = jnp.stack(windows, 1).reshape(len(image), 9, -1)
    return model.head(jax.nn.relu(model.dense(flat)))


def test_with_a_margin_the_answer_is_the_mean_probability_of_every_window():
    image = jax.random.normal(jax.random.key(1), (3, 8, 12, 3))
    logits_BVC = every_window(image)
    found = small(margin=1).classify(image, jnp.ones((3, 1), bool))
    np.testing.assert_allclose(jax.nn.softmax(found), jax.nn.softmax(logits_BVC).mean(1), atol=1e-6)


def test_training_reads_as_many_windows_as_are_asked_for_and_others_for_each_key():
    image, mask = jax.random.normal(jax.random.key(1), (3, 8, 12, 3)), jnp.ones((3, 1), bool)
    every = np.asarray(every_window(image))
    model = small(margin=1, windows=4)
    seen = set()
    for seed in range(9):
        few = np.asarray(model.classify(image, mask, jax.random.key(seed)))
        assert few.shape == (3, 4, 5)
        for row, all_of in zip(few, every, strict=True):
            near = np.abs(row[:, None] - all_of).max(-1)
            assert (near.min(1) < 1e-5).all()
            which = tuple(near.argmin(1).tolist())
            assert len(set(which)) == 4
            seen.add(which)
    assert len(seen) > 6
    found = small(margin=1).classify(image, mask, jax.random.key(0))
    np.testing.assert_allclose(found, every, atol=1e-5)


def test_a_margin_below_zero_is_refused():
    with pytest.raises(ValueError, match="margin -1"):
        cnn.Config(margin=-1)
