"""Videos: drawn films are tracked, read on the command line, and drawn over."""

import base64
import pathlib
import resource
import sys
import zlib

import numpy as np
import psutil
import pytest
from PIL import Image, ImageSequence

from aslx import errors
from aslx.inputs import clip_features, image_features, input_kinds, phrase_features
from aslx.models import cnn, keypoints, signs
from aslx.predict import __main__ as predict
from aslx.readers import video
from aslx.schema import landmarks
from aslx.tasks import classification
from tests import person, tiny, tiny_runs

pytestmark = pytest.mark.long

ROOT = pathlib.Path(__file__).parent.parent.parent
NAMES = ("cat", "dog", "owl")


@pytest.fixture(scope="module")
def transcriber(dataset, tmp_path_factory) -> pathlib.Path:
    cfg = tiny.cfg(dataset, features=phrase_features.Modern(max_frames=32))
    return tiny_runs.untrained(cfg, tmp_path_factory.mktemp("transcriber"))


def classifier(dataset, workdir, **changes) -> pathlib.Path:
    task = classification.Task(classes=3, names=NAMES)
    return tiny_runs.untrained(tiny.cfg(dataset, task=task, **changes), workdir)


def test_a_drawn_person_is_found_in_a_film(film, track):
    frames = len(track.values)
    assert track.values.shape == (frames, landmarks.KEYPOINTS)
    assert track.points.shape == (frames, 543, 3)
    assert (track.width, track.height) == (person.WIDTH, person.HEIGHT)
    assert track.rate == pytest.approx(person.RATE)
    np.testing.assert_allclose(track.seconds, np.arange(frames) / person.RATE, atol=1e-3)
    points = landmarks.ALL.indices("pose_0", "face_1", "right_hand_0", "left_hand_0")
    found = np.isfinite(track.points[:, points, 0]).sum(0)
    assert found[0] == found[1] == frames  # Pose and face in every frame.
    assert found[2] >= frames / 2 and found[3] == 0
    assert track.hands.sum() == found[2]


def test_points_are_where_the_schema_names_them(track):
    def at(*names):
        return track.points[track.hands][:, landmarks.ALL.indices(*names), :2]

    # The pose's right wrist is also the right hand's, and its nose the tip of the face mesh's.
    pose, others = at("pose_16", "pose_0"), at("right_hand_0", "face_1")
    assert np.linalg.norm(pose - others, axis=-1).max() < 0.06
    # The left ear is at the picture's right; feet are below the shoulders.
    assert (at("pose_7", "face_454")[..., 0] > at("pose_8", "face_234")[..., 0]).all()
    assert (at("pose_27")[..., 1] > at("pose_11")[..., 1]).all()


def test_every_kind_of_clip_can_be_made_from_a_film(track):
    points = landmarks.of_parts(("right_hand", "pose"))
    for source in (input_kinds.Columns(points), input_kinds.Frames(points)):
        clip = source.tracked(track.values)
        assert clip.shape == (len(track.values), len(points.points), 3)
        expected = track.points[:, landmarks.ALL.indices("right_hand_0")]
        np.testing.assert_array_equal(clip[:, points.indices("right_hand_0")], expected)
    for face, width in ((True, landmarks.KEYPOINTS), (False, landmarks.KEYPOINTS_NO_FACE)):
        clip = input_kinds.Keypoints(face).tracked(track.values)
        assert clip.shape[1] == width and not np.isnan(clip).any()
        visibility = clip[:, :132].reshape(-1, 33, 4)[..., 3]
        assert ((visibility >= 0) & (visibility <= 1)).all() and visibility.max() > 0.9
        left_hand = clip[:, -126:-63]
        assert (left_hand == 0).all()  # Zeros where it was lost.
        selection, drawn = input_kinds.Keypoints(face).points(clip)
        right = selection.part("right_hand")
        np.testing.assert_allclose(drawn[:, right], track.points[:, right], atol=1e-6)


def test_only_what_the_model_reads_of_a_film_is_kept(film, track):
    source = input_kinds.Columns(landmarks.HOLISTIC130)
    less = video.track(film, take=source.tracked)
    np.testing.assert_array_equal(less.values, source.tracked(track.values))
    assert less.values.nbytes / len(less.values) < 2000
    assert (less.hands == track.hands).all() and (less.seconds == track.seconds).all()


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


