"""The accuracy that the classifiers reach on samples of real data."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from aslx.data import records
from aslx.inputs import input_kinds
from tests import processes

RESNET = "resnet50_imagenet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
pytestmark = pytest.mark.slow


def result(module: str, *args: object) -> dict:
    """The JSON object that a command prints last."""
    return processes.ran(module, *args).last()


def test_keypoint_lstm_reaches_092_on_five_stratified_splits(shared, tmp_path):
    config = ("--config", "configs/keypoint_lstm.py", "--kind", "keypoint_clips")
    source = ("--source", shared / "keypoint_clips", "--out", tmp_path)
    words = processes.python("-m", "benchmarks.splits", *config, *source)
    assert processes.run(words).last()["accuracy"] >= 0.92


def images_of(data: pathlib.Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels f32[N, D] from 0 to 1, and labels."""
    found = records.Records(data, split)
    field = input_kinds.Image(*found.metadata["size"]).field(found.metadata)
    pixels = np.stack([field.read(found[i]).reshape(-1) / 255 for i in range(len(found))])
    labels = [found[i]["label"].int64_list.value[0] for i in range(len(found))]
    return pixels.astype(np.float32), np.array(labels)


def logistic_regression(data: pathlib.Path) -> float:
    """Test accuracy of a linear model of the pixels."""
    (x, y), (x_test, y_test) = images_of(data, "train"), images_of(data, "test")
    mean = x.mean(0)

    def loss(w):
        logits = (x - mean) @ w["kernel"] + w["bias"]
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, y)
        return losses.mean() + 1e-3 * jnp.square(w["kernel"]).sum()

    tx = optax.lbfgs()
    w = {"kernel": jnp.zeros((x.shape[1], y.max() + 1)), "bias": jnp.zeros(y.max() + 1)}
    step = optax.value_and_grad_from_state(loss)

    @jax.jit
    def advance(w, state):
        value, gradient = step(w, state=state)
        updates, state = tx.update(gradient, state, w, value=value, grad=gradient, value_fn=loss)
        return optax.apply_updates(w, updates), state

    state = tx.init(w)
    for _ in range(200):
        w, state = advance(w, state)
    answers = ((x_test - mean) @ w["kernel"] + w["bias"]).argmax(1)
    return float((answers == y_test).mean())


@pytest.fixture(scope="module")
def sign_mnist(shared, tmp_path_factory) -> pathlib.Path:
    out = tmp_path_factory.mktemp("mnist") / "data"
    result("prepare", "sign_mnist", "--source", shared / "sign_mnist_sample", "--out", out)
    return out


FLIPS = pytest.mark.xfail(reason="with the baseline's flips it is no better than the regression")


@pytest.mark.parametrize(
    "name",
    [pytest.param("sign_mnist_resnet50", marks=FLIPS), "sign_mnist_resnet50_upright"],
)
def test_the_sign_mnist_network_beats_a_logistic_regression(name, sign_mnist, shared, tmp_path):
    # A hundredth of the baseline's data in as many steps needs a higher rate than its 1e-5.
    small = ("--optim.peak-lr", 3e-4, "--data.batching.rows", 64, "--epochs", 40)
    where = ("--workdir", tmp_path, "--data.path", sign_mnist, "--weights", shared / RESNET)
    config = ("--config", f"configs/{name}.py", "--eval-every", 4)
    result("train", *config, *where, *small)
    scores = result("evaluate", "--workdir", tmp_path)
    assert scores["score"] > logistic_regression(sign_mnist)
    assert result("export", "--workdir", tmp_path)["same_text"] == 1.0


def test_isolated_signs_are_scored_on_held_out_signers(shared, tmp_path):
    data, run = tmp_path / "data", tmp_path / "run"
    source = ("--source", shared / "asl_signs_sample", "--out", data)
    result("prepare", "isolated_signs", *source)
    small = ("--task.classes", 2, "--data.batching.frames", 2048, "--epochs", 10)
    where = ("--workdir", run, "--data.path", data, "--eval-every", 5)
    result("train", "--config", "configs/isolated_signs.py", *where, *small)
    scores = result("evaluate", "--workdir", run)
    assert scores["unseen_signers"] == scores["signers"] >= 2
    assert scores["score_low"] <= scores["score"] <= scores["score_high"]
    report = result("export", "--workdir", run)
    assert report["same_text"] == 1.0 and (run / "export" / "submission.zip").exists()
