"""Keras' LSTM as a layer."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from aslx.models import rnn

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(3, 7, 5)), jnp.float32)
MASK = jnp.arange(7) < jnp.array([[7], [4], [0]])


def test_gradients_reach_the_first_carry():
    layer = rnn.LSTM(5, 6, rngs=nnx.Rngs(1))
    first = (jnp.full((3, 6), 0.3), jnp.full((3, 6), -0.2))

    def whole(first):
        return layer(X, MASK, first)[0].sum()

    def in_steps(carry):
        total = 0.0
        for t in range(7):
            new = layer.advance(X[:, t], carry)
            carry = jax.tree.map(lambda a, b, t=t: jnp.where(MASK[:, t, None], a, b), new, carry)
            total += carry[0].sum()
        return total

    for ours, theirs in zip(jax.grad(whole)(first), jax.grad(in_steps)(first), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_the_backward_direction_starts_at_each_rows_own_end():
    layer = rnn.LSTM(5, 6, rngs=nnx.Rngs(1))
    h, _ = layer(X, MASK, reverse=True)
    flipped, _ = layer(X[1:2, 3::-1])
    np.testing.assert_allclose(h[1:2, 3::-1], flipped, atol=1e-6)


def test_a_step_is_one_step_of_the_sequence():
    layer = rnn.LSTM(5, 6, rngs=nnx.Rngs(1))
    h, last = layer(X)
    carry = layer.first(3)
    for t in range(7):
        carry = layer.advance(X[:, t], carry)
        np.testing.assert_allclose(carry[0], h[:, t], atol=1e-6)
    np.testing.assert_allclose(carry[1], last[1], atol=1e-6)


def test_it_has_the_parameters_of_a_keras_lstm():
    layer = rnn.LSTM(78, 75, rngs=nnx.Rngs(0))
    assert sum(x.size for x in jax.tree.leaves(layer)) == 46_200
    np.testing.assert_array_equal(layer.bias[...], np.repeat([0, 1, 0, 0], 75))
    recurrent = np.asarray(layer.recurrent[...])
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(75), atol=1e-4)
