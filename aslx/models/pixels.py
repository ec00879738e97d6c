"""Layers of images; see layers.py.

Shape suffixes: B batch, H and W pixels, C and D channels, K taps.
"""

import functools

import jax
import jax.numpy as jnp

from aslx.models import layers

_TINY = 3  # Pixels along a side of images that a 3 x 3 window nearly covers.


def convolution(x_BHWC: jax.Array, kernel_KKCD: jax.Array, stride: int) -> jax.Array:
    """Of images; padded on both sides alike, so that stride 1 keeps their size.

    On a CPU a product of two matrices, of all windows and the kernel, where windows are single
    pixels or nearly the whole image: of f32[256,2,2,256] and 3 x 3 taps 3 ms instead of 184. Of
    larger images XLA's own convolution is the faster, 17 ms instead of 27 of f32[32,28,28,128]."""
    pad, size = kernel_KKCD.shape[0] // 2, min(x_BHWC.shape[1:3])

    def as_such(x_BHWC: jax.Array, kernel_KKCD: jax.Array) -> jax.Array:
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x_BHWC, kernel_KKCD, (stride, stride), [(pad, pad)] * 2, dimension_numbers=numbers
        )

    def as_product(x_BHWC: jax.Array, kernel_KKCD: jax.Array) -> jax.Array:
        _, height, width, _ = x_BHWC.shape
        padded = jnp.pad(x_BHWC, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        rows, columns = (stride * (-(-n // stride) - 1) + 1 for n in (height, width))
        # Of a single pixel the taps beside the middle see padding alone.
        up, along = (range(pad, pad + 1) if n == 1 else range(2 * pad + 1) for n in (height, width))
        windows = [
            padded[:, i : i + rows : stride, j : j + columns : stride] for i in up for j in along
        ]
        x_BHWK = jnp.concatenate(windows, -1) if len(windows) > 1 else windows[0]
        kernel = kernel_KKCD[up.start : up.stop, along.start : along.stop]
        return layers.product(x_BHWK, kernel.reshape(-1, kernel.shape[-1]))

    if layers.is_exporting() or (pad and size > _TINY):
        return as_such(x_BHWC, kernel_KKCD)
    return jax.lax.platform_dependent(x_BHWC, kernel_KKCD, cpu=as_product, default=as_such)


def max_pool(x_BHWC: jax.Array) -> jax.Array:
    """The largest of 3 x 3 at every other pixel, padded on both sides alike. Slices, for they take
    half the time of a reduce_window on CPUs and have a gradient there."""
    if layers.is_exporting():
        window, strides, pads = (1, 3, 3, 1), (1, 2, 2, 1), [(0, 0), (1, 1), (1, 1), (0, 0)]
        return jax.lax.reduce_window(x_BHWC, -jnp.inf, jax.lax.max, window, strides, pads)
    _, height, width, _ = x_BHWC.shape
    padded = jnp.pad(x_BHWC, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-jnp.inf)
    near = [padded[:, i : i + height : 2, j : j + width : 2] for i in range(3) for j in range(3)]
    return functools.reduce(jnp.maximum, near)
