"""What is written as a .pose file is what is read of it, here and by the format's own package."""

import numpy as np
import pytest

from aslx import errors
from aslx.readers import pose_files, pose_writing
from aslx.schema import landmarks
from tests import posed

pose_format = pytest.importorskip("pose_format")


def test_a_clip_is_read_again_to_the_bit(tmp_path):
    path, points_TN3 = tmp_path / "new" / "a.pose", posed.clip(7)
    pose_writing.write(path, points_TN3, 25.0)
    found = pose_files.read(path)
    np.testing.assert_array_equal(found.points, points_TN3)
    assert (found.rate, found.width, found.height, found.mended) == (25.0, 1024, 1024, ())
    assert found.hands.all()


def test_the_formats_own_package_reads_pixels_and_confidences(tmp_path):
    path, points_TN3 = tmp_path / "a.pose", posed.clip(7)
    pose_writing.write(path, points_TN3, 29.97, 1280, 720)
    pose = pose_format.Pose.read(path.read_bytes())
    size = pose.header.dimensions
    assert (size.width, size.height, size.depth) == (1280, 720, 1280)
    assert pose.body.data.shape == (7, 1, 543, 3) and pose.body.fps == pytest.approx(29.97)
    tip = pose.header.get_point_index("RIGHT_HAND_LANDMARKS", "INDEX_FINGER_TIP")
    ours = points_TN3[:, landmarks.ALL.indices("right_hand_8")[0]]
    np.testing.assert_allclose(pose.body.data[:, 0, tip], ours * [1280, 720, 1], rtol=1e-6)
    lost = pose.header.get_point_index("LEFT_HAND_LANDMARKS", "WRIST")
    assert pose.body.data.mask[:, 0, lost].all() and not pose.body.confidence[:, 0, lost].any()


def test_its_viewer_can_draw_the_points_and_its_tools_know_the_model(tmp_path):
    from pose_format.utils import generic

    pose_writing.write(tmp_path / "a.pose", posed.clip(3), 30.0)
    pose = pose_format.Pose.read((tmp_path / "a.pose").read_bytes())
    assert generic.detect_known_pose_format(pose) == "holistic"
    for component in pose.header.components:
        assert all(max(limb) < len(component.points) for limb in component.limbs)
    assert generic.pose_normalization_info(pose.header).p1 != 0


@pytest.mark.parametrize(("frames", "width"), [(0, 640), (3, 2**16)])
def test_what_the_format_cannot_hold_is_said(tmp_path, frames, width):
    with pytest.raises(errors.BadInput, match=r"a\.pose"):
        pose_writing.write(tmp_path / "a.pose", posed.clip(frames), 30.0, width, 480)
    assert not (tmp_path / "a.pose").exists()


def test_depths_that_nobody_moved_stay_as_they_are_though_the_wrist_is_not_quite_at_zero(tmp_path):
    points_TN3 = posed.clip(7)
    points_TN3[:, landmarks.ALL.indices("right_hand_0"), 2] = 0.003
    pose_writing.write(tmp_path / "a.pose", points_TN3, 30.0)
    np.testing.assert_array_equal(pose_files.read(tmp_path / "a.pose").points, points_TN3)
