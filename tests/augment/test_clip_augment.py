"""Each augmentation of clips: what it changes, and what it keeps."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aslx import sharding
from aslx.augment import clip_augment
from aslx.inputs import model_inputs, phrase_features
from aslx.schema import vocab
from tests import ways


def test_the_default_augmentation_changes_nothing():
    rows = ways.batch()
    ways.assert_same(rows, ways.changed(clip_augment.Clips(), rows))
    before, after, _ = ways.seen(clip_augment.Clips(), rows)
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("name", ways.MOVED)
def test_shapes_and_texts_stay(name):
    rows = ways.batch()
    after = ways.changed(ways.only(name), rows)
    assert after.keys() - {"given"} == rows.keys()
    assert all(after[k].shape == rows[k].shape for k in rows)
    if name != "cutmix":
        np.testing.assert_array_equal(after["tokens"], rows["tokens"])
    assert (after["length"] >= 1).all() and (after["length"] <= ways.FRAMES).all()


@pytest.mark.parametrize("name", list(ways.WAYS))
def test_an_augmentation_of_rate_0_changes_nothing_and_equal_keys_give_equal_clips(name):
    rows = ways.batch()
    ways.assert_same(rows, ways.changed(ways.only(name, rate=0.0), rows))
    ways.assert_same(ways.changed(ways.only(name), rows), ways.changed(ways.only(name), rows))
    first, second = (ways.seen(ways.only(name), rows)[1] for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", ways.MOVED)
def test_the_rate_is_the_share_of_clips_that_change(name):
    rows = ways.batch(rows=64)
    after = ways.changed(ways.only(name, rate=0.5), rows)
    pairs = after.get("given", after["tokens"]), rows["tokens"]
    differ = [
        not np.array_equal(a, b, equal_nan=True) or not np.array_equal(c, d)
        for a, b, c, d in zip(after["landmarks"], rows["landmarks"], *pairs, strict=True)
    ]
    assert 16 <= sum(differ) <= 48


@pytest.mark.parametrize("name", ["resample", "warp"])
def test_resampling_keeps_the_order_of_frames_and_the_missing_points(name):
    rows = ways.batch()
    # A coordinate that holds the time still grows from the first frame to the last.
    rows["landmarks"][..., 0] = np.arange(ways.FRAMES)[:, None]
    after = ways.changed(ways.only(name), rows)
    for x, length, old in zip(after["landmarks"], after["length"], rows["length"], strict=True):
        time = x[:length, ways.SELECTION.part("pose")[0], 0]
        assert (np.diff(time) >= 0).all()
        assert time[0] <= 3 and time[-1] >= old - 4
        assert 1 / 1.6 <= length / old <= 1.6 or length == ways.FRAMES
    lost = np.isnan(after["landmarks"]).all((-2, -1)), np.isnan(rows["landmarks"]).all((-2, -1))
    assert not lost[0].any() and not lost[1].any()


def test_warping_varies_the_speed_within_a_clip_and_resampling_does_not():
    rows = ways.batch(rows=1)
    rows["length"][:] = ways.FRAMES - 10
    rows["landmarks"][..., 0] = np.arange(ways.FRAMES)[:, None]
    speeds = {}
    for name in ("resample", "warp"):
        after = ways.changed(ways.only(name, by=1.0), rows, seed=3)
        time = after["landmarks"][0, : after["length"][0], ways.SELECTION.part("pose")[0], 0]
        speeds[name] = np.diff(time)[1:-2]
    assert np.ptp(speeds["resample"]) < 0.01
    assert np.ptp(speeds["warp"]) > 0.2


def test_a_shift_cuts_the_first_frames_and_no_others():
    rows = ways.batch()
    after = ways.changed(ways.only("shift"), rows)
    cut = rows["length"] - after["length"]
    assert set(cut) <= {0, 1, 2, 3} and cut.any()
    for i, n in enumerate(after["length"]):
        before = rows["landmarks"][i, cut[i] : cut[i] + n]
        np.testing.assert_array_equal(after["landmarks"][i, :n], before)


def test_one_affine_map_moves_a_whole_clip_and_keeps_missing_points():
    rows = ways.batch()
    after = ways.changed(ways.only("affine"), rows)["landmarks"]
    before = rows["landmarks"].astype(np.float32)
    np.testing.assert_array_equal(np.isnan(after), np.isnan(before))
    for i, length in enumerate(rows["length"]):
        x, y = before[i, :length].reshape(-1, 3), after[i, :length].reshape(-1, 3)
        known = ~np.isnan(x).any(1)
        given_, wanted = np.c_[x[known], np.ones(known.sum())], y[known]
        fit, *_ = np.linalg.lstsq(given_, wanted, rcond=None)
        np.testing.assert_allclose(given_ @ fit, wanted, atol=1e-4)


def test_a_rotation_alone_keeps_every_distance():
    rows = ways.batch()
    after = ways.changed(ways.only("affine", scale=0.0, shear=0.0, shift=0.0), rows)["landmarks"]
    before = rows["landmarks"].astype(np.float32)
    for i, length in enumerate(rows["length"]):
        a, b = (np.linalg.norm(np.diff(x[i, :length], axis=1), axis=-1) for x in (before, after))
        np.testing.assert_allclose(a, b, atol=1e-4)
    assert not np.allclose(np.nan_to_num(before), np.nan_to_num(after), atol=0.01)


def test_a_mirror_swaps_the_hands_and_is_its_own_inverse():
    rows = ways.batch()
    once = ways.changed(ways.only("mirror"), rows)
    left, right = ways.SELECTION.part("left_hand"), ways.SELECTION.part("right_hand")
    np.testing.assert_allclose(
        once["landmarks"][:, :, left, 0], 1 - rows["landmarks"][:, :, right, 0], atol=1e-3
    )
    twice = ways.changed(ways.only("mirror"), once)["landmarks"]
    np.testing.assert_allclose(twice, rows["landmarks"], atol=1e-3)


def test_a_mirrored_clip_has_the_same_features():
    rows = ways.batch()
    x, mask = model_inputs.of(rows, ways.FEATURES)
    mirrored, _ = model_inputs.of(ways.changed(ways.only("mirror"), rows), ways.FEATURES)
    np.testing.assert_allclose(x * mask[..., None], mirrored * mask[..., None], atol=0.05)


def test_noise_has_its_standard_deviation_and_keeps_missing_points():
    rows = ways.batch()
    after = ways.changed(ways.only("noise", std=0.01), rows)["landmarks"]
    moved = (after - rows["landmarks"])[~np.isnan(after)]
    np.testing.assert_array_equal(np.isnan(after), np.isnan(rows["landmarks"]))
    assert 0.009 < moved.std() < 0.011


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_cutmix_joins_the_beginning_and_the_end_of_two_clips_of_one_signer_and_their_texts(seed):
    rows = ways.batch(seed=seed % 7)
    # The values and tokens of each clip are its number.
    rows["landmarks"][:] = np.arange(6)[:, None, None, None]
    rows["tokens"] = np.where(rows["tokens"] == vocab.NONE, vocab.NONE, np.arange(6)[:, None])
    after = ways.changed(ways.only("cutmix"), rows, seed)
    for i in range(6):
        whose = after["landmarks"][i, : after["length"][i], 0, 0].astype(int)
        spelled = after["tokens"][i][after["tokens"][i] != vocab.NONE]
        (other,) = set(whose.tolist()) - {i}
        assert rows["signer"][other] == rows["signer"][i] and abs(other - i) == 1
        assert (np.diff(whose != i) * 1 >= 0).all()  # Its own frames first.
        assert (np.diff(spelled != i) * 1 >= 0).all() and set(spelled.tolist()) <= {i, other}
        share = (whose == i).sum() / rows["length"][i]
        count = (rows["tokens"][i] != vocab.NONE).sum()
        assert abs((spelled == i).sum() - share * count) <= 1
        assert after["length"][i] <= max(rows["length"][i], rows["length"][other]) + 1


def test_clips_of_unknown_signers_or_without_another_clip_of_theirs_are_not_mixed():
    for signer in (np.arange(6), np.full(6, -1)):
        rows = ways.batch() | {"signer": signer.astype(np.int32)}
        ways.assert_same(rows, ways.changed(ways.only("cutmix"), rows))
    fillers = ways.batch() | {"weight": np.zeros(6, np.float32)}
    ways.assert_same(fillers, ways.changed(ways.only("cutmix"), fillers))


@pytest.mark.usefixtures("every_device")
def test_no_clip_of_a_batch_is_sent_to_all_devices():
    mesh = sharding.make_mesh(sharding.Config())
    (rows,) = sharding.put(mesh, iter([ways.batch(rows=32)]))
    everything = dataclasses.replace(
        clip_augment.Clips(), **{name: getattr(ways.only(name), name) for name in ways.MOVED}
    )

    @jax.jit
    def run(rows: dict, key: jax.Array) -> dict:
        mixed = everything.mixed(rows, key, ways.FEATURES)
        return everything.clips(mixed, key, ways.FEATURES)

    program = run.lower(rows, jax.random.key(0)).compile().as_text() or ""
    assert "collective-permute" in program
    gathered = re.findall(r"= (\w+\[[\d,]*\]).* all-gather", program)
    assert not [shape for shape in gathered if f",{ways.FRAMES}," in shape]


def test_hidden_characters_are_padding_for_the_decoder_and_remain_targets():
    rows = ways.batch()
    after = ways.changed(ways.only("tokens", share=0.5), rows)
    hidden = (after["given"] == vocab.NONE) & (rows["tokens"] != vocab.NONE)
    assert hidden.any()
    np.testing.assert_array_equal(np.where(hidden, rows["tokens"], after["given"]), rows["tokens"])


@pytest.mark.parametrize(
    "kind", [ways.FEATURES, phrase_features.Baseline(), phrase_features.Modern(velocities=False)]
)
def test_the_columns_name_the_point_of_each_feature(kind):
    assert len(kind.columns) == kind.num_features
    rng = np.random.default_rng(0)
    clip = rng.uniform(0.2, 0.8, (1, 9, len(kind.selection.points), 3)).astype(np.float16)
    features = jax.jit(lambda clip: kind(clip, jnp.array([9]))[0])
    at = kind.selection.indices("pose_14" if "pose_14" in kind.columns else "right_hand_3")[0]
    moved = clip.copy()
    moved[:, :, at, 2] += 0.25
    differ = np.asarray(features(clip) != features(moved)).any((0, 1))
    changed_ = set(np.array(kind.columns)[differ].tolist())
    name = kind.selection.points[at]
    assert name in changed_
    # The points of a hand are normalised together, those of other parts alone.
    assert {c.rpartition("_")[0] for c in changed_} == {name.rpartition("_")[0]} or "right" in name


def test_a_change_that_is_switched_on_leaves_the_draws_of_the_others():
    rows = ways.batch()
    noise = clip_augment.Noise(rate=0.5)
    alone = ways.changed(clip_augment.Clips(noise=noise), rows)
    hiding = clip_augment.Clips(noise=noise, tokens=clip_augment.TokenMask(rate=1.0))
    both = ways.changed(hiding, rows)
    assert "given" in both
    np.testing.assert_array_equal(alone["landmarks"], both["landmarks"])


def test_values_hidden_by_two_changes_are_those_that_either_hides_alone():
    rows = ways.batch()
    time, point = ways.only("time_mask", rate=0.5), ways.only("point_mask", rate=0.5)
    both = dataclasses.replace(time, point_mask=point.point_mask)

    def hidden(changes: clip_augment.Clips) -> np.ndarray:
        before, after, _ = ways.seen(changes, rows)
        return (before != 0) & (after == 0)

    assert hidden(time).any() and hidden(point).any()
    np.testing.assert_array_equal(hidden(time) | hidden(point), hidden(both))
