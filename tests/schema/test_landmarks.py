"""The 543-point schema and its selections."""

import numpy as np
import pytest

from aslx.schema import landmarks


def test_the_schema_has_kaggles_543_points_in_its_order():
    assert len(landmarks.POINTS) == 543
    # hoyso48's loader for the competition: 468..488, 489..521, 522..542.
    for place, point in (
        (0, "face_0"),
        (468, "left_hand_0"),
        (489, "pose_0"),
        (522, "right_hand_0"),
    ):
        assert landmarks.POINTS[place] == point


@pytest.mark.parametrize("name, columns", [("hands_arms", 156), ("holistic130", 390)])
def test_a_selection_has_its_number_of_columns(name, columns):
    selection = landmarks.selection(name)
    assert len(selection.columns) == columns == len(set(selection.columns))
    assert [c[0] for c in selection.columns] == sorted(c[0] for c in selection.columns)


@pytest.mark.parametrize(
    "selection",
    [*landmarks.SELECTIONS.values(), landmarks.of_parts(("right_hand", "left_hand"))],
    ids=lambda s: s.name,
)
def test_a_mirror_is_its_own_inverse_and_swaps_the_hands(selection):
    assert (selection.mirror[selection.mirror] == np.arange(len(selection.points))).all()
    assert set(selection.mirror[selection.part("right_hand")]) == set(selection.part("left_hand"))


def test_the_middle_of_the_face_is_its_own_mirror_image():
    own = [p for p in landmarks.HOLISTIC130.points if landmarks.MIRROR[p] == p]
    assert sorted(own) == ["face_0", "face_1", "face_13", "face_14", "face_17", "face_2"]


def test_columns_turn_into_points():
    selection = landmarks.HANDS_ARMS
    columns = np.arange(2 * 156.0).reshape(2, 156)
    points = selection.from_columns(columns)
    at = selection.columns.index("y_left_hand_3")
    assert points[1, selection.points.index("left_hand_3"), 1] == columns[1, at]


def test_the_error_of_an_unknown_selection_lists_the_selections():
    with pytest.raises(ValueError, match="hands_arms, holistic130"):
        landmarks.selection("holistic131")


def test_a_part_with_zeros_only_is_lost_and_a_single_zero_is_a_point():
    selection = landmarks.HOLISTIC130
    whole = np.random.default_rng(0).random((5, 130, 3)).astype(np.float32)
    same, count = landmarks.lost_where_zero(whole, selection)
    assert same is whole and count == 0
    hand, pose = selection.part("left_hand"), selection.part("pose")
    zeros = whole.copy()
    zeros[1, hand] = zeros[2, pose] = 0
    zeros[3, hand, :2], zeros[3, hand, 2] = 0, np.nan  # Written without a depth.
    zeros[4, hand[0]] = zeros[4, pose[3]] = 0
    zeros[0, hand[5:]] = 0
    found, count = landmarks.lost_where_zero(zeros, selection)
    expected = zeros.copy()
    expected[1, hand] = expected[2, pose] = expected[3, hand] = np.nan
    assert count == 3 and np.array_equal(found, expected, equal_nan=True)
    assert not np.isnan(zeros[1]).any()  # The argument is unchanged.
