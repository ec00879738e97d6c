"""The classifiers: prepared, trained, tested, exported and asked, by the commands themselves."""

import json
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from aslx import config
from aslx.describe import __main__ as describe
from aslx.export import conversion, tflite
from aslx.readers import sign_mnist_csv
from aslx.runs import opening, partition

ROOT = pathlib.Path(__file__).parent.parent


def run(module: str, *args: object, stdin: str = "") -> subprocess.CompletedProcess:
    words = [sys.executable, "-m", f"aslx.{module}", *map(str, args)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, input=stdin)


def result(module: str, *args: object) -> dict:
    """The JSON that a command ends with."""
    done = run(module, *args)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "name, options, parameters",
    [
        ("keypoint_lstm", ("--task.classes", "5"), 596_741),
        ("keypoint_lstm", ("--task.classes", "6"), 596_774),
        ("keypoint_lstm", ("--features.no-face",), 237_350),
        ("sign_mnist_resnet50", (), 3_690_008),
        ("sign_mnist_resnet50_upright", (), 3_690_008),
        ("asl_alphabet_cnn", (), 656_733),
        ("asl_alphabet_cnn_few", (), 656_733),
        ("asl_alphabet_resnet50", (), 26_752_541),
    ],
)
def test_a_seed_has_exactly_its_parameters(name, options, parameters):
    cfg = config.load(ROOT / "configs" / f"{name}.py", options)
    trained, _ = partition.split_frozen(jax.eval_shape(lambda: opening.network(cfg)))
    assert describe.sizes(trained) == parameters


def test_the_isolated_sign_network_has_1_8_million_parameters():
    cfg = config.load(ROOT / "configs" / "isolated_signs.py")
    assert 1.8e6 < describe.sizes(jax.eval_shape(lambda: opening.network(cfg))) < 1.95e6


def test_the_letters_of_sign_mnist_leave_out_j_and_z():
    assert [sign_mnist_csv.letter_of(i) for i in (0, 8, 10, 24)] == ["A", "I", "K", "Y"]
    assert sign_mnist_csv.LETTERS[9] == "K" and len(sign_mnist_csv.LETTERS) == 24
    for label in (9, 25):
        with pytest.raises(ValueError, match="without a movement"):
            sign_mnist_csv.letter_of(label)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> pathlib.Path:
    """Three classes of 20 squares each: dark, bright, and black above white."""
    source, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for name, levels in {"dark": (40, 40), "bright": (200, 200), "split": (10, 240)}.items():
        (source / name).mkdir()
        for i in range(20):
            pixels = np.repeat(np.array(levels), 20)[:, None] + rng.normal(0, 9, (40, 40))
            grey = np.clip(pixels, 0, 255).astype(np.uint8)
            Image.fromarray(grey).convert("RGB").save(source / name / f"{i}.png")
    return source


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory) -> pathlib.Path:
    out = tmp_path_factory.mktemp("classifier")
    where = ("--source", pictures, "--out", out / "data")
    made = result("prepare", "image_folder", *where, "--size", 16)
    assert made["clips"] == {"train": 42, "validation": 6, "test": 12}
    size = [x for name in ("height", "width", "size") for x in (f"--features.{name}", 16)]
    rest = (
        "--data.path",
        out / "data",
        "--task.classes",
        3,
        "--epochs",
        8,
        "--optim.peak-lr",
        0.003,
    )
    into = ("--config", "configs/asl_alphabet_cnn.py", "--workdir", out / "run")
    result("train", *into, *size, *rest, "--data.batching.rows", 8, "--microbatches", 8)
    return out


def test_a_trained_classifier_is_evaluated_with_figures(trained):
    workdir = trained / "run"
    scores = result("evaluate", "--workdir", workdir)
    assert scores["clips"] == 12 and scores["score"] > 0.9 and scores["top5"] == 1.0
    assert {"precision", "recall", "score_low", "score_high"} <= scores.keys()
    out = workdir / "evaluation-test"
    assert (out / "classes.csv").read_text().splitlines()[0] == "class,precision,recall,f1,clips"
    assert len((out / "classes.csv").read_text().splitlines()) == 4
    result("evaluate", "--workdir", workdir, "--split", "train")
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
    file = pictures / "split" / "3.png"
    given = result("predict", file, "--workdir", trained / "run")
    assert given["class"] == "split" and given["probability"] > 0.5
    done = run("predict", "--workdir", trained / "run", stdin=f"none.png\n{file}\nx\n")
    assert done.returncode == 0 and "error: none.png is not there" in done.stdout
    (answer,) = (line for line in done.stdout.splitlines() if "{" in line)
    assert json.loads(answer[answer.index("{") :]) == given


