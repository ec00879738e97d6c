"""The training command: processes, signals, and bad input."""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import time

import pytest

from aslx import evaluate
from aslx.describe import __main__ as describe
from aslx.export import __main__ as export
from aslx.predict import __main__ as predict
from aslx.runs import evaluator, trained_run
from aslx.train import lock
from tests import processes, tiny
from tests.train import runs


@pytest.fixture(scope="module")
def config_file(dataset, tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("config") / "tiny.py"
    return tiny.config_file(path, dataset, tiny.small, save_every=2, epochs=3)


def start(config_file: pathlib.Path, workdir: pathlib.Path, *more: object) -> processes.Started:
    """Starts a training in a process group of its own, as a terminal does."""
    words = processes.command("train", "--config", config_file, "--workdir", workdir, *more)
    return processes.start(words, stderr=subprocess.STDOUT, start_new_session=True)


@pytest.fixture(scope="module")
def whole(config_file, tmp_path_factory) -> pathlib.Path:
    workdir = tmp_path_factory.mktemp("whole")
    done = processes.ran("train", "--config", config_file, "--workdir", workdir)
    assert done.last()["workdir"] == str(workdir)
    return workdir


@pytest.mark.parametrize("kills", [2, pytest.param(30, marks=pytest.mark.slow)])
@pytest.mark.long
def test_a_run_that_is_killed_anywhere_ends_bit_identical_to_an_unbroken_one(
    config_file, whole, dataset, tmp_path, kills
):
    # A run is killed at a random time between its first step and its end. A run that ends before
    # it is killed completes a series, and the next run starts a new one.
    dice, done, series = random.Random(0), 0, 0
    while done < kills or series == 0:
        workdir = tmp_path / str(series)
        process = start(config_file, workdir)
        begun = time.monotonic()
        while not runs.lines(workdir) and process.poll() is None and time.monotonic() - begun < 300:
            time.sleep(0.01)
        try:
            process.wait(dice.uniform(0.0, 1.5) if done < kills else None)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            done += 1
            continue
        assert process.returncode == 0
        series += 1
        runs.assert_identical(tiny.small(dataset, save_every=2, epochs=3), workdir, whole)


@pytest.mark.slow
def test_a_run_that_is_told_to_end_saves_and_resumes_as_an_unbroken_one(
    config_file, whole, tmp_path
):
    def told(number: signal.Signals, *more: object) -> tuple[int, str]:
        """The exit status and output after a signal to all processes of the run, which arrives
        after the run has made a step."""
        process, before = start(config_file, tmp_path, *more), len(runs.lines(tmp_path))
        while len(runs.lines(tmp_path)) <= before:
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.01)
        os.killpg(process.pid, number)
        output = process.communicate(timeout=120)[0]
        assert "run the same command to go on" in output and "Traceback" not in output
        return process.returncode, output

    assert told(signal.SIGTERM)[0] == 143
    status, output = told(signal.SIGINT, "--data.workers", 1)
    assert status == 130 and "Ctrl-C: ending after this step" in output
    done = len(runs.lines(tmp_path))
    early = start(config_file, tmp_path)
    while not (tmp_path / lock.NAME).exists():
        time.sleep(0.01)
    early.send_signal(signal.SIGINT)
    output = early.communicate(timeout=60)[0]
    assert early.returncode == 130 and len(runs.lines(tmp_path)) == done, output
    (error,) = (line for line in output.splitlines() if line.startswith("error: "))
    assert error == "error: Ctrl-C before the first step: there is nothing to save"
    assert "Traceback" not in output
    last = processes.ran("train", "--config", config_file, "--workdir", tmp_path)
    assert last.status == 0 and f"--workdir {tmp_path} --split validation" in last.out
    assert runs.lines(tmp_path) == runs.lines(whole)


@pytest.mark.parametrize(
    "options, message",
    [
        (("--config", "configs/none.py", "--workdir", "RUN"), "no config file"),
        (("--config", "CONFIG"), "--workdir"),
        (("--config", "CONFIG", "--workdir", "RUN", "--optim.peek-lr", 1), "--optim.peak-lr"),
        (("--config", "CONFIG", "--workdir", "RUN", "--data.path", "RUN"), "aslx.prepare first"),
    ],
)
def test_training_says_what_is_wrong_and_leaves_nothing(
    train, config_file, tmp_path, options, message
):
    named = {"CONFIG": config_file, "RUN": tmp_path / "run"}
    done = train(*(named.get(option, option) for option in options))
    assert done.status == 2 and message in done.err and "Traceback" not in done.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", [evaluate, export, predict])
def test_a_directory_without_a_run_is_refused(run, command, tmp_path):
    assert "holds no run" in run(command, "--workdir", tmp_path).refusal()


def test_a_missing_config_is_not_described(run):
    assert "no config file" in run(describe, "--config", "configs/none.py").refusal()


def test_help_shows_the_configs_fields(train, config_file):
    assert "--optim.peak-lr" in train("--config", config_file, "--help").succeeded()


@pytest.fixture
def trained(learned, tmp_path) -> pathlib.Path:
    """A run that reads six letters, to write into."""
    return pathlib.Path(shutil.copytree(learned("ctc").workdir, tmp_path / "run"))


def test_predict_reads_the_same_texts_as_evaluate(run, trained, tmp_path):
    opened = trained_run.open_run(trained)
    evaluation = evaluator.Evaluation(opened.cfg, opened.mesh, "validation")
    expected, _ = evaluation.run(opened.model)
    clips = dict(zip(range(3), evaluation.clips(), strict=False))
    tiny.parquet(tmp_path / "clips.parquet", clips, tiny.selection(opened.cfg))
    rows = run(predict, "--workdir", trained, tmp_path / "clips.parquet").lines()
    assert [row["text"] for row in rows] == [answer.text for answer in expected[:3]]
    assert all(row["text"] for row in rows)
    assert [row["sequence_id"] for row in rows] == [0, 1, 2]


def test_evaluate_writes_scores_examples_and_figures(run, trained):
    scores = run(evaluate, "--workdir", trained, "--split", "validation").last()
    assert scores["clips"] == 8 and "unseen_signers" in scores
    out = trained / "evaluation-validation"
    assert len((out / "examples.jsonl").read_text().splitlines()) == 8
    for name in ("scores", "characters", "calibration"):
        assert (out / f"{name}.png").stat().st_size > 1000
    everything = json.loads((out / "scores.json").read_text())
    assert everything["score"] == scores["score"]
    assert sum(row["clips"] for row in everything["by_length"]) == 8
    assert 0 < everything["calibration"]["clips"]["ece"] < 1
