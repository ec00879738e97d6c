"""A process that waits for others says for whom, and ends with their address."""

import re
import time

import pytest

from aslx import errors
from aslx.train import meeting
from tests import hosts, processes, tiny

SLURM = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2", "SLURM_LOCALID": "0"}


@pytest.fixture
def slurm(monkeypatch) -> str:
    """This process is the second of a job whose coordinator does not listen; its address."""
    address = f"127.0.0.1:{processes.free_port()}"
    values = {"SLURM_STEP_NODELIST": "127.0.0.1", "SLURM_PROCID": "1"}
    for name, value in (SLURM | values | {"JAX_COORDINATOR_ADDRESS": address}).items():
        monkeypatch.setenv(name, value)
    return address


def test_a_coordinator_that_does_not_listen_is_named_at_the_end(slurm):
    begun = time.monotonic()
    with pytest.raises(errors.Unavailable, match=f"process 1 of 2 waited .* at {slurm}, .*refused"):
        meeting.join(patience=0.5)
    assert time.monotonic() - begun < 5


def test_a_coordinator_whose_name_is_unknown_is_named(slurm, monkeypatch):
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "nowhere.invalid:1")
    with pytest.raises(errors.Unavailable, match=r"process 0 at nowhere\.invalid:1, cannot be"):
        meeting.join(patience=0.1)


def test_without_a_cluster_the_option_is_refused(train, dataset, tmp_path):
    config = tiny.config_file(tmp_path / "tiny.py", dataset)
    refusal = train("--config", config, "--workdir", tmp_path / "run", "--distributed").refusal()
    assert "neither Slurm, Open MPI, Kubernetes nor a TPU slice" in refusal


@pytest.mark.long
def test_a_training_names_within_seconds_who_is_not_there(slurm, dataset, tmp_path):
    config = tiny.config_file(tmp_path / "tiny.py", dataset)
    words = ("--config", config, "--workdir", tmp_path / "run", "--distributed")
    waits = processes.start(processes.command("train", *words))
    try:
        assert waits.stderr is not None
        line = waits.stderr.readline()
    finally:
        waits.kill()
        waits.communicate()
    assert f"process 1 of 2 waits: the coordinator, process 0 at {slurm}, cannot be" in line


@pytest.mark.slow
def test_a_coordinator_says_that_others_are_missing(dataset, tmp_path):
    config = tiny.config_file(tmp_path / "tiny.py", dataset)
    words = ("--distributed", "--config", config, "--workdir", tmp_path)
    first, second = hosts.start(2, "aslx.train", *words)
    second.kill()
    second.communicate()
    try:
        line = processes.output(first).readline()
    finally:
        first.kill()
        first.communicate()
    assert re.search(r"process 0 of 2 waits until all have met at 127\.0\.0\.1:\d+", line)
