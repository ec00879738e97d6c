"""Frames of clips before they are features."""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from aslx import landmarks, resampling


def test_the_seeds_resize_is_tensorflows():
    tf = pytest.importorskip("tensorflow")
    x = np.random.default_rng(0).normal(size=(1, 200, 5)).astype(np.float32)
    ours, _, _ = resampling.resample(jnp.asarray(x), jnp.ones((1, 200), bool), 128)
    theirs = tf.image.resize(x[..., None], (128, 5))[..., 0]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_lost_frame_between_two_that_are_seen_is_not_seen():
    values = np.where(np.arange(60) % 2, np.nan, 1.5).astype(np.float32)[None, :, None]
    resample = jax.jit(lambda keep: resampling.resample(values, keep, 48))
    for count in range(1, 49):
        found, presence, _ = resample(np.arange(60)[None] < count)
        np.testing.assert_array_equal(presence[0, 1:count:2], 0)
        np.testing.assert_array_equal(found[0, :count:2], 1.5)


def test_points_are_picked_alike_along_a_length_that_nobody_knows():
    selection = landmarks.SEED_HANDS_POSE
    x_BTC = np.random.default_rng(0).normal(size=(2, 9, 3 * len(selection.points))).astype("f4")
    x_BTC[0, 3:5] = np.nan
    left_B, points = np.array([False, True]), selection.part("right_hand")

    def dominant(x_BTC: jax.Array) -> jax.Array:
        return resampling.dominant(x_BTC, left_B, selection, points)

    shape = jax.export.symbolic_shape(f"2, t, {x_BTC.shape[2]}")
    exported = jax.export.export(jax.jit(dominant))(jax.ShapeDtypeStruct(shape, "f4"))
    np.testing.assert_array_equal(exported.call(x_BTC), dominant(jnp.asarray(x_BTC)))
    mirrored = x_BTC[1].reshape(9, -1, 3)[:, selection.mirror[points]] * [-1, 1, 1] + [1, 0, 0]
    np.testing.assert_allclose(dominant(x_BTC)[1], mirrored.reshape(9, -1), atol=1e-6)
