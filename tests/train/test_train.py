"""The training command: real processes, real signals, one line for bad input."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from aslx.checkpoints import checkpoint, stored
from aslx.schema import landmarks
from aslx.train import lock, logs, setup
from tests import tiny

ROOT = pathlib.Path(__file__).parent.parent.parent
CONFIG = """
import pathlib
from tests import tiny
def get_config():
    return tiny.cfg(pathlib.Path({path!r}), save_every=2, epochs=3)
"""


@pytest.fixture(scope="module")
def config_file(dataset, tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("config") / "tiny.py"
    path.write_text(CONFIG.format(path=str(dataset)))
    return path


def command(module: str, *args: object) -> list[str]:
    return [sys.executable, "-m", f"aslx.{module}", *map(str, args)]


def run(module: str, *args: object) -> subprocess.CompletedProcess:
    return subprocess.run(command(module, *args), cwd=ROOT, capture_output=True, text=True)


def start(config_file: pathlib.Path, workdir: pathlib.Path, *more: object) -> subprocess.Popen:
    """In a process group of its own, as a terminal starts it."""
    args = command("train", "--config", config_file, "--workdir", workdir, *more)
    return subprocess.Popen(
        args,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def lines(workdir: pathlib.Path) -> list[dict]:
    found = logs.read(workdir / "metrics.jsonl")
    return [{k: v for k, v in line.items() if k != "seq_per_s"} for line in found]


def arrays(dataset: pathlib.Path, workdir: pathlib.Path) -> dict[str, np.ndarray]:
    s = setup.of(tiny.cfg(dataset, save_every=2, epochs=3))
    with checkpoint.Checkpoints(workdir / "checkpoints") as saved:
        found = saved.restore_latest(s.abstract)
    assert found is not None
    return {k: np.asarray(v) for k, v in stored.flatten(found[0]).items()}


@pytest.fixture(scope="module")
def whole(config_file, tmp_path_factory) -> pathlib.Path:
    workdir = tmp_path_factory.mktemp("whole")
    done = run("train", "--config", config_file, "--workdir", workdir)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["workdir"] == str(workdir)
    return workdir


@pytest.mark.parametrize("kills", [5, pytest.param(30, marks=pytest.mark.slow)])
def test_a_run_killed_anywhere_ends_as_the_unbroken_one_to_the_bit(
    config_file, whole, dataset, tmp_path, kills
):
    # The waits start where a run has begun to step and reach past its end: saving included. Every
    # run that gets to its end ends one series; a new one begins.
    dice, done, series = random.Random(0), 0, 0
    while done < kills or series == 0:
        workdir = tmp_path / str(series)
        process = start(config_file, workdir)
        begun = time.monotonic()
        while not lines(workdir) and process.poll() is None and time.monotonic() - begun < 300:
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
        assert lines(workdir) == lines(whole)
        a, b = arrays(dataset, workdir), arrays(dataset, whole)
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_a_run_that_is_told_to_end_saves_and_goes_on_as_the_unbroken_one(
    config_file, whole, tmp_path
):
    def told(number: signal.Signals, *more: object) -> tuple[int, str]:
        """What comes of a signal to all of the run's processes, after a further step of it."""
        process, before = start(config_file, tmp_path, *more), len(lines(tmp_path))
        while len(lines(tmp_path)) <= before:
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.01)
        os.killpg(process.pid, number)
        output = process.communicate(timeout=120)[0]
        assert "run the same command to go on" in output and "Traceback" not in output
        return process.returncode, output

    assert told(signal.SIGTERM)[0] == 143
    status, output = told(signal.SIGINT, "--data.workers", 1)
    assert status == 130 and "Ctrl-C: ending after this step" in output
    done = len(lines(tmp_path))
    early = start(config_file, tmp_path)
    while not (tmp_path / lock.NAME).exists():
        time.sleep(0.01)
    early.send_signal(signal.SIGINT)
    output = early.communicate(timeout=60)[0]
    assert early.returncode == 130 and len(lines(tmp_path)) == done, output
    assert [x for x in output.splitlines() if x.startswith("error: ")] == [
        "error: Ctrl-C before the first step: there is nothing to save"
    ]
    assert "Traceback" not in output
    last = run("train", "--config", config_file, "--workdir", tmp_path)
    assert last.returncode == 0 and f"--workdir {tmp_path} --split validation" in last.stdout
    assert lines(tmp_path) == lines(whole)


