"""Layers of images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aslx.models import layers, pixels

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 9])
@pytest.mark.parametrize(("taps", "stride"), [(1, 1), (1, 2), (3, 1), (3, 2), (7, 2)])
def test_a_convolution_is_xlas_with_its_gradients_whatever_the_images_size(size, taps, stride):
    x = RNG.normal(size=(2, size, size, 3)).astype(np.float32)
    kernel = RNG.normal(size=(taps, taps, 3, 4)).astype(np.float32)

    def reference(x, kernel):
        pads, numbers = [(taps // 2, taps // 2)] * 2, ("NHWC", "HWIO", "NHWC")
        strides = (stride, stride)
        return jax.lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=numbers)

    def value(f):
        return jax.value_and_grad(lambda x, k: jnp.square(f(x, k)).sum(), (0, 1))(x, kernel)

    ours = value(lambda x, k: pixels.convolution(x, k, stride))
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(value(reference)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("size", [4, 7])
def test_pooling_takes_the_largest_of_3_x_3_at_every_other_pixel_as_it_is_exported(size):
    x = RNG.normal(size=(2, size, size + 1, 3)).astype(np.float32)
    with layers.exporting():
        exported = pixels.max_pool(x)
    np.testing.assert_array_equal(pixels.max_pool(x), exported)
