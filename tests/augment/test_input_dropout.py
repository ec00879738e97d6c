"""Dropout of inputs: what is dropped, and that everything else stays."""

import dataclasses

import jax
import numpy as np
import pytest

from aslx.augment import clip_augment, input_dropout
from aslx.inputs import model_inputs
from aslx.schema import landmarks
from tests import ways


@pytest.mark.parametrize("name", ways.SEEN)
def test_dropped_features_are_zero_and_all_others_stay(name):
    strength = {} if name == "face_drop" else {"share": 0.5}
    before, after, mask = ways.seen(ways.only(name, **strength), ways.batch())
    gone = (after != before) & mask[..., None]
    assert gone.any()
    np.testing.assert_array_equal(after, np.where(gone, 0.0, before))


def test_a_time_mask_drops_whole_consecutive_frames():
    before, after, mask = ways.seen(ways.only("time_mask", share=0.5), ways.batch())
    for x, y, real in zip(before, after, mask, strict=True):
        frames = (x != y).any(1)
        np.testing.assert_array_equal(y[frames], 0)
        assert frames.sum() <= 0.5 * real.sum() + 1
        assert np.diff(np.flatnonzero(frames)).max(initial=1) == 1


def test_a_dropped_finger_loses_its_four_joints_in_all_frames():
    before, after, mask = ways.seen(ways.only("finger_drop", share=0.5), ways.batch())
    fingers = {f"right_hand_{i}": f for f, ids in landmarks.FINGERS.items() for i in ids}
    for x, y, real in zip(before, after, mask, strict=True):
        lost = (x[real] != 0).any(0) & ~(y[real] != 0).any(0)
        gone = {column for column, yes in zip(ways.FEATURES.columns, lost, strict=True) if yes}
        dropped = {fingers[c] for c in gone}
        assert gone == {c for c in ways.FEATURES.columns if fingers.get(c) in dropped}


@pytest.mark.parametrize(("name", "part"), [("face_drop", "face"), ("pose_drop", "pose")])
def test_a_dropped_part_loses_its_points_and_its_presence(name, part):
    before, after, mask = ways.seen(ways.only(name), ways.batch())
    of = np.array([c.rpartition("_")[0] == part or c == part for c in ways.FEATURES.columns])
    assert (after[..., of] == 0).all() and (before[mask][:, of] != 0).any()
    np.testing.assert_array_equal(after[..., ~of], before[..., ~of])


def test_hands_alone_are_dropped_for_a_stretch_of_frames():
    before, after, mask = ways.seen(ways.only("hand_drop", share=0.5), ways.batch())
    hands = np.array(["hand" in column for column in ways.FEATURES.columns])
    np.testing.assert_array_equal(after[..., ~hands], before[..., ~hands])
    assert (before != after)[mask].any()
    for x, y, real in zip(before, after, mask, strict=True):
        at = np.flatnonzero((x != y).any(1))
        if at.size:
            assert (y[at[0] : at[-1] + 1, hands] == 0).all()
            assert at[-1] - at[0] < 0.5 * real.sum() + 1


def test_padding_stays_zero_under_all_augmentations():
    rows = ways.batch()
    everything = clip_augment.Clips(
        **{name: dataclasses.replace(way, rate=1.0) for name, way in ways.WAYS.items()}
    )
    after = ways.changed(everything, rows)
    x, mask = model_inputs.of(after, ways.FEATURES)
    y = np.asarray(everything.inputs(x, mask, jax.random.key(1), ways.FEATURES))
    assert np.isfinite(y).all() and (y[~np.asarray(mask)] == 0).all()
    assert isinstance(everything.face_drop, input_dropout.PartDrop)
