"""A .pose file of MediaPipe Holistic becomes a clip, and every other one a line that says why."""

import struct

import numpy as np
import pytest

from aslx import errors
from aslx.inputs import input_kinds
from aslx.readers import mending, pose_files, pose_writing
from aslx.schema import landmarks
from tests import posed

pose_format = pytest.importorskip("pose_format")
WHOLE, REDUCED = "6fb01565da31c5500d1ef2cd2906b06b.pose", "mediapipe.pose"
RIGHT, NOSE, CHIN = landmarks.ALL.indices("right_hand_0", "pose_0", "face_152")


def _text(text: str) -> bytes:
    return struct.pack("<H", len(text)) + text.encode()


def _file(
    tmp_path, components=None, *, version=0.2, body=None, size=(200, 100), kind="XYZC", frames=2
):
    """A file of right hands whose point i is at (2 i, i) pixels with the depth 5 + i."""
    components = components or {"RIGHT_HAND_LANDMARKS": pose_files._HAND}
    header = struct.pack("<fHHHH", version, *size, 0, len(components))
    for name, points in components.items():
        header += _text(name) + _text(kind) + struct.pack("<HHH", len(points), 0, 0)
        header += b"".join(map(_text, points))
    count = sum(map(len, components.values()))
    xyz = np.arange(count)[:, None] * np.array([2, 1, 1]) + np.array([0, 0, 5])
    values = np.concatenate([*[xyz.ravel()] * frames, np.ones(frames * count)]).astype("<f4")
    if body is None:
        body = struct.pack("<fIH", 25, frames, 1) + values.tobytes()
    path = tmp_path / "a.pose"
    path.write_bytes(header + body)
    return path


def test_points_are_fractions_of_the_picture_and_depth_starts_at_the_wrist(tmp_path):
    clip_TN3 = pose_files.read(_file(tmp_path)).points
    assert clip_TN3.shape == (2, 543, 3) and clip_TN3.dtype == np.float32
    i = np.arange(21)
    hand = clip_TN3[1, RIGHT : RIGHT + 21]
    np.testing.assert_allclose(hand, np.stack([2 * i / 200, i / 100, i], 1), rtol=1e-6)
    assert np.isfinite(clip_TN3).all(-1).sum() == 2 * 21


@pytest.mark.parametrize("name", [WHOLE, REDUCED])
def test_samples_are_read_as_by_the_formats_own_package(shared, name):
    path = shared / "pose_files" / name
    clip_TN3 = pose_files.read(path).points
    pose = pose_format.Pose.read(path.read_bytes())
    size = pose.header.dimensions
    of = {RIGHT + 8: ("RIGHT_HAND_LANDMARKS", "INDEX_FINGER_TIP"), NOSE: ("POSE_LANDMARKS", "NOSE")}
    for point, named in (of | {CHIN: ("FACE_LANDMARKS", "152")}).items():
        try:
            there = pose.header.get_point_index(*named)
        except ValueError:  # A reduced file lacks it.
            assert np.isnan(clip_TN3[:, point]).all()
            continue
        theirs = pose.body.data[:, 0, there, :2].filled(np.nan) / [size.width, size.height]
        np.testing.assert_allclose(clip_TN3[:, point, :2], theirs, rtol=1e-5)
        assert np.isfinite(theirs).any()


def test_a_lost_hand_is_nan_in_all_of_its_points(shared):
    clip_TN3 = pose_files.read(shared / "pose_files" / REDUCED).points
    lost = np.isnan(clip_TN3[:, RIGHT : RIGHT + 21])
    assert 0 < lost.mean() < 1
    assert (lost.all((1, 2)) == lost.any((1, 2))).all()


def test_every_cut_is_refused(tmp_path, shared):
    raw = (shared / "pose_files" / REDUCED).read_bytes()
    path = tmp_path / "cut.pose"
    frame = 178 * 16
    whole = len(raw) - frame
    for length in (0, 3, 300, 2709, 2712, 2716, 2716 + 50 * frame, whole, len(raw) - 1):
        path.write_bytes(raw[:length])
        with pytest.raises(errors.BadInput, match=r"cut.pose (is damaged|is cut off)"):
            pose_files.read(path)


def test_version_0_1_may_have_more_frames_than_its_count_can_tell(tmp_path):
    frames = 2**16 + 3
    hand = {"RIGHT_HAND_LANDMARKS": ["WRIST"]}
    body = struct.pack("<HHH", 25, 3, 1) + np.ones(4 * frames, "<f4").tobytes()
    path = _file(tmp_path, hand, version=0.1, body=body)
    assert len(pose_files.read(path).points) == frames


