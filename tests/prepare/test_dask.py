"""Preparing on Dask: a scheduler and two worker processes of this machine."""

import os
import pathlib
import sys
from collections.abc import Iterator

import distributed
import pytest

from aslx import errors
from aslx.prepare import __main__ as command
from aslx.prepare import beam_runner
from tests import processes
from tests.prepare import kaggle, test_beam_runner


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """Beam's options for the cluster."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        # Of the workers, which import aslx and this folder's files.
        monkeypatch.setenv("PYTHONPATH", str(processes.ROOT))
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        )
    with cluster:
        yield f"--runner=DaskRunner --dask_client_address={cluster.scheduler_address}"


@pytest.mark.slow
def test_every_task_is_answered_with_its_place_by_both_workers(scheduler, tmp_path):
    answers = test_beam_runner.run(test_beam_runner.process, range(24), tmp_path, scheduler)
    assert {i: x for i, (x, _) in answers.items()} == {i: i for i in range(24)}
    pids = {pid for _, pid in answers.values()}
    print(f"Dask's workers: {sorted(pids)}; this process: {os.getpid()}")
    assert len(pids) == 2 and os.getpid() not in pids


@pytest.mark.slow
def test_dask_writes_the_bytes_of_one_process(scheduler, source, run, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    arguments = ("fingerspelling", "--source", source, *kaggle.FLAGS, "--shards", 2)
    run(command, *arguments, "--out", here).last()
    run(command, *arguments, "--out", there, f"--beam={scheduler}").last()

    def contents(folder: pathlib.Path) -> dict[str, bytes]:
        files = (path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    assert contents(there) == contents(here) and len(contents(here)) > 8


@pytest.mark.slow
def test_bad_input_and_a_fault_of_storage_on_a_worker_stay_what_they_are(scheduler, tmp_path):
    with pytest.raises(errors.BadInput, match=r"^not 7$"):
        test_beam_runner.run(test_beam_runner.refuse, [7, 7], tmp_path, scheduler)
    with pytest.raises(OSError, match="No space left on device") as error:
        test_beam_runner.run(test_beam_runner.lose_the_disk, [7, 8], tmp_path, scheduler)
    assert errors.is_temporary(error.value)


def test_a_scheduler_that_does_not_answer_is_named_within_seconds():
    address = f"tcp://127.0.0.1:{processes.free_port()}"
    options = f"--runner=DaskRunner --dask_client_address={address} --dask_connection_timeout=1"
    with pytest.raises(errors.Unavailable, match=f"no scheduler of Dask answers at {address}"):
        beam_runner.pipeline(options)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--dask_client_address=nonsense", "missing port number in address 'nonsense'"),
        ("--dask_npart=3", "Beam has no option --dask_npart"),
        ("--dask_npartitions=x", "--dask_npartitions: invalid int"),
        ("--dask_npartitions=3 --dask_partition_size=3", "not allowed with argument"),
    ],
)
def test_an_option_of_dask_that_is_wrong_is_named(option, words):
    with pytest.raises(errors.BadInput) as error:
        beam_runner.pipeline(f"--runner=DaskRunner {option}")
    assert words in str(error.value)


def test_dask_that_is_not_installed_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ModuleNotFoundError) as error:
        beam_runner.pipeline("--runner=DaskRunner")
    assert error.value.name == "distributed"  # Of which aslx.cli makes a line.
