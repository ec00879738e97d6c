"""A training step beside Keras' on the same machine."""

import json
import sys

import pytest

from aslx import cli
from benchmarks import keras_peers, train_step


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        ("fingerspelling_lstm", 74_562),
        ("fingerspelling_transformer", 4_132_062),
        ("keypoint_lstm", 596_774),
        ("asl_alphabet_cnn", 656_733),
        pytest.param("sign_mnist_resnet50", 3_690_008, marks=pytest.mark.slow),
        pytest.param("asl_alphabet_resnet50", 26_752_541, marks=pytest.mark.slow),
    ],
)
def test_keras_trains_as_many_parameters_as_the_seeds(config, parameters):
    import keras

    model, *_ = keras_peers.PEERS[config](keras)
    assert sum(weight.shape.num_elements() for weight in model.trainable_weights) == parameters


def test_a_race_has_a_line_for_each_and_ratios_to_ours(monkeypatch, capsys):
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