@pytest.mark.slow
def test_clip_classifiers_read_films_too(run, film, wall, dataset, tmp_path):
    for name, features, model in (
        ("signs", clip_features.Signs(), signs.Config(dim=16)),
        ("keypoints", clip_features.Keypoints(), keypoints.Config()),
    ):
        workdir = classifier(dataset, tmp_path / name, features=features, model=model)
        line, silent = run(predict, "--workdir", workdir, film, wall).lines()
        assert line["class"] in NAMES and line["probability"] > 0.3
        assert silent["class"] == "" and silent["note"].startswith("no hand")


def test_a_model_of_images_refuses_films(run, film, dataset, tmp_path):
    features = image_features.Image(height=16, width=16, size=16)
    workdir = classifier(dataset, tmp_path, features=features, model=cnn.Config())
    assert "this model reads images" in run(predict, "--workdir", workdir, film).refusal()


AV1 = (  # A grey frame of 16 x 16 pixels, compressed.
    "c-oCpu};G<5WTdOs7eJHI)Kz6l{&Cgq7{rtNGu%~SYTptdyX2_Zlc(=1QYy6B_=jLf`Jd<3z*pv15-Jtsp7V"
    "PIN82u-@7}X&j1jF`X-4~ECEVjH8Y1@(mk0Rb?NL)#<2kaA<YP3Mau8AAb4O$A>Jx$eSZpnN{L2Cr)*64T93"
    "1w<sYKqhUb6s`uPNCbJU7-lMAIC4=jAWM~M+55J+6F{eWf#E?=@uXM`eMT1<r8WnR%f?z0IBZaLnCj3yz0hL"
    "KrN_nK{7*qWH~(79B7nu=h7Jzwd8ApE4XLWeW6jr-*(Y|%dSN%xnG-E(G!frthymK|og8y<V}xn0S0b`N!^)"
    "vVXU*XIY^5vqj|7g-uVVJgXU+SwTBG=I>o*JUiFv&V*lSFyNBH4InJi#TMv&29U|*)T5n<sH%|Q`ELe$C78-"
    "O3Q5sH8EvLBHZGt(W2|sFy*#eEs0FKCHA&`c&4vtYn^=q<cVbI"
)


FAULTS = {
    "missing": (lambda film, path: None, "there is no file"),
    "empty": (lambda film, path: path.touch(), "no video that can be read"),
    "a text": (lambda film, path: path.write_text("hello\n" * 99), "no video that can be read"),
    "cut": (person.cut, "no video that can be read"),
    "of AV1": (
        lambda film, path: path.write_bytes(zlib.decompress(base64.b85decode(AV1))),
        "it is coded as AV1; convert it, as by ffmpeg -i",
    ),
    "an image": (
        lambda film, path: Image.new("RGB", (9, 9)).save(path, "PNG"),
        "is an image, and this model reads parquet files of landmarks and .pose files and videos",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_is_no_film_gives_one_clear_line(run, fault, film, transcriber, tmp_path):
    spoil, words = FAULTS[fault]
    path = tmp_path / "clip.mp4"
    spoil(film, path)
    said = run(predict, "--workdir", transcriber, path).refusal()
    assert words in said and str(path) in said


def test_films_are_known_by_their_contents_and_not_by_their_names(film, tmp_path):
    starts = {
        "a.3gp": b"\0\0\0\x18ftyp3gp4",
        "a.ts": (b"\x47" + bytes(187)) * 3,
        "a.mts": (bytes(4) + b"\x47" + bytes(187)) * 3,
        "a.flv": b"FLV\x01",
        "a.gif": b"GIF89a",
        "film": film.read_bytes()[:100],
    }
    for name, start in starts.items():
        (tmp_path / name).write_bytes(start)
        assert video.is_video(tmp_path / name), name
    (tmp_path / "x.mp4").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert not video.is_video(tmp_path / "x.mp4") and video.is_video(tmp_path / "none.mts")


@pytest.mark.parametrize("way", person.SEEN)
def test_a_film_is_turned_upright_however_the_phone_was_held(way, wall, tmp_path):
    y, x = np.mgrid[:96, :64]
    stored = np.stack([2 * x, 2 * y, 255 - x - y], -1).astype(np.uint8)  # Four different corners.
    video.write(tmp_path / "stored.mp4", iter([stored] * 3), 30, 64, 96)
    person.turned(tmp_path / "stored.mp4", tmp_path / "phone.mp4", way)
    shown = person.SEEN[way][1](stored)
    with video.pictures(tmp_path / "phone.mp4") as pictures:
        for picture in pictures:
            assert picture.shape == shown.shape
            assert np.abs(picture.astype(int) - shown).mean() < 6


def test_a_killed_worker_is_no_fault_of_the_film(wall):
    with (
        pytest.raises(errors.Unavailable, match="killed, perhaps for lack of memory"),
        video.pictures(wall),
    ):
        workers = [p for p in psutil.Process().children() if "pictures" in p.cmdline()]
        workers[0].kill()


def test_a_film_that_cannot_be_written_completely_is_refused_and_does_not_appear(tmp_path, wall):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    frames = (np.random.default_rng(i).integers(0, 255, (96, 96, 3), np.uint8) for i in range(60))
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limit[1]))
    try:
        with pytest.raises(errors.BadInput):
            video.write(tmp_path / "x.mp4", frames, 30, 96, 96)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert not list(tmp_path.iterdir())


