"""The command predict, given files that the model does not read."""

import io
import json
import pathlib
import sys

import numpy as np
import pytest
from PIL import Image

from aslx.inputs import clip_features, image_features
from aslx.models import cnn, keypoints
from aslx.predict import __main__ as predict
from aslx.tasks import classification
from tests import tiny, tiny_runs

NAMES = ("cat", "dog", "owl")


def classifier(dataset, workdir, **changes) -> pathlib.Path:
    """An untrained classifier of these features and this model."""
    task = classification.Task(classes=3, names=NAMES)
    return tiny_runs.untrained(tiny.cfg(dataset, task=task, **changes), workdir)


def of_images(dataset, workdir) -> pathlib.Path:
    features = image_features.Image(height=16, width=16, size=16)
    return classifier(dataset, workdir, features=features, model=cnn.Config())


@pytest.fixture(scope="module")
def images(dataset, tmp_path_factory) -> pathlib.Path:
    return of_images(dataset, tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def clips(dataset, tmp_path_factory) -> pathlib.Path:
    features, model = clip_features.Keypoints(face=False), keypoints.Config(units=(4,))
    return classifier(dataset, tmp_path_factory.mktemp("clips"), features=features, model=model)


@pytest.fixture
def picture(tmp_path) -> pathlib.Path:
    path = tmp_path / "hand.png"
    Image.fromarray(np.full((9, 9, 3), 90, np.uint8)).save(path)
    return path


def test_files_after_one_that_cannot_be_read_are_read(run, images, picture, tmp_path):
    cut, missing = tmp_path / "cut.png", tmp_path / "none.jpg"
    cut.write_bytes(picture.read_bytes()[:30])
    files = (picture, cut, picture, missing, picture)
    done = run(predict, "--workdir", images, *files)
    assert done.status == 2
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [line["file"] for line in lines] == list(map(str, files))
    assert ["error" in line for line in lines] == [False, True, False, True, False]
    assert all(line["class"] in NAMES for line in lines[::2])
    said = done.err.splitlines()
    assert said == [f"error: {line['error']}" for line in lines if "error" in line]
    assert "cut.png is no image" in said[0] and "none.jpg is not there" in said[1]


def test_a_file_of_another_kind_is_called_what_it_is(run, images, clips, picture, tmp_path):
    files = {
        "hand.mp4": (picture.read_bytes(), "is an image, and this model reads folders of frames"),
        "x.pose": (b"\0\0\0\0", "is a .pose file of landmarks, and this model reads"),
        "x.parquet": (b"PAR1", "is a parquet file, and this model reads"),
        "x.npy": (b"<html>", "is a web page, not the file that it links to"),
    }
    paths = [tmp_path / name for name in files]
    for path in paths:
        path.write_bytes(files[path.name][0])
    done = run(predict, "--workdir", clips, *paths)
    assert done.status == 2
    for line, (_, words) in zip(done.err.splitlines(), files.values(), strict=True):
        assert words in line
    (tmp_path / "x.npy").unlink()
    np.save(tmp_path / "x.npy", np.zeros((3, 258)))
    done = run(predict, "--workdir", images, tmp_path, tmp_path / "x.npy")
    folder, array = done.err.splitlines()
    assert "is a folder, and this model reads images" in folder
    assert "is a NumPy array, and this model reads images" in array


def test_a_folder_of_frames_is_read_whatever_its_frames_are_called(run, clips, tmp_path):
    for i in range(3):
        np.save(tmp_path / f"frame_{i:02d}.npy", np.full(258, i / 9))
    (tmp_path / "._frame_00.npy").write_bytes(b"\0\5\x16\7")
    (line,) = run(predict, "--workdir", clips, tmp_path).lines()
    assert line["class"] in NAMES
    (tmp_path / "frame_01.npy").unlink()
    assert "has no frame_01.npy" in run(predict, "--workdir", clips, tmp_path).refusal()


def test_a_user_who_is_asked_for_files_may_name_a_bad_one(run, images, picture, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"none.png\n{picture}\nx\n"))
    done = run(predict, "--workdir", images)
    assert done.status == 0 and done.err == ""
    assert "error: none.png is not there" in done.out and '"class"' in done.out
