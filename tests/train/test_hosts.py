"""Several hosts train as one: the same batches, losses and checkpoints."""

import json
import os
import pathlib
import shutil
import signal
import time
from collections.abc import Callable, Sequence

import jax
import pytest

from aslx import config
from aslx.train import lock, logs, training
from tests import hosts, processes, tiny

STEPS = 50


@pytest.fixture(scope="module")
def config_file(dataset, tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("config") / "tiny.py"
    return tiny.config_file(path, dataset, tiny.small, save_every=10, epochs=10, eval_every=10)


def alone(config_file: pathlib.Path, workdir: pathlib.Path) -> None:
    """Trains on one host, which is this process, and draws nothing."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(logs.Log, "draw", lambda self: None)
        here = ("--mesh.cpu-devices", str(jax.device_count()))
        training.train_run(config.load(config_file, here), workdir)


def train(count: int, config_file: pathlib.Path, workdir: pathlib.Path, *more: object) -> list:
    """Starts a training on `count` hosts."""
    args = ("--distributed", "--config", config_file, "--workdir", workdir, *more)
    return hosts.start(count, "aslx.train", *args, "--mesh.cpu-devices", hosts.DEVICES // count)


def losses(workdir: pathlib.Path) -> list[float]:
    return [line["loss"] for line in logs.read(workdir / "metrics.jsonl") if "loss" in line]


@pytest.fixture(scope="module")
def whole(config_file, tmp_path_factory) -> pathlib.Path:
    """The run on one host."""
    workdir = tmp_path_factory.mktemp("whole")
    alone(config_file, workdir)
    assert len(losses(workdir)) >= STEPS
    return workdir


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.long
def test_several_hosts_read_the_batches_of_one(config_file, tmp_path, count):
    hosts.ended(hosts.start(count, "tests.hosts", config_file, tmp_path / "hashes.json"))
    found = json.loads((tmp_path / "hashes.json").read_text())
    assert found == hosts.hashes(config.load(config_file))
    assert len(set(found)) == len(found) > 3


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.long
def test_several_hosts_have_the_losses_of_one(config_file, whole, tmp_path, count):
    hosts.ended(train(count, config_file, tmp_path))
    assert losses(tmp_path) == pytest.approx(losses(whole), rel=1e-4)


def saved(workdir: pathlib.Path) -> list[int]:
    """The steps of all complete checkpoints."""
    return sorted(int(p.name) for p in (workdir / "checkpoints").glob("*") if p.name.isdigit())


def wait_until(ready: Callable[[], object], started: Sequence[processes.Started]) -> None:
    while not ready():
        assert all(process.poll() is None for process in started), started[0].communicate()[0]
        time.sleep(0.02)


@pytest.fixture(scope="module")
def saved_by_two(config_file, tmp_path_factory) -> pathlib.Path:
    """A run of two hosts that were killed soon after their first checkpoint."""
    workdir = tmp_path_factory.mktemp("two")
    started = train(2, config_file, workdir)
    wait_until(lambda: saved(workdir), started)
    for process in started:
        process.kill()
        process.communicate()
    assert saved(workdir)[-1] < STEPS
    return workdir


@pytest.mark.slow
def test_a_signal_to_one_host_saves_and_ends_all(config_file, tmp_path):
    started = train(2, config_file, tmp_path, "--epochs", 1000)
    wait_until(lambda: len(losses(tmp_path)) > 2, started)
    started[1].send_signal(signal.SIGTERM)
    hosts.ended(started, 143)
    assert saved(tmp_path)[-1] == len(losses(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 4])
def test_a_run_of_two_hosts_resumes_on_another_number_of_hosts(
    config_file, whole, saved_by_two, tmp_path, count
):
    copy = shutil.copytree(saved_by_two, tmp_path / "run")
    if count == 1:
        alone(config_file, copy)
    else:
        hosts.ended(train(count, config_file, copy))
    assert losses(copy) == pytest.approx(losses(whole), rel=1e-4)


@pytest.mark.slow
def test_all_hosts_are_refused_where_another_process_trains(config_file, tmp_path):
    with lock.held(tmp_path):
        outputs = hosts.ended(train(2, config_file, tmp_path), 2)
    for output in outputs:
        assert "Traceback" not in output
        (line,) = [x for x in output.splitlines() if x.startswith("error: ")]
        assert f"{tmp_path} is trained in already, by process {os.getpid()} on " in line
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_all_hosts_resume_from_the_checkpoint_before_a_damaged_one(tmp_path):
    hosts.ended(hosts.start(2, "tests.saved_by_hosts", tmp_path / "checkpoints"), 2)
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["damaged-1", "damaged-2", "damaged-3", "damaged-5"]