def test_a_film_that_ends_early_is_damaged(film, tmp_path):
    frames = [np.roll(person.picture(), 9 * i, 1) for i in range(60)]
    path = tmp_path / "long.mp4"
    video.write(path, iter(frames), 30, person.WIDTH, person.HEIGHT)
    raw = path.read_bytes()
    pictures, end = raw.index(b"mdat"), raw.index(b"moov") - 8
    begin = pictures + (len(raw) - pictures) // 4
    path.write_bytes(raw[:begin] + bytes(end - begin) + raw[end:])
    with pytest.raises(ValueError, match="damaged: it ends after"), video.pictures(path) as rest:
        list(rest)


@pytest.mark.parametrize("fps, frames", [(None, 30), (15, 15), (60, 60), (10, 10)])
def test_all_frames_are_read_or_those_of_a_given_rate(fps, frames, wall, tmp_path):
    shades = [np.full((64, 64, 3), 8 * i, np.uint8) for i in range(30)]
    path = tmp_path / "shades.mp4"
    video.write(path, iter(shades), 30, 64, 64)
    with video.pictures(path, fps) as pictures:
        seen = np.array([picture.mean() for picture in pictures])
    at = (np.arange(frames) + 0.5) / (fps or 30)  # As on the live page.
    np.testing.assert_allclose(seen, 8 * np.floor(at * 30 + 1e-6), atol=4)  # Shades are 8 apart.


def test_an_impossible_rate_is_refused(run, film, transcriber):
    said = run(predict, "--workdir", transcriber, film, "--fps", 0).refusal()
    assert "--fps 0: needs 1 to 240" in said


def test_one_line_says_that_mediapipe_cannot_be_installed(run, monkeypatch, transcriber, tmp_path):
    path = tmp_path / "clip.mp4"
    path.touch()
    nowhere = {"XDG_CACHE_HOME": str(tmp_path), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}
    for name, value in nowhere.items():
        monkeypatch.setenv(name, value)
    done = run(predict, "--workdir", transcriber, path)
    last = done.err.splitlines()[-1]
    assert done.status == 75 and last.startswith("error: MediaPipe 0.10.14 cannot be set up; it ne")
    assert not list((tmp_path / "aslx").glob("*mediapipe*"))
    monkeypatch.setattr(sys, "version_info", (3, 13, 0))
    said = run(predict, "--workdir", transcriber, path).refusal()
    assert "Python 3.9 to 3.12, and this is 3.13" in said


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


def test_an_overlay_can_be_a_gif_with_the_films_speed(run, film, track, transcriber, tmp_path):
    path = tmp_path / "over.gif"
    run(predict, "--workdir", transcriber, film, "--overlay", path).lines()
    with Image.open(path) as image:
        frames = ImageSequence.Iterator(image)
        seconds = sum(frame.info["duration"] for frame in frames) / 1000
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
def test_an_impossible_overlay_is_refused_at_once(run, files, out, words, tmp_path):
    assert words in run(predict, "--workdir", tmp_path, "--overlay", out, *files).refusal()