FAULTS = {
    "another body model": (
        {"components": {"hand_right_keypoints_2d": ["0"]}},
        "a.pose holds hand_right_keypoints_2d: the points of MediaPipe Holistic are wanted",
    ),
    "no component": ({"components": {"": []}}, "are wanted"),
    "no depth": ({"kind": "XYC"}, "has the values XYC of a point, not XYZC"),
    "no picture": ({"size": (0, 100)}, "a picture of 0 x 100 pixels"),
    "a version of old": ({"version": 0.0}, "version 0.0, and 0.1 and 0.2 are read: write it again"),
    "a version to come": ({"version": 0.3}, "version 0.3"),
    "two people": ({"body": struct.pack("<fIH", 25, 1, 2)}, "shows 2 people, and one is wanted"),
    "nobody": ({"body": struct.pack("<fIH", 25, 2**32 - 1, 0)}, "shows 0 people"),
    "frames that are not there": ({"body": struct.pack("<fIH", 25, 2**32 - 1, 1)}, "0 frames of"),
    "more frames than there is memory": (
        {"components": {"POSE_LANDMARKS": ["NOSE"]}, "frames": 2**17 + 1},
        "has 131073 frames, and at most 131072 are read",
    ),
    "no frames": ({"frames": 0}, "a.pose has no frames"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_cannot_be_read_is_named_in_one_line(tmp_path, name):
    changes, words = FAULTS[name]
    with pytest.raises(errors.BadInput, match=words) as found:
        pose_files.read(_file(tmp_path, **changes))
    assert "\n" not in str(found.value) and len(str(found.value)) < 400


def test_a_hostile_header_is_bounded(tmp_path):
    path = tmp_path / "many.pose"
    path.write_bytes(struct.pack("<fHHHH", 0.2, 1, 1, 0, 2**16 - 1) + bytes(1 << 22))
    with pytest.raises(errors.BadInput, match=r"many.pose"):
        pose_files.read(path)


def test_what_is_no_pose_file_is_refused(tmp_path, shared):
    film = shared / "pose_files" / "test_video.mp4"
    with pytest.raises(errors.BadInput, match=r"test_video.mp4"):
        pose_files.read(film)
    with pytest.raises(errors.BadInput, match=r"none.pose is not there"):
        pose_files.read(tmp_path / "none.pose")
    with pytest.raises(errors.BadInput, match="is a folder"):
        pose_files.read(tmp_path)
    with pytest.raises(errors.BadInput, match=r"openpose.pose holds pose_keypoints_2d, .*wanted"):
        pose_files.read(shared / "pose_files" / "openpose.pose")


def test_a_file_of_no_end_is_refused_unread(tmp_path):
    path = tmp_path / "long.pose"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(errors.BadInput, match=r"long.pose has 1048576 MiB, and at most 256"):
        pose_files.read(path)


def test_a_model_of_landmarks_takes_a_pose_file(shared):
    source = input_kinds.Columns(landmarks.HOLISTIC130)
    ((name, clip_TN3),) = source.clips(str(shared / "pose_files" / REDUCED))
    assert clip_TN3.shape == (170, len(landmarks.HOLISTIC130.points), 3)
    assert str(name).endswith(REDUCED) and np.isfinite(clip_TN3).any()


@pytest.mark.parametrize("depth", [640, 0])
def test_a_normalised_size_is_said_and_undone_where_the_header_tells(tmp_path, depth):
    from pose_format.utils import generic

    whole = tmp_path / "whole.pose"
    pose_writing.write(whole, posed.clip(8), 25.0, 640, 480)
    pose = pose_format.Pose.read(whole.read_bytes())
    scale = (
        1
        / np.linalg.norm(np.diff(pose.body.data[:, 0, [11, 12], :3], axis=1)[:, 0], axis=-1).mean()
    )  # As `normalize` divides by the distance of the shoulders.
    pose.normalize(generic.pose_normalization_info(pose.header))
    generic.normalize_pose_size(pose, 500)
    pose.header.dimensions.depth = depth
    with (tmp_path / "small.pose").open("wb") as f:
        pose.write(f)
    found, before = (pose_files.read(tmp_path / name) for name in ("small.pose", "whole.pose"))
    right = slice(RIGHT, RIGHT + 21)
    width = depth or 500
    np.testing.assert_allclose(
        found.points[:, right, 2],
        before.points[:, right, 2] * scale * 200 * width / 500,
        atol=2e-4,
    )
    assert abs(np.nanmedian(found.points[..., 2])) < 1  # A float16 of 250 has steps of 0.125.
    assert found.mended == (mending.RESIZED if depth else mending.RESIZED_FROM_UNKNOWN,)
    assert before.mended == ()


def test_the_samples_that_were_normalised_are_said_to_be(shared):
    folder = shared / "pose_files"
    assert pose_files.read(folder / WHOLE).mended == ()
    assert pose_files.read(folder / REDUCED).mended == (mending.RESIZED,)
    turned = pose_files.read(folder / "mediapipe_hand_normalized.pose")
    assert turned.mended == (mending.MOVED, mending.TURNED)


def test_a_hand_without_its_wrist_keeps_its_depths(tmp_path):
    fingers = {"RIGHT_HAND_LANDMARKS": pose_files.NAMES["right_hand"][1:]}
    points = pose_files.read(_file(tmp_path, fingers)).points
    np.testing.assert_allclose(points[0, RIGHT + 1 : RIGHT + 21, 2], 5 + np.arange(20))


def test_a_rate_that_cannot_be_is_taken_for_a_usual_one(tmp_path):
    whole = _file(tmp_path).read_bytes()
    for rate in (0.0, -1.0, float("nan"), float("inf"), 1e9):
        body = struct.pack("<f", rate) + whole[-(6 + 2 * 21 * 16) :]
        assert pose_files.read(_file(tmp_path, body=body)).rate == 30.0
    assert pose_files.read(_file(tmp_path)).rate == 25.0
