"""Features of phrases: the baselines' values, and properties of all kinds of features."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aslx.inputs import phrase_features
from aslx.schema import landmarks
from tests import tiny

HANDS_ARMS = landmarks.HANDS_ARMS
KINDS = [
    phrase_features.Baseline(),
    phrase_features.Modern(max_frames=32),
    phrase_features.Modern(max_frames=32, only_hands=False, parts=("right_hand", "pose", "face")),
    phrase_features.Modern(min_frames=24, max_frames=24, velocities=False),
]


compiled = jax.jit(lambda kind, *arguments: kind(*arguments), static_argnums=(0, 3))


def run(kind, clip_TN3: np.ndarray, padded: int | None = None, filler=0.0):
    """Features and mask of one clip, padded to `padded` frames."""
    t = len(clip_TN3)
    padded = padded or t
    batch = np.full((1, padded, *clip_TN3.shape[1:]), filler, np.float16)
    batch[0, :t] = clip_TN3
    x, mask = compiled(kind, batch, np.array([t]), kind.frames(padded))
    return np.asarray(x)[0], np.asarray(mask)[0]


def clip(kind, frames: int, seed: int = 0) -> np.ndarray:
    return tiny.clip(np.random.default_rng(seed), "abc", frames, kind.selection).astype(np.float16)


def baseline_reference(clip_TN3: np.ndarray) -> np.ndarray:
    """The preprocessing of the published baselines, in numpy."""
    x = clip_TN3.astype(np.float32)
    hands = {side: x[:, HANDS_ARMS.part(f"{side}_hand")] for side in ("left", "right")}
    lost = {side: np.isnan(h).any((1, 2)).sum() for side, h in hands.items()}
    left = lost["right"] > lost["left"]
    hand = hands["left" if left else "right"]
    pose = x[:, HANDS_ARMS.indices(*(f"pose_{i}" for i in range(13 if left else 14, 23, 2)))]
    if left:
        hand, pose = (p * [-1, 1, 1] + [1, 0, 0] for p in (hand, pose))
    hand = (hand - hand.mean(1, keepdims=True)) / hand.std(1, keepdims=True)
    both = np.concatenate([hand, pose], 1).reshape(len(x), 78)
    if len(both) <= 128:
        out = np.pad(both, ((0, 128 - len(both)), (0, 0)))
    else:
        # tf.image.resize, bilinear: half-pixel centres.
        at = np.clip((np.arange(128) + 0.5) * len(both) / 128 - 0.5, 0, len(both) - 1)
        low = np.floor(at).astype(int)
        high, share = np.minimum(np.ceil(at).astype(int), len(both) - 1), (at - low)[:, None]
        out = both[low] + (both[high] - both[low]) * share
    return np.nan_to_num(out)


@pytest.mark.parametrize("frames", [1, 60, 128, 129, 300])
@pytest.mark.parametrize("dominant", ["right", "left"])
def test_the_features_of_the_baselines_are_those_that_were_published(frames, dominant):
    x = clip(phrase_features.Baseline(), frames)
    if dominant == "left":
        x = x[:, HANDS_ARMS.mirror]
    got, _ = run(phrase_features.Baseline(), x, padded=320)
    np.testing.assert_allclose(got, baseline_reference(x), atol=2e-4)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("frames", [0, 1, 20, 31, 90])
def test_padding_changes_no_feature(kind, frames):
    x = clip(kind, frames)
    a, mask_a = run(kind, x, padded=max(frames, 1))
    for filler in (0.0, 7.0, np.nan):
        b, mask_b = run(kind, x, padded=120, filler=filler)
        n = mask_a.sum()
        assert mask_b.sum() == n and mask_b[:n].all()
        np.testing.assert_allclose(a[:n], b[:n], atol=1e-4)
        assert not b[n:].any()


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_left_handed_clip_has_the_features_of_its_mirror_image(kind):
    x = clip(kind, 20).astype(np.float32)
    mirrored = x[:, kind.selection.mirror] * [-1, 1, 1] + [1, 0, 0]
    np.testing.assert_allclose(run(kind, x)[0], run(kind, mirrored)[0], atol=0.05)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_feature_is_finite_whatever_is_missing(kind):
    x = np.full_like(clip(kind, 20), np.nan)
    features_SD, _ = run(kind, x)
    assert np.isfinite(features_SD).all() and features_SD.shape[-1] == kind.num_features
    x = clip(kind, 20)
    x[5:10] = np.nan
    assert np.isfinite(run(kind, x)[0]).all()


def test_frames_without_the_dominant_hand_are_left_out():
    kind = phrase_features.Modern(max_frames=32)
    x = clip(kind, 30)
    kept = x[~np.isnan(x[:, kind.selection.part("right_hand")]).any((1, 2))]
    a, mask = run(kind, x, padded=32)
    b, _ = run(kind, kept, padded=32)
    assert mask.sum() == len(kept) < 30
    np.testing.assert_allclose(a[:, :-1], b[:, :-1], atol=1e-5)
    # The last feature alone tells how many were left out.
    assert (a[:, -1] >= b[:, -1]).all() and (a[:, -1] > b[:, -1]).any()


def test_a_short_clip_is_stretched_to_the_least_length_and_an_empty_one_is_not():
    kind = phrase_features.Modern(min_frames=24, max_frames=24)
    assert run(kind, clip(kind, 5))[1].sum() == 24
    assert run(kind, np.full_like(clip(kind, 5), np.nan))[1].sum() == 0


def test_differences_below_the_precision_of_float16_change_no_feature():
    kind = phrase_features.Modern()
    x = clip(kind, 20).astype(np.float32)
    noise = x * (1 + 1e-5)
    kept = noise.astype(np.float16) == x.astype(np.float16)
    noise = np.where(kept | np.isnan(x), noise, x)
    a, b = (kind(jnp.asarray(v[None]), jnp.array([20]), 20)[0] for v in (x, noise))
    np.testing.assert_array_equal(a, b)


def test_features_are_the_same_alone_and_in_a_batch():
    kind = phrase_features.Modern(max_frames=32)
    clips = [clip(kind, n, seed=n) for n in (5, 20, 40)]
    batch = np.zeros((3, 40, *clips[0].shape[1:]), np.float16)
    for row, x in enumerate(clips):
        batch[row, : len(x)] = x
    together, _ = jax.jit(kind, static_argnums=2)(batch, jnp.array([5, 20, 40]), 32)
    for row, x in enumerate(clips):
        np.testing.assert_allclose(together[row], run(kind, x, padded=40)[0], atol=1e-4)
