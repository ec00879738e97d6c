"""Features of a stream: any cutting of a clip gives what the whole clip gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aslx.inputs import phrase_features, streaming_features
from aslx.schema import landmarks

FEATURES = streaming_features.Streaming(memory=20)
N = len(FEATURES.selection.points)
RIGHT, LEFT = (FEATURES.selection.part(f"{side}_hand") for side in ("right", "left"))


def clips(rng: np.random.Generator, count: int, frames: int) -> np.ndarray:
    """Hands that wander, and are lost at times."""
    place = 0.5 + np.cumsum(rng.normal(0, 0.01, (count, frames, 1, 3)), 1)
    x = (place + rng.normal(0, 0.05, (count, frames, N, 3))).astype(np.float32)
    for points, rate in ((RIGHT, 0.3), (LEFT, 0.5)):
        lost = np.repeat(rng.random((count, -(-frames // 8))) < rate, 8, 1)[:, :frames]
        x[:, :, points] = np.where(lost[..., None, None], np.nan, x[:, :, points])
    return x


@jax.jit
def advance(state, x, mask):
    return FEATURES.advance(state, x, mask)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.long
def test_any_cutting_has_the_features_of_the_whole_clip(seed):
    rng = np.random.default_rng(seed)
    x, length = clips(rng, 4, 90), np.array([90, 61, 1, 0])
    mask = np.arange(90) < length[:, None]
    expected, _ = advance(FEATURES.start(4), x, mask)
    state, found, at = FEATURES.start(4), [], 0
    while at < 90:
        size = int(rng.integers(1, 30))
        part, state = advance(state, x[:, at : at + size], mask[:, at : at + size])
        found.append(part)
        at += size
    found = np.concatenate(found, 1)
    assert found.shape == (4, 90, FEATURES.num_features)
    np.testing.assert_allclose(found, expected, atol=2e-4)
    whole, real = FEATURES(jnp.asarray(x), jnp.asarray(length))
    np.testing.assert_array_equal(real, mask)
    np.testing.assert_allclose(whole, expected, atol=1e-5)


def test_no_frame_changes_the_features_before_it():
    x = clips(np.random.default_rng(0), 2, 40)
    mask = np.ones((2, 40), bool)
    changed = x.copy()
    changed[:, 25:] = 0.3
    a, _ = advance(FEATURES.start(2), x, mask)
    b, _ = advance(FEATURES.start(2), changed, mask)
    np.testing.assert_array_equal(a[:, :25], b[:, :25])
    assert np.abs(a - b)[:, 25].max() > 1e-3


def test_a_mirrored_clip_has_the_same_features():
    x = clips(np.random.default_rng(1), 2, 40)
    x[:, :, LEFT] = np.nan
    mirrored = x[:, :, FEATURES.selection.mirror] * np.array([-1, 1, 1], np.float32) + np.array(
        [1, 0, 0], np.float32
    )
    mask = np.ones((2, 40), bool)
    a, _ = advance(FEATURES.start(2), x, mask)
    b, _ = advance(FEATURES.start(2), mirrored.astype(np.float32), mask)
    # Coordinates are rounded to float16 first, and those of a mirrored clip otherwise.
    np.testing.assert_allclose(a, b, atol=0.05)


def test_a_wrong_first_hand_is_left_for_the_one_that_spells():
    x = clips(np.random.default_rng(2), 1, 60)
    x[:] = np.where(np.isnan(x), np.float32(0.5), x)
    x[:, 5:, LEFT] = np.nan
    x[:, :5, RIGHT] = np.nan
    mask = np.ones((1, 60), bool)
    alone = x.copy()
    alone[:, :5] = np.nan
    found, _ = advance(FEATURES.start(1), x, mask)
    right, _ = advance(FEATURES.start(1), alone, mask)
    seen = FEATURES.columns.index("right_hand")
    assert found[0, :5, seen].all()  # The left hand, mirrored, is the one there is.
    assert not found[0, 5:8, seen].any() and found[0, 15:, seen].all()
    np.testing.assert_allclose(found[0, 15:], right[0, 15:], atol=1e-5)


def test_values_are_those_of_modern_features_where_nothing_is_forgotten():
    """At its last frame a stream knows the whole clip."""
    x = clips(np.random.default_rng(3), 1, 50)
    x[:, :, LEFT] = np.nan
    x[:, :, RIGHT] = np.where(np.isnan(x[:, :, RIGHT]), np.float32(0.5), x[:, :, RIGHT])
    long = streaming_features.Streaming(memory=10_000_000)
    found, _ = long(jnp.asarray(x), jnp.array([50]))
    modern, _ = phrase_features.Modern(only_hands=False)(jnp.asarray(x), jnp.array([50]))
    values = 9 * len(RIGHT)
    np.testing.assert_allclose(found[0, -1, :values], modern[0, 49, :values], atol=1e-3)
    assert landmarks.of_parts(("right_hand", "left_hand")).points == long.selection.points
