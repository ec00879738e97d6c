"""What is left out of what a model sees, and that all else stays."""

import dataclasses

import jax
import numpy as np
import pytest

from aslx.augment import clip_augment, input_dropout
from aslx.inputs import model_inputs
from aslx.schema import landmarks
from tests import ways


@pytest.mark.parametrize("name", ways.SEEN)
def test_what_is_left_out_is_zero_and_all_else_stays(name):
    before, after, mask = ways.seen(
        ways.only(name, share=0.5) if name != "face_drop" else ways.only(name), ways.batch()
    )
    gone = (after != before) & mask[..., None]
    assert gone.any()
    np.testing.assert_array_equal(after, np.where(gone, 0.0, before))


def test_a_time_mask_takes_whole_frames_that_follow_each_other():
    before, after, mask = ways.seen(ways.only("time_mask", share=0.5), ways.batch())
    for x, y, real in zip(before, after, mask, strict=True):
        frames = (x != y).any(1)
        np.testing.assert_array_equal(y[frames], 0)
        assert frames.sum() <= 0.5 * real.sum() + 1
        assert np.diff(np.flatnonzero(frames)).max(initial=1) == 1


def test_a_dropped_finger_takes_its_four_joints_in_all_frames():
    before, after, mask = ways.seen(ways.only("finger_drop", share=0.5), ways.batch())
    fingers = {f"right_hand_{i}": f for f, ids in landmarks.FINGERS.items() for i in ids}
    for x, y, real in zip(before, after, mask, strict=True):
        there = (x[real] != 0).any(0)
        gone = {
            c for c, a, b in zip(ways.FEATURES.columns, there, (y[real] != 0).any(0), strict=True)
            if a and not b
        }  # fmt: skip
        dropped = {fingers[c] for c in gone}
        assert gone == {c for c in ways.FEATURES.columns if fingers.get(c) in dropped}


@pytest.mark.parametrize(("name", "part"), [("face_drop", "face"), ("pose_drop", "pose")])
def test_a_dropped_part_takes_its_points_and_says_that_it_is_not_seen(name, part):
    before, after, mask = ways.seen(ways.only(name), ways.batch())
    of = np.array([c.rpartition("_")[0] == part or c == part for c in ways.FEATURES.columns])
    assert (after[..., of] == 0).all() and (before[mask][:, of] != 0).any()
    np.testing.assert_array_equal(after[..., ~of], before[..., ~of])


def test_hands_are_dropped_for_a_stretch_of_frames_and_nothing_else_is():
    before, after, mask = ways.seen(ways.only("hand_drop", share=0.5), ways.batch())
    hands = np.array(["hand" in column for column in ways.FEATURES.columns])
    np.testing.assert_array_equal(after[..., ~hands], before[..., ~hands])
    assert (before != after)[mask].any()
    for x, y, real in zip(before, after, mask, strict=True):
        at = np.flatnonzero((x != y).any(1))
        if at.size:
            assert (y[at[0] : at[-1] + 1, hands] == 0).all()
            assert at[-1] - at[0] < 0.5 * real.sum() + 1


def test_masks_are_off_the_path_of_padding():
    rows = ways.batch()
    everything = clip_augment.Clips(
        **{name: dataclasses.replace(way, rate=1.0) for name, way in ways.WAYS.items()}
    )
    after = ways.changed(everything, rows)
    x, mask = model_inputs.of(after, ways.FEATURES)
    y = np.asarray(everything.inputs(x, mask, jax.random.key(1), ways.FEATURES))
    assert np.isfinite(y).all() and (y[~np.asarray(mask)] == 0).all()
    assert isinstance(everything.face_drop, input_dropout.PartDrop)
