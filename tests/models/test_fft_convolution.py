import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

from aslx.models import fft_convolution


@hypothesis.given(st.integers(1, 3), st.integers(1, 60), st.sampled_from([1, 3, 11]))
@hypothesis.settings(max_examples=8, deadline=None)
def test_the_convolution_over_time_is_xlas_with_its_gradients(batch, frames, taps):
    rng = np.random.default_rng(frames)
    x = rng.normal(size=(batch, frames, 5)).astype(np.float32)
    kernel = rng.normal(size=(taps, 5, 4)).astype(np.float32)
    weights = rng.normal(size=(batch, frames, 4)).astype(np.float32)

    def reference(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (1,), [(taps // 2, taps // 2)], dimension_numbers=("NHC", "HIO", "NHC")
        )

    def both(f):
        y, back = jax.vjp(f, x, kernel)
        return y, back(weights)

    ours, theirs = both(fft_convolution.convolution), both(reference)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_a_tile_takes_a_fifth_of_the_multiplications():
    into, kernel, out = fft_convolution.transforms(11)
    assert into.shape[0] == kernel.shape[0] == out.shape[1] == 47
    assert len(out) * 11 == 242


def test_on_a_cpu_tiles_take_less_than_half_the_products_flops():
    x, kernel = jnp.zeros((32, 128, 64)), jnp.zeros((11, 64, 64))
    flops = jax.jit(fft_convolution.convolution).lower(x, kernel).compile().cost_analysis()["flops"]
    assert flops < 0.5 * 2 * 32 * 128 * 11 * 64 * 64