def test_a_data_set_of_other_classes_is_refused(trained, pictures, tmp_path):
    size = [x for name in ("height", "width", "size") for x in (f"--features.{name}", 16)]
    into = ("--config", ROOT / "configs/asl_alphabet_cnn.py", "--workdir", tmp_path / "run")
    done = run("train", *into, *size, "--data.path", trained / "data")
    assert done.returncode == 2 and "--task.classes 3" in done.stderr


def test_a_damaged_picture_is_named(pictures, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "source" / name).mkdir(parents=True)
        (tmp_path / "source" / name / "x.jpg").write_bytes(b"no picture")
    done = run("prepare", "image_folder", "--source", tmp_path / "source", "--out", tmp_path / "o")
    assert done.returncode == 2 and "x.jpg is no image that can be read" in done.stderr
    assert not (tmp_path / "o").exists()
    one = tmp_path / "one" / "only"
    one.mkdir(parents=True)
    (one / "x.jpg").write_bytes(b"no picture")
    done = run("prepare", "image_folder", "--source", one.parent, "--out", tmp_path / "o")
    assert done.returncode == 2 and "1 class(es) (only): needs two" in done.stderr


def test_cutouts_are_for_training_alone(pictures, tmp_path):
    """The files of those who predict have none."""
    where = ("--source", pictures, "--out", tmp_path / "data", "--size", 40, "--validation", 0)
    assert result("prepare", "image_folder", *where, "--cutouts")["clips"]["train"] == 48
    assert (tmp_path / "data" / "figures" / "cutouts.png").stat().st_size > 1000
    size = [x for name in ("height", "width", "size") for x in (f"--features.{name}", 40)]
    into = ("--config", "configs/asl_alphabet_cnn_few.py", "--workdir", tmp_path / "run")
    data = ("--data.path", tmp_path / "data", "--task.classes", 3, "--epochs", 2)
    assert result("train", *into, *size, *data)["clips"] == 48
    assert result("export", "--workdir", tmp_path / "run")["same_text"] == 1.0
    file = pictures / "split" / "3.png"
    assert "class" in result("predict", file, "--workdir", tmp_path / "run")


def test_to_paste_hands_they_have_to_be_cut_out_first(trained, tmp_path):
    size = [x for name in ("height", "width", "size") for x in (f"--features.{name}", 16)]
    into = ("--config", "configs/asl_alphabet_cnn_few.py", "--workdir", tmp_path / "run")
    done = run("train", *into, *size, "--data.path", trained / "data", "--task.classes", 3)
    assert done.returncode == 2 and "no cutouts: prepare them with --cutouts" in done.stderr


def test_a_network_of_windows_is_exported_with_all_of_them_and_the_local_contrast():
    small = ("--features.height", "20", "--features.width", "20", "--features.size", "20")
    cfg = config.load(ROOT / "configs" / "asl_alphabet_cnn_few.py", small)
    model = opening.network(cfg)
    answer = tflite.runner(conversion.convert(cfg, model, "none"))
    for seed in range(3):
        image = np.random.default_rng(seed).integers(0, 256, (20, 20, 3)).astype(np.float32)
        expected = cfg.task.predict(model, *cfg.features(jnp.asarray(image)[None]))[0]
        np.testing.assert_allclose(answer(inputs=image)["outputs"], expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["keypoint_lstm", "isolated_signs"])
def test_an_exported_classifier_answers_hostile_clips_of_any_length(name):
    cfg = config.load(ROOT / "configs" / f"{name}.py", ("--task.classes", "3"))
    answer = tflite.runner(conversion.convert(cfg, opening.network(cfg), "none"))
    _, *rest = cfg.features.source.shape
    for t in (0, 1, 2, 30, 31, 128, 129, 2000):
        for value in (np.nan, 0.0, 1e4):
            scores = answer(inputs=np.full((t, *rest), value, np.float32))["outputs"]
            assert scores.shape == (3,) and np.isclose(scores.sum(), 1, atol=1e-3), (t, value)
