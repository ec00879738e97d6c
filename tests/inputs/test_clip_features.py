"""The features of classifiers, and the inputs of exported classifiers."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from aslx.inputs import clip_features, image_features, model_inputs
from aslx.schema import landmarks

SIGNS = clip_features.Signs(max_frames=32)


def signs(t: int, padded: int, seed: int = 0) -> dict[str, Any]:
    """A clip of t frames before zeros, without a left hand, the right hand in half of them."""
    selection, rng = SIGNS.source.selection, np.random.default_rng(seed)
    clip = rng.uniform(0.2, 0.8, (padded, len(selection.points), 3)).astype(np.float16)
    clip[:, selection.part("left_hand")] = np.nan
    clip[np.ix_(rng.random(padded) < 0.5, selection.part("right_hand"))] = np.nan
    clip[t:] = 0
    return {"landmarks": clip[None], "length": np.array([t], np.int32)}


def test_signs_have_708_features_and_padding_changes_none():
    assert SIGNS.num_features == 708
    batch = signs(20, 20)
    x, mask = model_inputs.of(batch, SIGNS)
    batch["landmarks"] = np.pad(batch["landmarks"], ((0, 0), (0, 8), (0, 0), (0, 0)))
    y, longer = model_inputs.of(batch, SIGNS)
    assert mask.sum() == longer.sum() == 20
    np.testing.assert_allclose(x[0], y[0, :20], atol=1e-5)
    assert not np.any(y[0, 20:])


@pytest.mark.parametrize("t", [0, 1, 2, 31, 100])
def test_signs_of_any_length_without_any_hand_are_finite(t):
    batch = signs(t, max(t, 1))
    batch["landmarks"][...] = np.nan
    x, _ = model_inputs.of(batch, SIGNS, frames=32)
    assert x.shape == (1, 32, 708) and np.isfinite(x).all()


def test_signs_do_not_depend_on_the_position_and_size_of_the_signer():
    batch = signs(20, 20)
    moved = batch | {"landmarks": batch["landmarks"] * np.float16(0.5) + np.float16(0.25)}
    a, b = (model_inputs.of(x, SIGNS)[0] for x in (batch, moved))
    np.testing.assert_allclose(a, b, atol=0.03)  # The precision of float16.


@pytest.mark.parametrize(
    "features, shape",
    [
        (SIGNS, (9, len(SIGNS.source.selection.points), 3)),
        (clip_features.Keypoints(), (9, 1662)),
        (clip_features.Keypoints(face=False), (9, 258)),
        (image_features.Image(height=28, width=28, channels=1, size=32), (28, 28, 1)),
    ],
    ids=["signs", "keypoints", "keypoints without the face", "image"],
)
def test_an_exported_model_sees_the_inputs_of_the_records(features, shape):
    rng, source = np.random.default_rng(0), features.source
    clip = rng.integers(0, 255, shape).astype("u1" if shape[-1] == 1 else "f2")
    batch = source.field().allocate(1, 9)
    source.field().put(batch, 0, clip)
    served = source.batch(jnp.asarray(source.pack(clip)))
    found = (model_inputs.of(x, features, features.max_frames) for x in (batch, served))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)


def test_all_543_points_of_kaggle_are_reduced_to_the_selection():
    every = np.random.default_rng(0).normal(size=(5, 543, 3)).astype(np.float32)
    every[:, landmarks.POINTS.index("right_hand_3")] = np.nan
    served = SIGNS.source.batch(jnp.asarray(every))["landmarks"][0, :5]
    chosen = [landmarks.POINTS.index(p) for p in SIGNS.source.selection.points]
    np.testing.assert_array_equal(served, every[:, chosen])


def test_keypoint_clips_of_the_length_of_the_model_stay_as_stored():
    clip = np.random.default_rng(0).normal(size=(1, 30, 258)).astype(np.float16)
    features = clip_features.Keypoints(face=False)
    x, mask = features(jnp.asarray(clip), jnp.array([30]))
    np.testing.assert_allclose(x, clip.astype(np.float32), atol=1e-4)
    assert mask.all()
    assert features(jnp.asarray(clip[:, :11]), jnp.array([11]))[1].all()


def test_grey_images_are_preprocessed_as_by_keras():
    features = image_features.Image(
        height=28, width=28, channels=1, size=32, **image_features.CAFFE
    )
    x, _ = features(jnp.full((2, 28, 28, 1), 100, jnp.uint8))
    assert x.shape == (2, 32, 32, 3)
    np.testing.assert_allclose(x[0, 5, 5], [-3.939, -16.779, -23.68], rtol=1e-5)


def test_local_contrast_compares_with_the_neighbourhood_at_any_brightness():
    rng, reach = np.random.default_rng(0), 3
    image = rng.integers(0, 255, (1, 20, 20, 3)).astype(np.uint8)
    options = {"height": 20, "width": 20, "size": 20, "std": (1.0, 1.0, 1.0)}
    features = image_features.Image(local=reach, **options)
    found = np.asarray(features(jnp.asarray(image))[0])[0]
    weight = np.maximum(0, 4 - np.abs(np.arange(-reach, reach + 1)))
    window = np.outer(weight, weight)[..., None] / weight.sum() ** 2
    every = np.pad(image[0].astype(float), ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(every, (7, 7), (0, 1))  # [20, 20, 3, 7, 7]
    away = image[0] - (windows * window[..., 0]).sum((3, 4))
    square = np.pad(np.square(away).mean(-1), reach, mode="edge")
    deviation = np.sqrt((square[7:14, 9:16] * window[..., 0]).sum())
    np.testing.assert_allclose(found[7, 9], away[7, 9] / (deviation + 8), atol=1e-3)
    lighter = features(jnp.asarray(image * 0.5 + 60))[0][0]
    assert np.abs(lighter - found).max() < 0.15 * np.abs(found).max()
    with pytest.raises(ValueError, match="local -1 is below 0"):
        image_features.Image(local=-1, **options)
    dark = image_features.Image(**options)
    assert np.abs(dark(jnp.asarray(image * 0.5 + 60))[0][0] - image[0]).max() > 60
