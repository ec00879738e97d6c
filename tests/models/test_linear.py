import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from aslx.models import linear


def test_a_projection_is_flax_linear_general_with_its_initial_values():
    lecun, f32 = nnx.initializers.lecun_normal(), jnp.dtype("float32")
    x = jax.random.normal(jax.random.key(1), (2, 3, 4, 6))
    ours = linear.Projection((4, 6), (5, 2), kernel_init=lecun, dtype=f32, rngs=nnx.Rngs(0))
    flax = nnx.LinearGeneral((4, 6), (5, 2), axis=(-2, -1), kernel_init=lecun, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(ours.kernel[...], flax.kernel[...])
    np.testing.assert_allclose(ours(x), flax(x), atol=1e-6)


@pytest.mark.parametrize("rows", [3, 90])
@pytest.mark.parametrize(("wide", "narrow"), [(80, 20), (20, 80), (64, 32), (5, 5)])
def test_a_product_of_any_order_is_numpys_with_its_gradients(rows, wide, narrow):
    rng = np.random.default_rng(rows + wide)
    x, w, g = (rng.normal(size=s) for s in ((rows, wide), (wide, narrow), (rows, narrow)))
    y, back = jax.vjp(linear.product, *(a.astype(np.float32) for a in (x, w)))
    np.testing.assert_allclose(y, x @ w, atol=1e-4)
    dx, dw = back(g.astype(np.float32))
    np.testing.assert_allclose(dx, g @ w.T, atol=1e-4)
    np.testing.assert_allclose(dw, x.T @ g, atol=1e-4)
