"""Videos on the command line: drawn films, tracked, read and drawn over."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from aslx import (
    clip_features,
    features,
    image_features,
    landmarks,
    predict,
    sources,
    video,
)
from aslx.data import fields
from aslx.models import cnn, keypoints, signs
from aslx.tasks import classification
from tests import person, runs, tiny

ROOT = pathlib.Path(__file__).parent.parent
NAMES = ("cat", "dog", "owl")


@pytest.fixture(scope="module")
def transcriber(dataset, tmp_path_factory) -> pathlib.Path:
    cfg = tiny.cfg(dataset, features=features.Modern(max_frames=32))
    return runs.untrained(cfg, tmp_path_factory.mktemp("transcriber"))


def classifier(dataset, workdir, **changes) -> pathlib.Path:
    task = classification.Task(classes=3, names=NAMES)
    return runs.untrained(tiny.cfg(dataset, task=task, **changes), workdir)


def test_a_drawn_person_is_found_in_a_film(film, track):
    frames = len(track.values)
    assert track.values.shape == (frames, fields.KEYPOINTS) and track.points.shape[1:] == (543, 3)
    assert (track.width, track.height) == (person.WIDTH, person.HEIGHT)
    assert track.rate == pytest.approx(person.RATE)
    np.testing.assert_allclose(track.seconds, np.arange(frames) / person.RATE, atol=1e-3)
    points = landmarks.ALL.indices("pose_0", "face_1", "right_hand_0", "left_hand_0")
    found = np.isfinite(track.points[:, points, 0]).sum(0)
    assert found[0] == found[1] == frames  # Pose and face in every frame.
    assert found[2] >= frames / 2 and found[3] == 0
    assert track.hands.sum() == found[2]


def test_the_points_stand_where_the_schema_names_them(track):
    def at(*names):
        return track.points[track.hands][:, landmarks.ALL.indices(*names), :2]

    # The pose's right wrist is the right hand's, and its nose is the face mesh's tip.
    pose, others = at("pose_16", "pose_0"), at("right_hand_0", "face_1")
    assert np.linalg.norm(pose - others, axis=-1).max() < 0.06
    # Ears: left is at the picture's right; feet are below the shoulders.
    assert (at("pose_7", "face_454")[..., 0] > at("pose_8", "face_234")[..., 0]).all()
    assert (at("pose_27")[..., 1] > at("pose_11")[..., 1]).all()


def test_every_source_of_clips_takes_a_film(track):
    points = landmarks.of_parts(("right_hand", "pose"))
    for source in (sources.Columns(points), sources.Frames(points)):
        clip = source.tracked(track.values)
        assert clip.shape == (len(track.values), len(points.points), 3)
        wrist = clip[:, points.indices("right_hand_0")[0]]
        np.testing.assert_array_equal(
            wrist, track.points[:, landmarks.ALL.indices("right_hand_0")[0]]
        )
    for face, width in ((True, fields.KEYPOINTS), (False, fields.KEYPOINTS_NO_FACE)):
        clip = sources.Keypoints(face).tracked(track.values)
        assert clip.shape[1] == width and not np.isnan(clip).any()
        visibility = clip[:, :132].reshape(-1, 33, 4)[..., 3]
        assert ((visibility >= 0) & (visibility <= 1)).all() and visibility.max() > 0.9
        left_hand = clip[:, -126:-63]
        assert (left_hand == 0).all()  # Zeros where it was lost.
        selection, drawn = sources.Keypoints(face).points(clip)
        right = selection.part("right_hand")
        np.testing.assert_allclose(drawn[:, right], track.points[:, right], atol=1e-6)


def test_a_film_is_read_on_the_command_line(run, film, transcriber, track):
    (line,) = run(predict, "--workdir", transcriber, film).lines()
    assert line.pop("text") is not None and 0 <= line.pop("confidence") <= 1
    assert line == {
        "file": str(film),
        "sequence_id": film.name,
        "frames": len(track.values),
        "frames_with_a_hand": int(track.hands.sum()),
    }


def test_a_film_without_hands_gives_empty_text_and_says_so(run, wall, transcriber):
    (line,) = run(predict, "--workdir", transcriber, wall).lines()
    assert line["text"] == "" and line["frames_with_a_hand"] == 0
    assert line["note"] == "no hand was found in any of 6 frames"


def test_clip_classifiers_read_films_too(run, film, wall, dataset, tmp_path):
    seen = classifier(
        dataset, tmp_path / "signs", features=clip_features.Signs(), model=signs.Config(dim=16)
    )
    values = classifier(
        dataset, tmp_path / "keys", features=clip_features.Keypoints(), model=keypoints.Config()
    )
    for workdir in (seen, values):
        line, silent = run(predict, "--workdir", workdir, film, wall).lines()
        assert line["class"] in NAMES and line["probability"] > 0.3
        assert silent["class"] == "" and silent["note"].startswith("no hand")


def test_a_model_of_images_says_that_it_takes_no_film(run, film, dataset, tmp_path):
    workdir = classifier(
        dataset,
        tmp_path,
        features=image_features.Image(height=16, width=16, size=16),
        model=cnn.Config(),
    )
    assert "this model reads images" in run(predict, "--workdir", workdir, film).refusal()


FAULTS = {
    "missing": (lambda film, path: None, "there is no file"),
    "empty": (lambda film, path: path.touch(), "no video that can be read"),
    "a text": (lambda film, path: path.write_text("hello\n" * 99), "no video that can be read"),
    "cut": (person.cut, "no video that can be read"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_no_film_is_one_clear_line(run, fault, film, transcriber, tmp_path):
    spoil, words = FAULTS[fault]
    path = tmp_path / "clip.mp4"
    spoil(film, path)
    said = run(predict, "--workdir", transcriber, path).refusal()
    assert words in said and str(path) in said


def test_a_film_that_ends_early_is_damaged(film, tmp_path):
    frames = [np.roll(person.picture(), 9 * i, 1) for i in range(60)]
    path = tmp_path / "long.mp4"
    video.write(path, iter(frames), 30, person.WIDTH, person.HEIGHT)
    raw = bytearray(path.read_bytes())
    start, size = raw.index(b"mdat"), len(raw)
    raw[start + (size - start) // 4 : raw.index(b"moov") - 8] = b"\0" * (
        raw.index(b"moov") - 8 - start - (size - start) // 4
    )
    path.write_bytes(raw)
    with pytest.raises(ValueError, match="damaged: it ends after"), video.pictures(path) as rest:
        list(rest)


@pytest.mark.parametrize("fps, frames", [(None, 30), (15, 15), (60, 59), (10, 10)])
def test_frames_are_kept_as_they_are_unless_a_rate_is_asked(fps, frames, wall, tmp_path):
    shades = [np.full((64, 64, 3), 8 * i, np.uint8) for i in range(30)]
    path = tmp_path / "shades.mp4"
    video.write(path, iter(shades), 30, 64, 64)
    with video.pictures(path, fps) as pictures:
        seen = np.array([picture.mean() for picture in pictures])
    at = np.arange(frames) / (fps or 30)
    np.testing.assert_allclose(seen, 8 * np.floor(at * 30 + 1e-6), atol=4)  # Of steps of 8.


def test_a_rate_that_cannot_be_is_refused(run, film, transcriber):
    assert (
        "--fps 0: needs 1 to 240"
        in run(predict, "--workdir", transcriber, film, "--fps", 0).refusal()
    )


def test_where_mediapipe_cannot_be_installed_one_line_says_so(
    run, monkeypatch, transcriber, tmp_path
):
    path = tmp_path / "clip.mp4"
    path.touch()
    nowhere = {"XDG_CACHE_HOME": str(tmp_path), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}
    for name, value in nowhere.items():
        monkeypatch.setenv(name, value)
    done = run(predict, "--workdir", transcriber, path)
    assert done.status == 2 and "MediaPipe 0.10.14 cannot be set up" in done.err
    assert done.err.splitlines()[-1].startswith("error: ")
    assert not list((tmp_path / "aslx").glob("*mediapipe*"))


def test_an_overlay_has_every_frame_and_shows_the_skeleton(run, film, track, transcriber, tmp_path):
    path = tmp_path / "over.mp4"
    run(predict, "--workdir", transcriber, film, "--overlay", path).lines()
    with video.pictures(film) as before, video.pictures(path) as after:
        pairs = [(a.astype(int), b.astype(int)) for a, b in zip(before, after, strict=True)]
    assert len(pairs) == len(track.values)
    frame = int(np.flatnonzero(track.hands)[0])
    a, b = pairs[frame]
    points = track.points[frame, :, :2] * (person.WIDTH, person.HEIGHT)
    x, y = points[landmarks.ALL.indices("right_hand_6")[0]].round().astype(int)
    changed = np.abs(a - b).sum(-1) > 60
    assert changed[y - 3 : y + 4, x - 3 : x + 4].any() and not changed[:60].any()
    assert [p.name for p in tmp_path.iterdir()] == ["over.mp4"]


def test_an_overlay_can_be_a_gif_at_the_films_speed(run, film, track, transcriber, tmp_path):
    path = tmp_path / "over.gif"
    run(predict, "--workdir", transcriber, film, "--overlay", path).lines()
    with Image.open(path) as image:
        seconds = 0
        for i in range(image.n_frames):
            image.seek(i)
            seconds += image.info["duration"] / 1000
        assert image.width <= 360
    assert seconds == pytest.approx(len(track.values) / person.RATE, abs=0.11)


@pytest.mark.parametrize(
    "files, out, words",
    [
        (["a.mp4"], "x.avi", "ends in .mp4 or .gif"),
        (["a.mp4", "b.mp4"], "x.mp4", "needs one video"),
        (["a.parquet"], "x.mp4", "needs one video"),
    ],
)
def test_an_overlay_that_cannot_be_is_refused_at_once(run, files, out, words, tmp_path):
    assert words in run(predict, "--workdir", tmp_path, "--overlay", out, *files).refusal()
