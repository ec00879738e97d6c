"""Sweeps: real trainings that Optuna chooses values for, stopped, killed and gone on with."""

import csv
import pathlib
import re
import signal
import sys

import pytest

from aslx.train import search
from aslx.train import sweep as command
from tests import processes, tiny

pytestmark = pytest.mark.long

RATES = ("--optim.peak-lr", "1e-4:1e-2:log")
ONE_DEVICE = ("--mesh.cpu-devices", "1")


@pytest.fixture(scope="module")
def file(dataset, tmp_path_factory) -> pathlib.Path:
    return tiny.config_file(tmp_path_factory.mktemp("sweep") / "tiny.py", dataset, tiny.small)


def rows(out: pathlib.Path) -> list[dict[str, str]]:
    with open(out / "trials.csv") as f:
        return list(csv.DictReader(f))


def test_a_range_a_list_and_a_single_value_are_told_apart(file):
    words = [*RATES, "--data.batching.frames=512:1024", "--seed", "32,64", "--epochs", "3"]
    space = search.of(str(file), words)
    assert space.searched == {
        "optim.peak-lr": search.Range(1e-4, 1e-2, True, False),
        "data.batching.frames": search.Range(512, 1024, False, True),
        "seed": search.Choice(("32", "64")),
    }
    assert space.fixed == ("--epochs", "3") and space.cfg.epochs == 3
    assert space.words({"seed": "64"}) == ["--epochs", "3", "--seed=64"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ("--optim.peek-lr", "1e-4:1e-2"),
            "no field --optim.peek-lr: did you mean --optim.peak-lr?",
        ),
        ((*RATES, "--nothing", "3"), "has no field --nothing"),
        (("--optim.peak-lr", "1e-3,fast"), "cannot have --optim.peak-lr fast"),
        (("--epochs", "1.5:3"), "cannot have --epochs 1.5"),
        (("--optim.peak-lr", "1e-2:1e-4"), "give the lower end first"),
        (("--optim.peak-lr", "0:1e-4:log"), "above 0 for a :log"),
        (("--seed", "1,1"), "give each value once"),
        ((*RATES, *RATES), "is given twice"),
        (("--epochs", "3"), "needs something to try"),
    ],
)
def test_what_cannot_be_tried_is_refused_in_one_line_before_anything_starts(
    words, line, file, run, tmp_path
):
    assert line in run(command, file, "--out", tmp_path / "out", *words).refusal()
    assert not (tmp_path / "out").exists()


def test_without_optuna_a_line_says_which_extra_installs_it(file, run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert "[sweep]" in run(command, file, "--out", tmp_path, *RATES).refusal()


def test_a_trial_that_fails_is_told_and_an_other_sweep_in_the_folder_refused(file, run, tmp_path):
    fixed = ("--out", tmp_path / "out", "--data.path", tmp_path / "nowhere")
    done = run(command, file, *fixed, *RATES, "--trials", "1")
    assert done.status == 2 and "no trial has a score" in done.err
    assert "trial 0: failed with status 2: error:" in done.out and "nowhere" in done.out
    assert [row["state"] for row in rows(tmp_path / "out")] == ["fail"]
    refused = run(command, file, *fixed, "--seed", "1,2").refusal()
    assert "is a sweep of" in refused and "1e-4:1e-2:log" in refused


def test_a_study_that_is_none_is_refused(file, run, tmp_path):
    (tmp_path / "study.db").write_bytes(b"no database" * 100)
    assert "is no study of Optuna" in run(command, file, "--out", tmp_path, *RATES).refusal()


@pytest.mark.slow
def test_eight_trials_killed_in_the_middle_are_gone_on_with_and_each_has_one_row(file, tmp_path):
    out = tmp_path / "out"
    words = processes.command("train.sweep", file, "--out", out, *RATES, *ONE_DEVICE)
    words += ["--trials", "8"]
    process = processes.start(words)
    while not processes.output(process).readline().startswith("trial 2: evaluation"):
        assert process.poll() is None
    process.kill()  # Its training goes on, and holds the lock of its trial.
    process.communicate()
    printed = processes.run(words).succeeded()
    begun = re.findall(r"^trial (\d+): optim", printed, re.MULTILINE)
    assert {*begun} >= {str(n) for n in range(3, 8)} and not {*begun} & {"0", "1"}
    found = rows(out)
    assert sorted(row["trial"] for row in found) == [str(n) for n in range(8)]
    assert {row["state"] for row in found} <= {"complete", "pruned", "running"}
    assert sum(row["state"] == "complete" for row in found) >= 3
    again = processes.run(words)  # All is done: it prints the table again.
    assert again.last()["score"] == max(float(r["score"]) for r in found if r["score"])


@pytest.mark.slow
def test_ctrl_c_ends_the_running_trial_after_it_has_saved_and_the_same_command_goes_on(
    file, tmp_path
):
    out = tmp_path / "out"
    words = processes.command("train.sweep", file, "--out", out, *RATES, *ONE_DEVICE)
    words += ["--trials", "1", "--epochs", "40"]
    process = processes.start(words)
    while not processes.output(process).readline().startswith("trial 0: evaluation 2"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 130 and "trial 0: stopped" in printed
    assert any((out / "trials" / "000" / "checkpoints").iterdir())
    assert processes.run(words).last()["trial"] == 0
    assert "going on from step" in (out / "trials" / "000.log").read_text()
