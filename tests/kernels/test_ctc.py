"""The CTC loss and its gradient, against a slow reference."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from aslx.kernels import ctc

BLANK = 6
FORMS = ctc.cpu, ctc.accelerator


# Rows, frames and labels: few shapes, because each is compiled.
SHAPES = (4, 12, 5), (2, 5, 3), (1, 1, 1)


@st.composite
def cases(draw) -> tuple:
    """Logits, mask, labels, and which labels are real: rows of any length, with equal labels beside
    each other, without labels, and with too few frames."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    rows, frames, labels = draw(st.sampled_from(SHAPES))
    logits = rng.normal(0, 3, (rows, frames, 7)).astype(np.float32)
    mask = np.arange(frames) < rng.integers(0, frames + 1, (rows, 1))
    real = np.arange(labels) < rng.integers(0, labels + 1, (rows, 1))
    return logits, mask, rng.integers(0, draw(st.integers(1, 6)), (rows, labels)), real


def fitting(mask: np.ndarray, labels: np.ndarray, real: np.ndarray) -> np.ndarray:
    """1 for each row with as many frames as an alignment needs."""
    repeats = ((labels[:, 1:] == labels[:, :-1]) & real[:, 1:]).sum(1)
    return (mask.sum(1) >= real.sum(1) + repeats).astype(np.float32)


def total(form, logits, mask, labels, real, weight):
    each = form(logits, mask, labels, real, BLANK)
    return jnp.where(weight > 0, each * weight, 0).sum()


gradient = jax.jit(jax.value_and_grad(total, argnums=1), static_argnums=0)


@hypothesis.given(cases())
@hypothesis.settings(max_examples=200, deadline=None)
def test_the_loss_and_its_gradient_are_those_of_optax(case):
    weight = fitting(*case[1:])
    wanted, expected = gradient(ctc.plain, *case, weight)
    for form in FORMS:
        found, grad = gradient(form, *case, weight)
        assert float(found) == pytest.approx(float(wanted), rel=1e-5, abs=1e-4)
        np.testing.assert_allclose(grad, expected, atol=2e-5)


def test_a_row_with_too_few_frames_has_a_finite_loss_and_gradient():
    logits, labels = jnp.zeros((2, 3, 7)), jnp.array([[1, 1, 1], [2, 3, 4]])
    mask = jnp.array([[True] * 3, [False] * 3])

    def total(logits):
        return ctc.accelerator(logits, mask, labels, jnp.ones((2, 3), bool), BLANK).sum()

    found, grad = jax.value_and_grad(total)(logits)
    assert found > 1e5 and np.isfinite(grad).all()


def test_a_gradient_takes_one_loop():
    shapes = (2, 30, 7), (2, 30), (2, 5), (2, 5)
    kinds = (jnp.float32, bool, jnp.int32, bool)
    given = [jax.ShapeDtypeStruct(s, k) for s, k in zip(shapes, kinds, strict=True)]
    grad = jax.grad(
        lambda x, mask, labels, real: ctc.accelerator(x, mask, labels, real, BLANK).sum()
    )
    assert str(jax.make_jaxpr(grad)(*given)).count("scan[") == 1
