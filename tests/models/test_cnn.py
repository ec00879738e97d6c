"""The small network's own arithmetic, against XLA's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
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