def failed(done: subprocess.CompletedProcess) -> str:
    """The message of a command that refused its input."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_an_unknown_field_suggests_the_right_one(config_file, tmp_path):
    done = run("train", "--config", config_file, "--workdir", tmp_path, "--optim.peek-lr", 1)
    assert "--optim.peak-lr" in failed(done)
    assert not list(tmp_path.iterdir())


def test_a_run_directory_of_another_config_is_refused(config_file, whole):
    args = ("--config", config_file, "--workdir", whole, "--optim.peak-lr", 0.5)
    assert "optim.peak_lr: 0.5 here, 0.001 there" in failed(run("train", *args))


@pytest.mark.parametrize(
    "module, args, message",
    [
        ("train", ("--config", "configs/none.py", "--workdir", "x"), "no config file"),
        ("train", ("--config", "configs/quickstart.py"), "--workdir"),
        ("describe", ("--config", "configs/none.py"), "no config file"),
        ("evaluate", ("--workdir", "no/such/run"), "holds no run"),
        ("export", ("--workdir", "no/such/run"), "holds no run"),
        ("predict", ("--workdir", "no/such/run", "x.parquet"), "holds no run"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(module, args, message):
    error = failed(run(module, *args))
    assert message in error


def test_data_that_was_never_prepared_is_one_line(config_file, tmp_path):
    args = ("--config", config_file, "--workdir", tmp_path / "run", "--data.path", tmp_path)
    assert "run aslx.prepare first" in failed(run("train", *args))


def test_help_shows_the_configs_fields(config_file):
    done = run("train", "--config", config_file, "--help")
    assert done.returncode == 0 and "--optim.peak-lr" in done.stdout


def test_predict_reads_what_evaluate_read(whole, dataset, tmp_path):
    import pandas as pd

    from aslx.runs import evaluator, trained_run

    run_ = trained_run.open_run(whole)
    evaluation = evaluator.Evaluation(run_.cfg, run_.mesh, "validation")
    expected, _ = evaluation.run(run_.model)
    clips = list(evaluation.clips())[:3]
    columns = list(run_.cfg.features.selection.columns)
    tables = [
        pd.DataFrame(landmarks.columns(x), pd.Index([i] * len(x), name="sequence_id"), columns)
        for i, x in enumerate(clips)
    ]
    pd.concat(tables).to_parquet(tmp_path / "clips.parquet")
    done = run("predict", "--workdir", whole, tmp_path / "clips.parquet")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["text"] for row in rows] == [answer.text for answer in expected[:3]]
    assert [row["sequence_id"] for row in rows] == [0, 1, 2]


@pytest.mark.parametrize(
    "name, parameters",
    [("fingerspelling_lstm", 74_562), ("fingerspelling_transformer", 4_132_062)],
)
def test_describe_counts_the_seeds_parameters_exactly(name, parameters):
    done = run("describe", "--config", f"configs/{name}.py")
    assert f"trainable parameters: {parameters}\n" in done.stdout, done.stderr


def test_evaluate_writes_scores_examples_and_figures(whole):
    done = run("evaluate", "--workdir", whole, "--split", "validation")
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout.splitlines()[-1])
    assert scores["clips"] == 24 and "unseen_signers" in scores
    out = whole / "evaluation-validation"
    assert len((out / "examples.jsonl").read_text().splitlines()) == 24
    for name in ("scores", "characters", "calibration"):
        assert (out / f"{name}.png").stat().st_size > 1000
    everything = json.loads((out / "scores.json").read_text())
    assert everything["score"] == scores["score"]
    assert sum(row["clips"] for row in everything["by_length"]) == 24
    assert 0 < everything["calibration"]["clips"]["ece"] < 1
