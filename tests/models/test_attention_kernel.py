import re

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from aslx import sharding
from aslx.models import attention_kernel

MANY = (16, 128, 4, 8)  # B, T, N, H: 2**20 logits.


def both(f, arrays, mask, weights):
    y, back = jax.vjp(lambda q, k, v: f(q, k, v, mask), *arrays)
    return y, back(weights)


@hypothesis.given(
    st.tuples(st.integers(1, 12), st.integers(1, 7), st.integers(1, 3), st.integers(1, 5)),
    st.integers(1, 6),
    st.booleans(),
    st.booleans(),
)
@hypothesis.settings(max_examples=8, deadline=None)
def test_parts_are_jaxs_attention_with_its_gradients(shape, keys, one_row, one_place):
    b, t, n, h = shape
    rng = np.random.default_rng(b * t)
    q, k, v, weights = (rng.normal(size=(b, m, n, h)).astype("f4") for m in (t, keys, keys, t))
    mask = rng.random((1 if one_row else b, 1 if one_place else t, keys)) < 0.5
    mask[0, 0] = False  # Sees nothing.

    def reference(q, k, v, mask):
        return jax.nn.dot_product_attention(q, k, v, mask=mask[:, None])

    ours, theirs = (
        both(f, (q, k, v), jnp.asarray(mask), weights)
        for f in (attention_kernel.in_parts, reference)
    )
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.fixture(scope="module")
def program() -> str:
    """Attention and its gradients, of a batch that eight devices share."""
    place = sharding.batch(sharding.make_mesh(sharding.Config()))
    q, mask = (
        jax.ShapeDtypeStruct(shape, dtype, sharding=place)
        for shape, dtype in ((MANY, jnp.float32), ((16, 1, 128), jnp.bool))
    )

    def run(q, k, v, mask, weights):
        return both(attention_kernel.mix, (q, k, v), mask, weights)

    return jax.jit(run).lower(q, q, q, mask, q).compile().as_text() or ""


def test_on_a_cpu_the_logits_of_a_batch_never_lie_in_memory(program):
    assert re.search(r"f32\[1,128,128\]", program)
    assert not re.search(r"f32\[\d+,4,128,128\]", program)


def test_no_part_travels_between_devices(program):
    assert "all-gather" not in program and "all-to-all" not in program
    assert "all-reduce" not in program and "collective-permute" not in program
