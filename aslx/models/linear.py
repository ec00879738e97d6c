"""Linear maps of rows: one product of two matrices, and the order of each that a CPU is quick at.

Shape suffixes: R rows, C and D columns.
"""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name

from aslx.models import layers

_COLUMNS = 32  # That XLA's kernels for CPUs make at a time.


@jax.custom_vjp
def product(x_RC: jax.Array, w_CD: jax.Array) -> jax.Array:
    """x @ w. On a CPU a product of 4,096 x 800 and 800 x 200 has 150 GFLOP/s where one with 192 or
    224 columns has 220, and its gradient of w is a quarter faster as that of w transposed."""
    if layers.is_exporting():
        return x_RC @ w_CD
    return jax.lax.platform_dependent(x_RC, w_CD, cpu=_by_columns, default=jnp.matmul)


def _by_columns(x_RC: jax.Array, w_CD: jax.Array) -> jax.Array:
    wide, narrow = w_CD.shape
    if wide <= narrow or len(x_RC) < wide:  # Of few rows w's copy would be most of the work.
        return x_RC @ w_CD
    return (x_RC @ jnp.pad(w_CD, ((0, 0), (0, -narrow % _COLUMNS))))[:, :narrow]


def _backward(residual, g_RD):
    x_RC, w_CD = residual
    wide, narrow = w_CD.shape
    # Autodiff transposes either, and the compiler makes one product of both, the slow one.
    dw_CD = x_RC.T @ g_RD if wide <= narrow else layers.materialised(g_RD.T @ x_RC).T
    return product(g_RD, w_CD.T), dw_CD


product.defvjp(lambda x, w: (product(x, w), (x, w)), _backward)


class Projection(nnx.Module):
    """A linear map of the last axes, `into`, to the axes `out`: nnx.LinearGeneral by one product of
    two matrices. Of the gradient of a product of more axes a CPU's compiler first transposes the
    larger operand, which was a tenth of attention's time."""

    def __init__(
        self,
        into: tuple[int, ...],
        out: tuple[int, ...],
        *,
        kernel_init: nnx.Initializer,
        dtype: jnp.dtype = jnp.dtype("float32"),
        rngs: nnx.Rngs,
    ):
        self.axes, self.dtype = len(into), dtype
        kernel = kernel_init(rngs.params(), (math.prod(into), math.prod(out)))
        self.kernel = layers.kernel(kernel.reshape(*into, *out), inputs=len(into))
        self.bias = nnx.Param(jnp.zeros(out))

    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.kernel[...].astype(self.dtype).reshape(-1, self.bias.size)
        y = product(x.astype(self.dtype).reshape(-1, len(kernel)), kernel)
        # A product that is one of several, by platform, is none that `remat` knows as one.
        y = checkpoint_name(y, layers.KEPT)
        y = y + self.bias[...].astype(self.dtype).reshape(-1)
        return y.reshape(*x.shape[: x.ndim - self.axes], *self.bias.shape)
