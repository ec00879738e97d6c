"""The benchmark of training steps, and the networks in Keras that it compares with."""

import json
import sys

import jax
import pytest

from aslx import cli, config
from aslx.describe import __main__ as describe
from aslx.runs import opening, partition
from benchmarks import keras_peers, train_step


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "fingerspelling_lstm",
        "fingerspelling_transformer",
        "keypoint_lstm",
        "asl_alphabet_cnn",
        pytest.param("sign_mnist_resnet50", marks=pytest.mark.slow),
        pytest.param("asl_alphabet_resnet50", marks=pytest.mark.slow),
    ],
)
def test_networks_in_keras_train_as_many_parameters_as_ours(name):
    import keras

    model, *_ = keras_peers.PEERS[name](keras)
    cfg = config.load(f"configs/{name}.py")
    ours, _ = partition.split_frozen(jax.eval_shape(lambda: opening.network(cfg)))
    theirs = sum(weight.shape.num_elements() for weight in model.trainable_weights)
    assert theirs == describe.sizes(ours)


@pytest.mark.slow
def test_a_race_prints_a_line_for_each_contender_with_the_ratio_to_aslx(monkeypatch, capsys):
    words = "configs/fingerspelling_lstm.py --mesh.cpu-devices 1"
    options = ("--rows", "2", "--frames", "20", "--turns", "1", "--steps", "1", "--matrix", "64")
    argv = ["train_step", words, *options, "--against", "tensorflow"]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as ended:
        cli.run(train_step.main)
    assert ended.value.code == 0
    *lines, _, _, ours, _ = capsys.readouterr().out.splitlines()
    lines = [json.loads(line) for line in lines]
    assert [line["contender"] for line in lines] == ["aslx", "keras tensorflow"]
    assert lines[0]["ratio"] == 1 and lines[0]["flops"] > 1e6 and lines[1]["flops"] == 0
    assert lines[1]["ratio"] == pytest.approx(lines[1]["step_ms"] / lines[0]["step_ms"], rel=0.02)
    assert ours.startswith(f"| `{words}` | aslx | 2 |")
