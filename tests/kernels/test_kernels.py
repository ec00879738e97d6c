"""Tuned forms of kernels against the plain forms that define them, and some of these against XLA's
own functions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aslx.kernels import lstm
from aslx.kernels import mode as modes

RNG = np.random.default_rng(0)
MODES = modes.PLAIN, modes.CPU, modes.ACCELERATOR


def some(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def with_equals(*shape: int) -> np.ndarray:
    """Some values occur more than once."""
    return RNG.integers(0, 3, shape).astype(np.float32)


def recurrence(features: int, units: int, first: bool = False) -> tuple:
    carry = (some(3, units), some(3, units)) if first else (np.zeros((3, units), "f4"),) * 2
    weights = some(features, 4 * units) / 4, some(4 * units), some(units, 4 * units) / 4
    return some(3, 7, features), *weights, carry


def recur(activation: lstm.Activation, reverse: bool, steps: int, mask: np.ndarray | None):
    """A function of a mode, x, three weights and the first carry."""
    mask_TB1 = None if mask is None else jnp.asarray(mask.T[..., None])

    def of(mode: modes.Mode, x, kernel, bias, recurrent, first):
        x = x[:, :1] if steps else x
        return mode.recur(activation, reverse, steps, x, kernel, bias, recurrent, mask_TB1, first)

    return of


def mixing(*mask: int):
    """Attention under a mask with one row that sees nothing."""
    mask_BTS = RNG.random(mask) < 0.5
    mask_BTS[0, 0] = False
    arrays = [some(16, 128, 4, 8) for _ in range(3)]  # Enough logits for parts.
    return lambda mode, q, k, v: mode.attention(q, k, v, jnp.asarray(mask_BTS)), arrays


def run(name: str, *options):
    return lambda mode, *arrays: getattr(mode, name)(*arrays, *options)


ENDS = np.arange(7) < np.array([[7], [4], [0]])
HOLES = RNG.random((3, 7)) < 0.6
CASES = {
    "attention": mixing(16, 1, 128),
    "attention-under-one-mask": mixing(1, 128, 128),
    "linear": (run("linear"), [some(2, 3, 5), some(5, 4)]),
    "linear-of-few-rows": (run("linear"), [some(3, 80), some(80, 20)]),
    "linear-that-pads-its-columns": (run("linear"), [some(90, 80), some(80, 20)]),
    "linear-that-widens": (run("linear"), [some(90, 20), some(20, 80)]),
    "halve-image": (run("halve_image"), [with_equals(2, 4, 6, 4)]),
    "halve-image-of-odd-sides": (run("halve_image"), [with_equals(2, 3, 5, 4)]),
    "recur": (recur(lstm.TANH, False, 0, None), recurrence(5, 6)),
    "recur-over-ends": (recur(lstm.TANH, False, 0, ENDS), recurrence(5, 6, first=True)),
    "recur-backwards": (recur(lstm.TANH, True, 0, HOLES), recurrence(5, 6, first=True)),
    "recur-with-relu": (recur(lstm.RELU, False, 0, HOLES), recurrence(5, 8)),
    "recur-of-a-wide-input": (recur(lstm.TANH, False, 0, ENDS), recurrence(50, 6)),
    "recur-of-one-input": (recur(lstm.TANH, False, 9, None), recurrence(5, 6)),
}
CASES |= {
    f"depthwise-{taps}-taps": (run("depthwise"), [some(2, 11, 3), some(taps, 3)])
    for taps in (1, 4, 5)
}
CASES |= {
    f"depthwise-within-{taps}-taps": (run("depthwise_within"), [some(2, 11, 3), some(taps, 3)])
    for taps in (1, 4, 11)
}
CASES |= {
    f"depthwise-{up}x{along}-taps": (run("depthwise"), [some(2, 5, 7, 3), some(up, along, 3)])
    for up, along in ((3, 3), (2, 5))
}
CASES |= {
    f"convolution-{taps}-taps-{frames}-frames": (
        run("convolution"),
        [some(2, frames, 5), some(taps, 5, 4)],
    )
    for taps, frames in ((3, 1), (11, 60))
}
CASES |= {
    f"image-convolution-{taps}-taps-{stride}-stride-{size}-pixels": (
        run("image_convolution", stride),
        [some(2, size, size, 3), some(taps, taps, 3, 4)],
    )
    for taps, stride, size in (
        *((3, stride, size) for stride in (1, 2) for size in (1, 3)),
        (3, 1, 4),
        (1, 2, 9),
        (7, 2, 2),
    )
}


@pytest.mark.parametrize("name", CASES)
def test_a_tuned_form_has_the_values_and_gradients_of_the_plain_one(name):
    function, arrays = CASES[name]

    def pulled(arrays, mode: modes.Mode):
        y, back = jax.vjp(functools.partial(function, mode), *arrays)
        rng = np.random.default_rng(1)
        weights = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(x.dtype), y)
        return jax.tree.leaves((y, back(weights)))

    found = jax.jit(lambda arrays: [pulled(arrays, m) for m in MODES])(arrays)
    for plain, *tuned in zip(*found, strict=True):
        for other in tuned:
            np.testing.assert_allclose(other, plain, atol=2e-4, rtol=1e-4)


def test_unrolled_blocks_answer_what_scanned_ones_do():
    def apply(block, x, key):
        assert key is None
        return jnp.tanh(x @ block)

    stack, x = some(3, 4, 4), some(2, 4)
    scanned, unrolled = (m.scan(stack, x, None, apply, True) for m in (modes.PLAIN, modes.EXPORT))
    np.testing.assert_allclose(scanned, unrolled, atol=1e-6)


@pytest.mark.parametrize("taps", [(1,), (4,), (5,), (3, 3)])
def test_a_depthwise_convolution_is_xlas_grouped_one(taps):
    x, kernel = map(jnp.asarray, (some(2, 11, *[7] * (len(taps) - 1), 3), some(*taps, 3)))
    expected = jax.lax.conv_general_dilated(
        x,
        kernel[..., None, :],
        (1,) * len(taps),
        [(k // 2, (k - 1) // 2) for k in taps],
        dimension_numbers=("NWC", "WIO", "NWC") if len(taps) == 1 else ("NHWC", "HWIO", "NHWC"),
        feature_group_count=3,
    )
    np.testing.assert_allclose(modes.PLAIN.depthwise(x, kernel), expected, atol=1e-5)
    inner = (slice(k // 2, n - (k - 1) // 2) for n, k in zip(x.shape[1:-1], taps, strict=True))
    within = modes.PLAIN.depthwise_within(x, kernel)
    np.testing.assert_allclose(within, expected[(slice(None), *inner)], atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(4, 6), (3, 5)])
def test_of_each_2_x_2_the_first_of_the_largest_has_the_gradient(height, width):
    x = with_equals(2, height, width, 4)
    weights = some(2, -(-height // 2), -(-width // 2), 4)
    found = jax.grad(lambda x: (modes.PLAIN.halve_image(x) * weights).sum())(x)
    expected = np.zeros_like(x)
    for b, i, j, c in np.ndindex(weights.shape):
        square = x[b, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c]
        up, along = np.unravel_index(square.argmax(), square.shape)
        expected[b, 2 * i + up, 2 * j + along, c] = weights[b, i, j, c]
    np.testing.assert_array_equal(found, expected)


def test_tiles_of_a_convolution_take_less_than_half_the_products_flops():
    x, kernel = jnp.zeros((32, 128, 64)), jnp.zeros((11, 64, 64))
    compiled = jax.jit(modes.CPU.convolution).lower(x, kernel).compile()
    cost = compiled.cost_analysis()
    assert cost is not None and cost["flops"] < 0.5 * 2 * 32 * 128 * 11 * 64 * 64


def test_no_accelerator_runs_a_barrier():
    for function, arrays in CASES.values():
        text = jax.jit(functools.partial(function, modes.ACCELERATOR)).lower(*arrays).as_text()
        assert "optimization_barrier" not in text
