"""Several processes that train as one: the same batches, the same losses, the same checkpoints."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence

import pytest

from aslx import config
from aslx.train import lock, logs
from tests import hosts, tiny

STEPS = 50


@pytest.fixture(scope="module")
def config_file(dataset, tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("config") / "tiny.py"
    return tiny.config_file(path, dataset, save_every=7, epochs=8, eval_every=8)


def train(count: int, config_file: pathlib.Path, workdir: pathlib.Path, *more: object) -> list:
    args = ("--distributed", "--config", config_file, "--workdir", workdir)
    return hosts.start(
        count, "aslx.train", *args, "--mesh.cpu-devices", hosts.DEVICES // count, *more
    )


def losses(workdir: pathlib.Path) -> list[float]:
    return [line["loss"] for line in logs.read(workdir / "metrics.jsonl") if "loss" in line]


@pytest.fixture(scope="module")
def whole(config_file, tmp_path_factory) -> pathlib.Path:
    """What one process makes of the run."""
    workdir = tmp_path_factory.mktemp("whole")
    hosts.ended(train(1, config_file, workdir))
    assert len(losses(workdir)) >= STEPS
    return workdir


@pytest.mark.parametrize("count", [pytest.param(2, marks=pytest.mark.slow), 4])
def test_hosts_together_read_the_batches_of_one(config_file, tmp_path, count):
    hosts.ended(hosts.start(count, "tests.hosts", config_file, tmp_path / "hashes.json"))
    found = json.loads((tmp_path / "hashes.json").read_text())
    assert found == hosts.hashes(config.load(config_file))
    assert len(set(found)) == len(found) > 5


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_hosts_together_have_the_losses_of_one(config_file, whole, tmp_path, count):
    hosts.ended(train(count, config_file, tmp_path))
    assert losses(tmp_path) == pytest.approx(losses(whole), rel=1e-4)


def saved(workdir: pathlib.Path) -> list[int]:
    """The steps of the checkpoints that are whole."""
    return sorted(int(p.name) for p in (workdir / "checkpoints").glob("*") if p.name.isdigit())


def waited_for(ready: Callable[[], object], processes: Sequence[subprocess.Popen]) -> None:
    while not ready():
        assert all(p.poll() is None for p in processes), processes[0].communicate()[0]
        time.sleep(0.02)


@pytest.fixture(scope="module")
def saved_by_two(config_file, tmp_path_factory) -> pathlib.Path:
    """A run of two hosts that were killed soon after their first checkpoint."""
    workdir = tmp_path_factory.mktemp("two")
    processes = train(2, config_file, workdir)
    waited_for(lambda: saved(workdir), processes)
    for process in processes:
        process.kill()
        process.communicate()
    assert saved(workdir)[-1] < STEPS
    return workdir


def test_a_notice_to_one_host_saves_and_ends_all(config_file, tmp_path):
    processes = train(2, config_file, tmp_path, "--epochs", 1000)
    waited_for(lambda: len(losses(tmp_path)) > 2, processes)
    processes[1].send_signal(signal.SIGTERM)
    hosts.ended(processes, 143)
    assert saved(tmp_path)[-1] == len(losses(tmp_path))


@pytest.mark.parametrize("count", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_what_two_hosts_saved_goes_on_with_another_number(
    config_file, whole, saved_by_two, tmp_path, count
):
    copy = shutil.copytree(saved_by_two, tmp_path / "run")
    hosts.ended(train(count, config_file, copy))
    assert losses(copy) == pytest.approx(losses(whole), rel=1e-4)


def test_all_hosts_are_refused_where_another_process_trains(config_file, tmp_path):
    with lock.held(tmp_path):
        outputs = hosts.ended(train(2, config_file, tmp_path), 2)
    for output in outputs:
        assert "Traceback" not in output
        (line,) = [x for x in output.splitlines() if x.startswith("error: ")]
        assert f"{tmp_path} is trained in already, by process {os.getpid()} on " in line
    assert not list(tmp_path.iterdir())


def test_hosts_go_on_alike_from_before_a_damaged_checkpoint(tmp_path):
    hosts.ended(hosts.start(2, "tests.saved_by_hosts", tmp_path / "checkpoints"), 2)
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["damaged-1", "damaged-2", "damaged-3", "damaged-5"]
