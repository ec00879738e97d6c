"""Each way of showing a clip otherwise: what it changes, and what it keeps."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aslx import augment, features, landmarks, masks, sharding, step, vocab
from tests import tiny

FEATURES = features.Modern(parts=("right_hand", "pose", "face"), max_frames=32)
SELECTION = FEATURES.selection
FRAMES = 40
NOTHING = augment.Clips()
WAYS = {field.name: getattr(NOTHING, field.name) for field in dataclasses.fields(NOTHING)}
SEEN = [name for name, way in WAYS.items() if hasattr(type(way), "kept")]
MOVED = [name for name in WAYS if name not in SEEN]


def batch(rows: int = 6, seed: int = 0) -> dict:
    """Clips of 40 frames and fewer, by two signers, the rows of each together."""
    rng, out = np.random.default_rng(seed), {}
    out["landmarks"] = np.zeros((rows, FRAMES, len(SELECTION.points), 3), np.float16)
    out["length"] = rng.integers(12, FRAMES + 1, rows).astype(np.int32)
    out["tokens"] = np.full((rows, 10), vocab.PAD, np.int32)
    for i, length in enumerate(out["length"]):
        phrase = "".join(rng.choice(list("abcdefgh"), rng.integers(2, 10)))
        out["landmarks"][i, :length] = tiny.clip(rng, phrase, length, SELECTION)
        out["tokens"][i, : len(phrase)] = vocab.encode(phrase)
    out["signer"] = (np.arange(rows) * 2 // rows).astype(np.int32)
    out["weight"] = np.ones(rows, np.float32)
    return out


def only(name: str, rate: float = 1.0, **strengths) -> augment.Clips:
    way = dataclasses.replace(WAYS[name], rate=rate, **strengths)
    return dataclasses.replace(augment.Clips(), **{name: way})


def changed(ways: augment.Clips, rows: dict, seed: int = 0) -> dict:
    run = jax.jit(lambda rows, key: ways.clips(rows, key, FEATURES))
    return {k: np.asarray(v) for k, v in run(rows, jax.random.key(seed)).items()}


def seen(ways: augment.Clips, rows: dict, seed: int = 0) -> tuple[np.ndarray, ...]:
    """What the model sees before, after, and of which frames."""
    x, mask = step.inputs(rows, FEATURES)
    after = jax.jit(lambda x, mask, key: ways.inputs(x, mask, key, FEATURES))
    return np.asarray(x), np.asarray(after(x, mask, jax.random.key(seed))), np.asarray(mask)


def assert_same(a: dict, b: dict) -> None:
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_by_default_nothing_happens():
    rows = batch()
    assert_same(rows, changed(augment.Clips(), rows))
    before, after, _ = seen(augment.Clips(), rows)
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("name", MOVED)
def test_shapes_stay_and_what_is_beside_the_clip_too(name):
    rows = batch()
    after = changed(only(name), rows)
    assert {k: v.shape for k, v in after.items() if k != "given"} == {
        k: v.shape for k, v in rows.items()
    }
    if name not in ("cutmix",):
        np.testing.assert_array_equal(after["tokens"], rows["tokens"])
    assert (after["length"] >= 1).all() and (after["length"] <= FRAMES).all()


@pytest.mark.parametrize("name", list(WAYS))
def test_a_way_of_rate_0_does_nothing_and_the_same_key_does_the_same(name):
    rows = batch()
    assert_same(rows, changed(only(name, rate=0.0), rows))
    assert_same(changed(only(name), rows), changed(only(name), rows))
    np.testing.assert_array_equal(seen(only(name), rows)[1], seen(only(name), rows)[1])


@pytest.mark.parametrize("name", MOVED)
def test_it_happens_to_a_share_of_the_clips(name):
    rows = batch(rows=64)
    after = changed(only(name, rate=0.5), rows)
    pairs = after.get("given", after["tokens"]), rows["tokens"]
    differ = [
        not np.array_equal(a, b, equal_nan=True) or not np.array_equal(c, d)
        for a, b, c, d in zip(after["landmarks"], rows["landmarks"], *pairs, strict=True)
    ]
    assert 16 <= sum(differ) <= 48


@pytest.mark.parametrize("name", ["resample", "warp"])
def test_resampling_keeps_the_order_of_poses_and_which_points_are_lost(name):
    rows = batch()
    # Time itself as a coordinate: it still runs forward, from the first frame to the last.
    rows["landmarks"][..., 0] = np.arange(FRAMES)[:, None]
    after = changed(only(name), rows)
    for x, length, old in zip(after["landmarks"], after["length"], rows["length"], strict=True):
        time = x[:length, SELECTION.part("pose")[0], 0]
        assert (np.diff(time) >= 0).all()
        assert time[0] <= 3 and time[-1] >= old - 4
        assert 1 / 1.6 <= length / old <= 1.6 or length == FRAMES
    lost = np.isnan(after["landmarks"]).all((-2, -1)), np.isnan(rows["landmarks"]).all((-2, -1))
    assert not lost[0].any() and not lost[1].any()


def test_windows_of_one_clip_run_at_their_own_speeds_and_a_whole_clip_at_one():
    rows = batch(rows=1)
    rows["length"][:] = FRAMES - 10
    rows["landmarks"][..., 0] = np.arange(FRAMES)[:, None]
    speeds = {}
    for name in ("resample", "warp"):
        after = changed(only(name, by=1.0), rows, seed=3)
        time = after["landmarks"][0, : after["length"][0], SELECTION.part("pose")[0], 0]
        speeds[name] = np.diff(time)[1:-2]
    assert np.ptp(speeds["resample"]) < 0.01
    assert np.ptp(speeds["warp"]) > 0.2


def test_a_shift_cuts_the_first_frames_and_no_others():
    rows = batch()
    after = changed(only("shift"), rows)
    cut = rows["length"] - after["length"]
    assert set(cut) <= {0, 1, 2, 3} and cut.any()
    for i, n in enumerate(after["length"]):
        before = rows["landmarks"][i, cut[i] : cut[i] + n]
        np.testing.assert_array_equal(after["landmarks"][i, :n], before)


def test_an_affine_map_is_one_for_the_clip_and_keeps_what_is_lost():
    rows = batch()
    after = changed(only("affine"), rows)["landmarks"]
    before = rows["landmarks"].astype(np.float32)
    np.testing.assert_array_equal(np.isnan(after), np.isnan(before))
    for i, length in enumerate(rows["length"]):
        x, y = before[i, :length].reshape(-1, 3), after[i, :length].reshape(-1, 3)
        known = ~np.isnan(x).any(1)
        given_, wanted = np.c_[x[known], np.ones(known.sum())], y[known]
        fit, *_ = np.linalg.lstsq(given_, wanted, rcond=None)
        np.testing.assert_allclose(given_ @ fit, wanted, atol=1e-4)


def test_a_rotation_alone_keeps_every_distance():
    rows = batch()
    after = changed(only("affine", scale=0.0, shear=0.0, shift=0.0), rows)["landmarks"]
    before = rows["landmarks"].astype(np.float32)
    for i, length in enumerate(rows["length"]):
        a, b = (np.linalg.norm(np.diff(x[i, :length], axis=1), axis=-1) for x in (before, after))
        np.testing.assert_allclose(a, b, atol=1e-4)
    assert not np.allclose(np.nan_to_num(before), np.nan_to_num(after), atol=0.01)


def test_a_mirror_twice_is_nothing_and_once_swaps_the_hands():
    rows = batch()
    once = changed(only("mirror"), rows)
    left, right = SELECTION.part("left_hand"), SELECTION.part("right_hand")
    np.testing.assert_allclose(
        once["landmarks"][:, :, left, 0], 1 - rows["landmarks"][:, :, right, 0], atol=1e-3
    )
    twice = changed(only("mirror"), once)["landmarks"]
    np.testing.assert_allclose(twice, rows["landmarks"], atol=1e-3)


def test_a_left_handed_clip_has_the_same_features_in_the_mirror():
    rows = batch()
    x, mask = step.inputs(rows, FEATURES)
    mirrored, _ = step.inputs(changed(only("mirror"), rows), FEATURES)
    np.testing.assert_allclose(x * mask[..., None], mirrored * mask[..., None], atol=0.05)


def test_noise_is_of_its_size_and_loses_nothing():
    rows = batch()
    after = changed(only("noise", std=0.01), rows)["landmarks"]
    moved = (after - rows["landmarks"])[~np.isnan(after)]
    np.testing.assert_array_equal(np.isnan(after), np.isnan(rows["landmarks"]))
    assert 0.009 < moved.std() < 0.011


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_cutmix_is_a_beginning_and_an_end_of_two_clips_of_one_signer_with_their_characters(seed):
    rows = batch(seed=seed % 7)
    # Each clip's values and tokens say whose they are.
    rows["landmarks"][:] = np.arange(6)[:, None, None, None]
    rows["tokens"] = np.where(rows["tokens"] == vocab.PAD, vocab.PAD, np.arange(6)[:, None])
    after = changed(only("cutmix"), rows, seed)
    for i in range(6):
        whose = after["landmarks"][i, : after["length"][i], 0, 0].astype(int)
        spelled = after["tokens"][i][after["tokens"][i] != vocab.PAD]
        (other,) = set(whose.tolist()) - {i}
        assert rows["signer"][other] == rows["signer"][i] and abs(other - i) == 1
        assert (np.diff(whose != i) * 1 >= 0).all()  # Its own frames first.
        assert (np.diff(spelled != i) * 1 >= 0).all() and set(spelled.tolist()) <= {i, other}
        share = (whose == i).sum() / rows["length"][i]
        count = (rows["tokens"][i] != vocab.PAD).sum()
        assert abs((spelled == i).sum() - share * count) <= 1
        assert after["length"][i] <= max(rows["length"][i], rows["length"][other]) + 1


def test_who_is_alone_in_a_batch_or_unknown_is_mixed_with_nobody():
    for signer in (np.arange(6), np.full(6, -1)):
        rows = batch() | {"signer": signer.astype(np.int32)}
        assert_same(rows, changed(only("cutmix"), rows))
    fillers = batch() | {"weight": np.zeros(6, np.float32)}
    assert_same(fillers, changed(only("cutmix"), fillers))


def test_of_a_batch_on_several_devices_no_clip_travels_to_all_of_them():
    mesh = sharding.make_mesh(sharding.Config())
    (rows,) = sharding.put(mesh, iter([batch(rows=32)]))
    everything = dataclasses.replace(
        augment.Clips(), **{name: getattr(only(name), name) for name in MOVED}
    )
    run = jax.jit(lambda rows, key: everything.clips(rows, key, FEATURES))
    program = run.lower(rows, jax.random.key(0)).compile().as_text()
    assert "collective-permute" in program
    gathered = re.findall(r"= (\w+\[[\d,]*\]).* all-gather", program)
    assert not [shape for shape in gathered if f",{FRAMES}," in shape]


def test_hidden_characters_are_pads_to_the_decoder_and_targets_still():
    rows = batch()
    after = changed(only("tokens", share=0.5), rows)
    hidden = (after["given"] == vocab.PAD) & (rows["tokens"] != vocab.PAD)
    assert hidden.any()
    np.testing.assert_array_equal(np.where(hidden, rows["tokens"], after["given"]), rows["tokens"])


@pytest.mark.parametrize("name", SEEN)
def test_what_is_left_out_is_zero_and_all_else_stays(name):
    before, after, mask = seen(
        only(name, share=0.5) if name != "face_drop" else only(name), batch()
    )
    gone = (after != before) & mask[..., None]
    assert gone.any()
    np.testing.assert_array_equal(after, np.where(gone, 0.0, before))


def test_a_time_mask_takes_whole_frames_that_follow_each_other():
    before, after, mask = seen(only("time_mask", share=0.5), batch())
    for x, y, real in zip(before, after, mask, strict=True):
        frames = (x != y).any(1)
        np.testing.assert_array_equal(y[frames], 0)
        assert frames.sum() <= 0.5 * real.sum() + 1
        assert np.diff(np.flatnonzero(frames)).max(initial=1) == 1


def test_a_dropped_finger_takes_its_four_joints_in_all_frames():
    before, after, mask = seen(only("finger_drop", share=0.5), batch())
    fingers = {f"right_hand_{i}": f for f, ids in landmarks.FINGERS.items() for i in ids}
    for x, y, real in zip(before, after, mask, strict=True):
        there = (x[real] != 0).any(0)
        gone = {
            c for c, a, b in zip(FEATURES.columns, there, (y[real] != 0).any(0), strict=True)
            if a and not b
        }  # fmt: skip
        dropped = {fingers[c] for c in gone}
        assert gone == {c for c in FEATURES.columns if fingers.get(c) in dropped}


@pytest.mark.parametrize(("name", "part"), [("face_drop", "face"), ("pose_drop", "pose")])
def test_a_dropped_part_takes_its_points_and_says_that_it_is_not_seen(name, part):
    before, after, mask = seen(only(name), batch())
    of = np.array([c.rpartition("_")[0] == part or c == part for c in FEATURES.columns])
    assert (after[..., of] == 0).all() and (before[mask][:, of] != 0).any()
    np.testing.assert_array_equal(after[..., ~of], before[..., ~of])


@pytest.mark.parametrize("kind", [FEATURES, features.Seed(), features.Modern(velocities=False)])
def test_columns_name_the_point_of_every_feature(kind):
    assert len(kind.columns) == kind.num_features
    rng = np.random.default_rng(0)
    clip = rng.uniform(0.2, 0.8, (1, 9, len(kind.selection.points), 3)).astype(np.float16)
    x, _ = kind(jnp.asarray(clip), jnp.array([9]))
    at = kind.selection.indices("pose_14" if "pose_14" in kind.columns else "right_hand_3")[0]
    moved = clip.copy()
    moved[:, :, at, 2] += 0.25
    y, _ = kind(jnp.asarray(moved), jnp.array([9]))
    changed_ = {
        c
        for c, d in zip(
            kind.columns, (np.asarray(x) != np.asarray(y)).any((0, 1)).tolist(), strict=True
        )
        if d
    }
    name = kind.selection.points[at]
    assert name in changed_
    # Points of one hand are normalised together; those of other parts stand apart.
    assert {c.rpartition("_")[0] for c in changed_} == {name.rpartition("_")[0]} or "right" in name


def test_masks_are_off_the_path_of_padding():
    rows = batch()
    everything = augment.Clips(
        **{name: dataclasses.replace(way, rate=1.0) for name, way in WAYS.items()}
    )
    after = changed(everything, rows)
    x, mask = step.inputs(after, FEATURES)
    y = np.asarray(everything.inputs(x, mask, jax.random.key(1), FEATURES))
    assert np.isfinite(y).all() and (y[~np.asarray(mask)] == 0).all()
    assert isinstance(everything.face_drop, masks.PartDrop)
