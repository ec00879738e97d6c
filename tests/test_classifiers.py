"""Classifiers, prepared, trained, evaluated, exported and used by the commands."""

import json
import pathlib
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

from aslx import config, evaluate
from aslx.export import __main__ as export
from aslx.export import conversion, tflite
from aslx.predict import __main__ as predict
from aslx.prepare import __main__ as prepare
from aslx.readers import sign_mnist_csv
from tests import processes, tiny, tiny_runs

pytestmark = pytest.mark.long

SMALL = [x for name in ("height", "width", "size") for x in (f"--features.{name}", 16)]


def result(module: str, *args: object) -> dict:
    """The JSON object that a command prints last, computed as on users' machines."""
    return processes.ran(module, *args, env=processes.as_users()).last()


def test_the_letters_of_sign_mnist_leave_out_j_and_z():
    assert [sign_mnist_csv.letter_of(i) for i in (0, 8, 10, 24)] == ["A", "I", "K", "Y"]
    assert sign_mnist_csv.LETTERS[9] == "K" and len(sign_mnist_csv.LETTERS) == 24
    for label in (9, 25):
        with pytest.raises(ValueError, match="without a movement"):
            sign_mnist_csv.letter_of(label)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> pathlib.Path:
    """Three classes of 20 pictures each: dark, bright, and black above white."""
    source = tmp_path_factory.mktemp("pictures")
    tiny.pictures(source, {"dark": (40, 40), "bright": (200, 200), "split": (10, 240)}, 20)
    return source


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory) -> pathlib.Path:
    out = tmp_path_factory.mktemp("classifier")
    where = ("--source", pictures, "--out", out / "data")
    made = result("prepare", "image_folder", *where, "--size", 16)
    assert made["clips"] == {"train": 42, "validation": 6, "test": 12}
    into = ("--config", "asl_alphabet_cnn", "--workdir", out / "run", *SMALL)
    data = ("--data.path", out / "data", "--task.classes", 3, "--data.batching.rows", 8)
    result("train", *into, *data, "--cached-rows", 1, "--epochs", 8, "--optim.peak-lr", 0.003)
    return out


def test_a_trained_classifier_is_evaluated_with_figures(trained, run):
    workdir = trained / "run"
    scores = result("evaluate", "--workdir", workdir)
    assert scores["clips"] == 12 and scores["score"] > 0.9 and scores["top5"] == 1.0
    assert {"precision", "recall", "score_low", "score_high"} <= scores.keys()
    out = workdir / "evaluation-test"
    head, *rows = (out / "classes.csv").read_text().splitlines()
    assert head == "class,precision,recall,f1,clips" and len(rows) == 3
    assert run(evaluate, "--workdir", workdir, "--split", "train").status == 0
    for figure in (
        out / "confusion.png",
        workdir / "evaluation-train" / "confusion.png",
        workdir / "plots" / "accuracy.png",
        workdir / "plots" / "loss.png",
        trained / "data" / "figures" / "classes.png",
    ):
        assert figure.stat().st_size > 1000, figure


def test_the_exported_classifier_answers_as_jax_does(trained):
    report = result("export", "--workdir", trained / "run")
    assert report["clips"] == 12 and report["same_text"] == 1.0
    out = trained / "run" / "export"
    assert (out / "labels.txt").read_text().split() == ["bright", "dark", "split"]
    assert not (out / "submission.zip").exists()


def test_predict_takes_paths_or_asks_for_them_until_x(trained, pictures):
    file, workdir = pictures / "split" / "3.png", ("--workdir", trained / "run")
    given = result("predict", file, *workdir)
    assert given["class"] == "split" and given["probability"] > 0.5
    stdin = f"none.png\n{file}\nx\n"
    out = processes.ran("predict", *workdir, stdin=stdin, env=processes.as_users()).succeeded()
    assert "error: none.png is not there" in out
    (answer,) = (line for line in out.splitlines() if "{" in line)
    assert json.loads(answer[answer.index("{") :]) == given


def test_data_that_do_not_fit_the_config_are_refused(trained, train, tmp_path):
    where = ("--workdir", tmp_path / "run", "--data.path", trained / "data", *SMALL)
    assert "--task.classes 3" in train("--config", "asl_alphabet_cnn", *where).refusal()
    done = train("--config", "asl_alphabet_cnn_few", *where, "--task.classes", 3)
    assert "no cutouts: prepare them with --cutouts" in done.refusal()


def test_a_damaged_picture_is_named(run, tmp_path):
    words = ("image_folder", "--source", tmp_path / "source", "--out", tmp_path / "out")
    for name in ("a", "b"):
        (tmp_path / "source" / name).mkdir(parents=True)
        (tmp_path / "source" / name / "x.jpg").write_bytes(b"no picture")
    done = run(prepare, *words)
    assert done.status == 2 and "x.jpg is no image that can be read" in done.err
    assert not (tmp_path / "out").exists()
    shutil.rmtree(tmp_path / "source" / "b")
    done = run(prepare, *words)
    assert done.status == 2 and "1 class(es) (a): needs two" in done.err


@pytest.mark.slow
def test_cutouts_are_needed_for_training_alone(pictures, run, train, tmp_path):
    where = ("--source", pictures, "--out", tmp_path / "data", "--size", 16, "--validation", 0)
    made = run(prepare, "image_folder", *where, "--cutouts").last()
    assert made["clips"]["train"] == 48
    assert (tmp_path / "data" / "figures" / "cutouts.png").stat().st_size > 1000
    into = ("--config", "asl_alphabet_cnn_few", "--workdir", tmp_path / "run", *SMALL)
    data = ("--data.path", tmp_path / "data", "--task.classes", 3, "--epochs", 2)
    assert train(*into, *data).last()["clips"] == 48
    assert run(export, "--workdir", tmp_path / "run").last()["same_text"] == 1.0
    file = pictures / "split" / "3.png"
    assert "class" in run(predict, file, "--workdir", tmp_path / "run").last()


def test_a_network_of_windows_is_exported_with_every_window_and_the_local_contrast():
    small = ("--features.height", "20", "--features.width", "20", "--features.size", "20")
    cfg = config.load("asl_alphabet_cnn_few", small)
    model = tiny_runs.network(cfg)
    answer = tflite.runner(conversion.convert(cfg, model, "none"))
    for seed in range(3):
        image = np.random.default_rng(seed).integers(0, 256, (20, 20, 3)).astype(np.float32)
        expected = cfg.task.predict(model, *cfg.features(jnp.asarray(image)[None]))[0]
        np.testing.assert_allclose(answer(inputs=image)["outputs"], expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["keypoint_lstm", "isolated_signs"])
def test_an_exported_classifier_answers_clips_of_any_length_and_value(name):
    cfg = config.load(name, ("--task.classes", "3"))
    answer = tflite.runner(conversion.convert(cfg, tiny_runs.network(cfg), "none"))
    rest = [int(size) for size in cfg.features.source.shape[1:]]
    for t in (0, 1, 2, 30, 31, 128, 129, 2000):
        for value in (np.nan, 0.0, 1e4):
            scores = answer(inputs=np.full((t, *rest), value, np.float32))["outputs"]
            assert scores.shape == (3,) and np.isclose(scores.sum(), 1, atol=1e-3), (t, value)
