"""Augmentations of images, within their limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aslx.augment import image_augment
from aslx.inputs import image_features


def augmented(image: np.ndarray, **options) -> np.ndarray:
    """Images, with or without cutouts, after augmentation."""
    batch, augment = {"image": jnp.asarray(image)}, image_augment.Images(**options)
    features = image_features.Image(height=1, width=1, size=1, cutouts=image.shape[-1] == 7)
    mixed = augment.mixed(batch, jax.random.key(1), features)
    return np.array(augment.clips(mixed, jax.random.key(0), features)["image"])


def changed(**options) -> tuple[np.ndarray, np.ndarray]:
    image = np.random.default_rng(0).integers(60, 190, (4, 16, 16, 3)).astype(np.uint8)
    return augmented(image, **options), image


def test_the_default_augmentation_changes_nothing_and_a_flip_mirrors_some_images():
    same, image = changed()
    np.testing.assert_allclose(same, image, atol=1e-3)
    flipped, image = changed(flip_horizontal=True)
    same = np.isclose(flipped, image, atol=1e-3).all((1, 2, 3))
    mirrored = np.isclose(flipped, image[:, :, ::-1], atol=1e-3).all((1, 2, 3))
    assert same.any() and mirrored.any() and (same | mirrored).all()


def test_brightness_shift_and_zoom_stay_within_their_limits():
    light, image = changed(brightness=0.1)
    difference = light - image
    assert np.ptp(difference[0]) < 1e-2 < np.abs(difference).max() <= 25.5 + 1e-3
    moved, image = changed(shift=0.2, zoom=0.2)
    assert image.min() <= moved.min() and moved.max() <= image.max() + 1e-3
    assert not np.allclose(moved, image, atol=1)


def test_each_channel_has_its_gain_and_gamma_keeps_black_and_white():
    gained, image = changed(colour=0.1)
    share = gained / image
    assert np.ptp(share, axis=(1, 2)).max() < 1e-3 < np.ptp(share, axis=3).min()
    assert np.abs(np.log(share)).max() <= 0.1 + 1e-5
    shown = augmented(np.tile(np.array([0, 64, 255], np.uint8), (16, 8, 8, 1)), gamma=0.5)
    np.testing.assert_allclose(shown[..., 0], 0, atol=1e-3)
    np.testing.assert_allclose(shown[..., 2], 255, atol=1e-3)
    exponent = np.log(shown[:, 0, 0, 1] / 255) / np.log(64 / 255)
    assert np.ptp(np.log(exponent)) > 0.5 and np.abs(np.log(exponent)).max() <= 0.5 + 1e-5


def test_a_shear_keeps_the_middle_and_slants_within_its_limit():
    image = np.zeros((16, 33, 33, 3), np.uint8)
    image[:, 16, 16] = image[:, 16, 26] = 255  # The middle, and a point ten to its right.
    shown = augmented(image, shear=0.3)
    np.testing.assert_allclose(shown[:, 16, 16], 255, atol=1e-2)
    shown[:, 14:19, 14:19] = 0
    y = np.mgrid[:33, :33][0]
    slope = (shown.sum(3) * (y - 16)).sum((1, 2)) / shown.sum((1, 2, 3)) / 10
    assert np.ptp(slope) > 0.2 and np.abs(slope).max() < 0.4


def test_a_rotation_is_about_the_middle_and_within_its_limit():
    image = np.zeros((16, 33, 33, 3), np.uint8)
    image[:, 16, 16] = image[:, 16, 4] = 255  # The middle, and a point twelve to its left.
    turned = augmented(image, turn=30.0)
    np.testing.assert_allclose(turned[:, 16, 16], 255, atol=1e-2)
    left = turned.copy()
    left[:, 14:19, 14:19] = 0
    y, x = np.mgrid[:33, :33]
    mass = left.sum((1, 2, 3))
    angles = np.degrees(np.arctan2((left.sum(3) * (y - 16)).sum((1, 2)) / mass, 12))
    assert np.ptp(angles) > 20 and np.abs(angles).max() < 31
    radius = np.hypot(*((left.sum(3) * (v - 16)).sum((1, 2)) / mass for v in (y, x)))
    np.testing.assert_allclose(radius, 12, atol=0.5)


def with_hands(count: int = 16) -> np.ndarray:
    """Grey images of 50 x 50, each lighter than the one before, with a white disc; then channels of
    the background without the disc, and a mask of the disc."""
    rng = np.random.default_rng(0)
    behind = np.full((count, 50, 50, 3), 40.0) + 4 * np.arange(count)[:, None, None, None]
    at = np.mgrid[:50, :50][:, None] - rng.uniform(15, 35, (2, count, 1, 1))
    hands = (np.hypot(*at) < 7)[..., None]
    parts = [np.where(hands, 255, behind), behind, 255 * hands]
    return np.concatenate(parts, -1).astype(np.uint8)


def test_a_pasted_hand_is_moved_and_scaled_on_its_own_or_the_next_background():
    images = with_hands()
    shown = augmented(images, paste=1.0)
    assert shown.shape == (16, 50, 50, 3)
    backgrounds = np.median(shown, (1, 2, 3))
    own, other = images[:, 0, 0, 3], np.roll(images[:, 0, 0, 3], 1)
    assert ((backgrounds == own) | (backgrounds == other)).all()
    assert (backgrounds == own).any() and (backgrounds == other).any()
    light = shown[..., 0] > 150
    grown = light.sum((1, 2)) / (images[..., -1] > 0).sum((1, 2))
    assert np.ptp(np.log(grown)) > 0.8 and np.abs(np.log(grown)).max() < 2 * np.log(1.6) + 0.3
    grid = np.mgrid[:50, :50]
    middle, before = (
        (x[:, None] * grid).sum((2, 3)) / x.sum((1, 2))[:, None]
        for x in (light, images[..., -1] > 0)
    )
    assert np.abs(middle - before).max() < 0.25 * 50 + 1 and np.abs(middle - before).max() > 6
    assert (middle > 0.15 * 50 - 1).all() and (middle < 0.85 * 50 + 1).all()


def test_hands_get_other_backgrounds_in_microbatches_of_one_image_too():
    features = image_features.Image(height=1, width=1, size=1, cutouts=True)
    augment, images = image_augment.Images(paste=1.0), with_hands()
    mixed = augment.mixed({"image": jnp.asarray(images)}, jax.random.key(1), features)["image"]
    one = jax.jit(lambda row, key: augment.clips({"image": row[None]}, key, features)["image"])
    keys = jax.random.split(jax.random.key(0), len(images))
    shown = np.concatenate([one(row, key) for row, key in zip(mixed, keys, strict=True)])
    other = np.median(shown, (1, 2, 3)) == np.roll(images[:, 0, 0, 3], 1)
    assert 4 <= other.sum() <= 12


def test_an_image_without_a_found_hand_stays():
    images = with_hands()
    images[:8, ..., -1] = 0
    images[8:, ..., -1] = 255
    np.testing.assert_allclose(augmented(images, paste=1.0), images[..., :3], atol=1e-3)


def test_paste_is_the_share_of_images_that_change():
    images = with_hands(64)
    same = np.isclose(augmented(images, paste=0.5), images[..., :3]).all((1, 2, 3))
    assert 16 < same.sum() < 48
    np.testing.assert_allclose(augmented(images), images[..., :3], atol=1e-3)


def test_pasting_needs_features_with_cutouts():
    with pytest.raises(ValueError, match=r"set features\.cutouts"):
        changed(paste=0.5)
