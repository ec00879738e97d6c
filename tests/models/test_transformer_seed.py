import jax
import jax.numpy as jnp
import numpy as np

from aslx.models import transformer_seed

RNG = np.random.default_rng(0)


def test_the_convolution_over_time_is_xlas_with_its_gradients():
    x = RNG.normal(size=(3, 14, 5)).astype(np.float32)
    kernel = RNG.normal(size=(11, 5, 4)).astype(np.float32)

    def reference(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (1,), [(5, 5)], dimension_numbers=("NHC", "HIO", "NHC")
        )

    def value(f):
        return jax.value_and_grad(lambda x, k: jnp.square(f(x, k)).sum(), (0, 1))(x, kernel)

    ours, theirs = value(transformer_seed.convolution), value(reference)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3)
