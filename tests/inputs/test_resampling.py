"""Resampling of frames, before features."""

import functools

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aslx.inputs import resampling
from aslx.schema import landmarks


def test_the_resampling_of_the_baselines_is_that_of_tensorflow():
    tf = pytest.importorskip("tensorflow")
    x = np.random.default_rng(0).normal(size=(1, 200, 5)).astype(np.float32)
    ours, _ = resampling.resample(jnp.asarray(x), resampling.mix(jnp.ones((1, 200), bool), 128))
    theirs = tf.image.resize(x[..., None], (128, 5))[..., 0]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_missing_frame_between_two_others_stays_missing():
    values = jnp.where(jnp.arange(60) % 2, jnp.nan, 1.5)[None, :, None]
    resample = jax.jit(lambda keep: resampling.resample(values, resampling.mix(keep, 48)))
    for count in range(1, 49):
        found, presence = resample(np.arange(60)[None] < count)
        np.testing.assert_array_equal(presence[0, 1:count:2], 0)
        np.testing.assert_array_equal(found[0, :count:2], 1.5)


@functools.partial(jax.jit, static_argnums=2)
def resampled(values, keep, frames):
    mixed = resampling.mix(keep, frames)
    return resampling.whole(values, mixed), *resampling.resample(values, mixed), mixed.mask


@given(
    seed=st.integers(0, 2**31),
    counts=st.tuples(st.integers(0, 60), st.integers(0, 60)),
    frames=st.sampled_from([7, 16, 48, 59, 60]),
    lost=st.floats(0, 0.5),
)
@settings(max_examples=60, deadline=None)
def test_whole_values_are_those_without_a_missing_part(seed, counts, frames, lost):
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 100, (2, 60, 3)).astype(np.float32)
    values[rng.random(values.shape) < lost] = np.nan
    keep = np.arange(60) < np.array(counts)[:, None]
    found, expected, presence, mask = map(np.asarray, resampled(values, keep, frames))
    whole = (presence > 1 - 1e-4) & mask[..., None]
    np.testing.assert_allclose(found, np.where(whole, expected, 0), atol=1e-3)
    np.testing.assert_array_equal(found[~whole], 0)


def test_the_dominant_hand_is_picked_alike_in_clips_of_symbolic_length():
    selection = landmarks.HANDS_ARMS
    x_BTC = np.random.default_rng(0).normal(size=(2, 9, 3 * len(selection.points))).astype("f4")
    x_BTC[0, 3:5] = np.nan
    left_B, points = jnp.array([False, True]), selection.part("right_hand")

    def dominant(x_BTC: jax.Array) -> jax.Array:
        return resampling.dominant(x_BTC, left_B, selection, points)

    shape = jax.export.symbolic_shape(f"2, t, {x_BTC.shape[2]}")
    exported = jax.export.export(jax.jit(dominant))(jax.ShapeDtypeStruct(shape, "f4"))
    np.testing.assert_array_equal(exported.call(x_BTC), dominant(jnp.asarray(x_BTC)))
    mirrored = x_BTC[1].reshape(9, -1, 3)[:, selection.mirror[points]] * [-1, 1, 1] + [1, 0, 0]
    np.testing.assert_allclose(dominant(jnp.asarray(x_BTC))[1], mirrored.reshape(9, -1), atol=1e-6)


@pytest.mark.parametrize("clip_frames", [1, 60, 700])
@pytest.mark.parametrize("frames, at_least", [(16, 0), (48, 48), (700, 96)])
@pytest.mark.long
def test_frames_that_are_taken_are_those_of_the_products_that_export(clip_frames, frames, at_least):
    rng = np.random.default_rng(clip_frames)
    values = rng.normal(size=(5, clip_frames, 4)).astype("f4")
    values[rng.random(values.shape) < 0.2] = np.nan
    keep = rng.random((5, clip_frames)) < 0.6
    keep[1], keep[2] = False, True
    keep[3:] = np.arange(clip_frames) < np.array([[clip_frames // 2], [1]])

    def of(values, keep, first=False):
        mixed = resampling.mix(keep, frames, at_least, first=first)
        return *resampling.resample(values, mixed), resampling.whole(values, mixed), mixed.mask

    shapes = jax.export.symbolic_args_specs((values, keep), ("5, t, 4", "5, t"))
    exported = jax.export.export(jax.jit(of))(*shapes)
    for found, wanted in zip(of(values, keep), exported.call(values, keep), strict=True):
        np.testing.assert_allclose(found, wanted, atol=2e-5)
    for found, wanted in zip(of(values[2:], keep[2:], True), of(values, keep), strict=True):
        np.testing.assert_array_equal(found, wanted[2:])
