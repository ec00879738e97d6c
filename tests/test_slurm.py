"""launch/slurm.sbatch under a real Slurm of two nodes, which are this machine.

Debian: apt-get install slurmctld slurmd slurm-client munge rsync
"""

import csv
import pathlib
import re
import shlex
import shutil
import sys
import time
from collections.abc import Iterator

import pytest

from aslx.train import logs
from tests import processes, slurm, tiny

NODES = ("127.0.0.1", "127.0.0.2")  # By their names they find each other, without a file of hosts.
MISSING = slurm.MISSING + ["rsync"] * (shutil.which("rsync") is None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[slurm.Cluster]:
    with slurm.cluster(tmp_path_factory.mktemp("slurm"), NODES) as cluster:
        cluster.environment["PYTHONPATH"] = str(processes.ROOT)  # Of the config, which is of tests.
        yield cluster


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> pathlib.Path:
    """The folder from which jobs are submitted."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "launch").symlink_to(processes.ROOT / "launch")
    return folder


@pytest.fixture(scope="module")
def submit(cluster, checkout, dataset, tmp_path_factory):
    """A function that submits a training of two processes into a folder; answers the job."""
    path = tmp_path_factory.mktemp("config") / "tiny.py"
    config = tiny.config_file(path, dataset, tiny.small, save_every=10, epochs=60, eval_every=60)

    def submit(workdir: pathlib.Path, *options: object) -> str:
        ask = ("--parsable", f"--chdir={checkout}", "--nodes=2", "--ntasks-per-node=1")
        resources = ("--gpus-per-node=1", f"--cpus-per-task={slurm.CPUS}")
        script = (processes.ROOT / "launch" / "slurm.sbatch", dataset, config, workdir)
        flags = ("--data.path", f"data/{dataset.name}", "--mesh.cpu-devices", slurm.CPUS)
        return cluster.run("sbatch", *ask, *resources, *script, *flags, *options)

    return submit


def output(job: dict[str, str]) -> str:
    """What a job printed; two processes may write into one character of a bar."""
    return pathlib.Path(job["StdOut"]).read_text(errors="replace")


def losses(workdir: pathlib.Path) -> list[float]:
    return [line["loss"] for line in logs.read(workdir / "metrics.jsonl") if "loss" in line]


def wait_for(workdir: pathlib.Path, steps: int, job: str, cluster: slurm.Cluster) -> None:
    end = time.monotonic() + 300
    while len(losses(workdir)) < steps:
        assert time.monotonic() < end and cluster.job(job)["JobState"] != "FAILED"
        time.sleep(0.1)


def test_a_preempted_job_is_queued_again_and_has_the_losses_of_an_undisturbed_one(
    cluster, checkout, submit, tmp_path
):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    undisturbed = cluster.wait(submit(whole), "COMPLETED", "FAILED")
    assert undisturbed["JobState"] == "COMPLETED", output(undisturbed)
    job = submit(cut)
    wait_for(cut, 5, job, cluster)
    cluster.run("scontrol", "requeue", job)
    wait_for(cut, 40, job, cluster)
    cluster.run("scancel", "--signal=TERM", job)  # As --signal does before the time limit.
    ended = cluster.wait(job, "COMPLETED", "FAILED")
    printed = output(ended)
    assert ended["JobState"] == "COMPLETED" and ended["Restarts"] == "2", printed
    stops = [int(step) for step in re.findall(r"stopped at step (\d+) of 300", printed)]
    assert stops == [int(step) for step in re.findall(r"going on from step (\d+) of 300", printed)]
    assert 5 <= stops[0] < 40 <= stops[1] < 300
    assert "status 143: preempted, and saved; going on from" in printed
    assert losses(cut) == losses(whole) and len(losses(whole)) == 300
    print(f"job {job} was stopped at steps {stops}; its records:")
    print(cluster.folder.joinpath("jobs.txt").read_text())
    assert not [*checkout.glob("slurm-*.faults")]


def test_the_tasks_of_an_array_work_on_one_sweep_and_one_is_queued_again(
    cluster, dataset, tmp_path
):
    pytest.importorskip("optuna")
    config = tiny.config_file(tmp_path / "tiny.py", dataset, tiny.small, epochs=12, eval_every=2)
    words = (*processes.python("-m", "aslx", "sweep", config), "--out", tmp_path / "sweep")
    flags = (
        "--trials",
        4,
        "--optim.peak-lr",
        "1e-4:1e-2:log",
        "--no-prune",
        "--mesh.cpu-devices",
        1,
    )
    ask = ("--parsable", f"--chdir={tmp_path}", "--array=0-1", "--gpus=1", "--output=%a.out")
    again = ("--requeue", "--open-mode=append")
    number = cluster.run(
        "sbatch", *ask, *again, "--wrap", "exec " + shlex.join(map(str, (*words, *flags)))
    )
    first, end = tmp_path / "0.out", time.monotonic() + 300
    while not first.exists() or "evaluation 1" not in first.read_text():
        assert time.monotonic() < end
        time.sleep(0.1)
    cluster.run("scontrol", "requeue", f"{number}_0")
    for task in (f"{number}_0", f"{number}_1"):
        job = cluster.wait(task, "COMPLETED", "FAILED")
        assert job["JobState"] == "COMPLETED", output(job)
    assert cluster.job(f"{number}_0")["Restarts"] == "1"
    printed = [(tmp_path / f"{task}.out").read_text() for task in (0, 1)]
    worked = [set(re.findall(r"trial (\d+): score", text)) for text in printed]
    print(f"the tasks of job {number} worked on trials {worked}")
    assert all(worked) and worked[0] | worked[1] == {*"0123"} and not worked[0] & worked[1]
    with open(tmp_path / "sweep" / "trials.csv") as file:
        assert len(list(csv.DictReader(file))) == 4
