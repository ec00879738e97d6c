import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from aslx.models import rnn

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 7, 5)).astype(np.float32)
MASK = np.arange(7) < np.array([[7], [4], [0]])
HOLES = RNG.random((3, 7)) < 0.6


def plain(layer: rnn.LSTM, x, mask, *, reverse=False):
    """The same network by its definition; jax.grad goes through the scan."""

    def step(carry, at):
        (h, c), (x, m) = carry, at
        gates = x @ layer.kernel[...] + h @ layer.recurrent[...] + layer.bias[...]
        i, f, g, o = jnp.split(gates, 4, -1)
        c_new = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * layer.activation(g)
        h_new = jax.nn.sigmoid(o) * layer.activation(c_new)
        carry = (jnp.where(m, h_new, h), jnp.where(m, c_new, c))
        return carry, carry[0]

    steps = (jnp.moveaxis(x, 1, 0), mask.T[..., None])
    last, h = jax.lax.scan(step, layer.first(len(x)), steps, reverse=reverse)
    return jnp.moveaxis(h, 0, 1), last


@pytest.mark.parametrize(
    ("activation", "mask", "reverse"),
    [(rnn.TANH, MASK, False), (rnn.TANH, HOLES, True), (rnn.RELU, HOLES, False)],
)
def test_values_and_gradients_are_those_of_a_plain_scan(activation, mask, reverse):
    layer = rnn.LSTM(5, 6, activation=activation, rngs=nnx.Rngs(1))
    weights = RNG.normal(size=(3, 7, 6)).astype(np.float32)

    def loss(layer, x, run):
        h, (last_h, last_c) = run(layer, x, jnp.asarray(mask), reverse=reverse)
        return (h * weights).sum() + (last_h * last_c).sum(), h

    def results(run):
        return jax.jit(jax.value_and_grad(lambda m, x: loss(m, x, run), (0, 1), has_aux=True))

    ours, theirs = results(rnn.LSTM.__call__)(layer, X), results(plain)(layer, X)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_gradients_of_a_kernel_wider_than_its_gates_are_those_of_a_plain_scan():
    layer = rnn.LSTM(50, 6, rngs=nnx.Rngs(1))
    x = RNG.normal(size=(3, 7, 50)).astype(np.float32)

    def gradients(run):
        def loss(layer, x):
            return (run(layer, x, jnp.asarray(MASK))[0] ** 2).sum()

        return jax.grad(loss, (0, 1))(layer, x)

    ours, theirs = gradients(rnn.LSTM.__call__), gradients(plain)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_gradients_reach_the_first_carry():
    layer = rnn.LSTM(5, 6, rngs=nnx.Rngs(1))
    first = (jnp.full((3, 6), 0.3), jnp.full((3, 6), -0.2))

    def whole(first):
        return layer(X, jnp.asarray(MASK), first)[0].sum()

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
    h, _ = layer(X, jnp.asarray(MASK), reverse=True)
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
