"""Beam gives every answer, from other processes, and says in one line which option cannot be."""

import os
import pathlib
import sys

import pytest

from aslx.datasets import engine

ROOT = pathlib.Path(__file__).parents[2]
WORKERS = "--runner=DirectRunner --direct_num_workers=2 --direct_running_mode=multi_processing"


def process(x):
    return x, os.getpid()


def refuse(x):
    raise ValueError(f"not {x}")


def test_every_task_is_answered_with_its_place_by_two_other_processes(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # Of the workers, which import this file.
    answers = dict(engine.run(process, [(i,) for i in range(24)], WORKERS, tmp_path))
    assert {i: x for i, (x, _) in answers.items()} == {i: i for i in range(24)}
    pids = {pid for _, pid in answers.values()}
    assert len(pids) == 2 and os.getpid() not in pids


def test_a_failing_task_raises_its_error_as_it_was(tmp_path):
    with pytest.raises(ValueError, match=r"^not 7$"):
        list(engine.run(refuse, [(7,), (7,)], "--runner=DirectRunner", tmp_path))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("", "no --runner"),
        ("--direct_num_workers=2", "no --runner"),
        ("--runner=Spork", "Unexpected pipeline runner: Spork"),
        ("--runner=DirectRunner --direct_num_worker=2", "no option --direct_num_worker"),
        ("--runner=DirectRunner --direct_num_workers=x", "--direct_num_workers: invalid int"),
        ("--runner=DirectRunner workers", "'workers' stands alone; write every option as --name=v"),
        ("--runner=DirectRunner '", "No closing quotation"),
        ("--runner=DataflowRunner --project=project", "Missing required option: region"),
    ],
)
def test_an_option_that_is_missing_unknown_or_wrong_is_named(options, words, capfd):
    with pytest.raises(ValueError) as error:
        engine.pipeline(options)
    assert f"--beam {options!r}: " in str(error.value) and words in str(error.value)
    assert not any(capfd.readouterr())


def test_an_option_of_a_job_server_is_left_to_it():
    engine.pipeline("--runner=FlinkRunner --flink_master=http://host:8081 --of_flink_alone=3")


def test_beam_that_is_not_installed_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(ValueError, match=r"--beam needs Apache Beam: pip install .*\[beam\]"):
        engine.pipeline(WORKERS)
