"""The small network's windows, sizes and margins."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from aslx.models import cnn


def small(**options) -> cnn.ResidualCNN:
    cfg = cnn.Config(dropout=0.0, **options)
    return cfg.build((8, 12, 3), 5, rngs=nnx.Rngs(0))


def every_window(image: jax.Array) -> jax.Array:
    """f32[B, V, 5]: logits of `small(margin=1)`, of one window of the wider map after the other."""
    model = small()
    map_BHWC = model._map(image, [None] * 2)
    assert map_BHWC.shape[1:3] == (2, 3)
    wider = jnp.pad(map_BHWC, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    windows = [wider[:, i : i + 2, j : j + 3] for i in range(3) for j in range(3)]
    flat = jnp.stack(windows, 1).reshape(len(image), 9, -1)
    return model.head(jax.nn.relu(model.dense(flat)))


def test_with_a_margin_one_softmax_is_over_the_classes_in_all_windows():
    image = jax.random.normal(jax.random.key(1), (3, 8, 12, 3))
    joint_BVC = jax.nn.softmax(every_window(image), (1, 2))
    found = small(margin=1, stride=2).classify(image, jnp.ones((3, 1), bool))
    np.testing.assert_allclose(jax.nn.softmax(found), joint_BVC.sum(1), atol=1e-6)


def test_a_training_step_reads_windows_a_stride_apart_and_others_for_each_key():
    image, mask = jax.random.normal(jax.random.key(1), (3, 8, 12, 3)), jnp.ones((3, 1), bool)
    every_B33C = np.asarray(every_window(image)).reshape(3, 3, 3, 5)
    model, seen = small(margin=1, stride=2), set()
    for seed in range(40):
        found = np.asarray(model.classify(image, mask, jax.random.key(seed)))
        near = np.abs(found[:, None, None] - every_B33C).max((0, 3))
        assert near.min() < 1e-5
        seen.add(int(near.argmin()))
    assert seen == set(range(9))
    found = small(margin=1).classify(image, mask, jax.random.key(0))
    np.testing.assert_allclose(found, small(margin=1).classify(image, mask), atol=1e-5)


def test_several_windows_of_a_step_are_a_stride_apart_along_both_sides():
    image, mask = jax.random.normal(jax.random.key(1), (1, 8, 12, 3)), jnp.ones((1, 1), bool)
    model = small(margin=2, stride=2)
    wider = model._map(image, [None] * 2)
    every_55C = model.head(jax.nn.relu(model._every_window(wider))).reshape(5, 5, 5)
    expected = {
        (up, along): jax.nn.logsumexp(every_55C[up : up + 3 : 2, along : along + 3 : 2], (0, 1))
        for up in range(3)
        for along in range(3)
    }
    seen = set()
    for seed in range(40):
        found = model.classify(image, mask, jax.random.key(seed))[0]
        near = {at: float(np.abs(found - logits).max()) for at, logits in expected.items()}
        at = min(near, key=lambda at: near[at])
        assert near[at] < 1e-5
        seen.add(at)
    assert len(seen) > 6


def test_an_answer_looks_for_the_hand_in_every_size_and_a_step_in_one():
    image, mask = jax.random.normal(jax.random.key(1), (3, 8, 12, 3)), jnp.ones((3, 1), bool)
    one, three = small(margin=1), small(margin=1, scales=(0.5, 1.0, 2.0))
    each = [one.classify(cnn._scaled(image, scale), mask) for scale in (0.5, 1.0, 2.0)]
    np.testing.assert_allclose(
        three.classify(image, mask), jax.nn.logsumexp(jnp.stack(each), 0), atol=1e-5
    )
    key = jax.random.key(0)
    np.testing.assert_array_equal(three.classify(image, mask, key), one.classify(image, mask, key))


def test_a_larger_image_has_its_middle_and_a_smaller_one_its_edges():
    across = jnp.broadcast_to(jnp.arange(9.0)[None, None, :, None], (1, 5, 9, 3))
    larger, smaller = (cnn._scaled(across, scale)[0, 2, :, 0] for scale in (2.0, 0.5))
    np.testing.assert_allclose(larger, np.arange(2, 6.5, 0.5), atol=1e-6)
    np.testing.assert_allclose(smaller, [0, 0, 0, 2, 4, 6, 8, 8, 8], atol=1e-6)
    assert cnn._scaled(across, 1.0) is across


@pytest.mark.parametrize("wrong", [{"margin": -1}, {"stride": 0}, {"scales": ()}, {"scales": (0,)}])
def test_a_margin_below_zero_and_a_stride_or_scale_of_none_are_refused(wrong):
    with pytest.raises(ValueError, match=r"margin -1|stride 0|scales \("):
        cnn.Config(**wrong)
