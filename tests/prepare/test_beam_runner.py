"""Beam gives every answer, from other processes, and names an option that it cannot use."""

import contextlib
import errno
import os
import pathlib
import pickle
import sys

import pytest

from aslx import errors
from aslx.prepare import beam_runner
from aslx.storage import files

pytestmark = pytest.mark.long

ROOT = pathlib.Path(__file__).parents[2]
WORKERS = "--runner=DirectRunner --direct_num_workers=2 --direct_running_mode=multi_processing"


def process(x):
    return x, os.getpid()


def refuse(x):
    raise errors.BadInput(f"not {x}")


def break_down(x):
    raise ZeroDivisionError(f"a bug at {x}")


def lose_the_disk(x):
    raise OSError(errno.ENOSPC, "No space left on device", str(x))


class Planted:
    """Unpickling it runs code."""

    def __init__(self, witness: pathlib.Path):
        self.witness = witness

    def __reduce__(self):
        return pathlib.Path.touch, (self.witness,)


def run(function, values, folder, options="--runner=DirectRunner"):
    return dict(beam_runner.run(function, [(value,) for value in values], options, folder))


def test_every_task_is_answered_with_its_place_by_two_other_processes(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # Of the workers, which import this file.
    answers = run(process, range(24), tmp_path, WORKERS)
    assert {i: x for i, (x, _) in answers.items()} == {i: i for i in range(24)}
    pids = {pid for _, pid in answers.values()}
    assert len(pids) == 2 and os.getpid() not in pids


def test_bad_input_of_a_task_is_raised_as_it_was(tmp_path):
    with pytest.raises(errors.BadInput, match=r"^not 7$"):
        run(refuse, [7, 7], tmp_path)


def test_a_bug_in_a_task_is_no_bad_input(tmp_path):
    with pytest.raises(Exception, match="a bug at 7") as error:
        run(break_down, [7], tmp_path)
    assert not isinstance(error.value, errors.BadInput) and not errors.is_temporary(error.value)


def test_a_fault_of_storage_on_a_worker_keeps_its_number(tmp_path):
    with pytest.raises(OSError, match="No space left on device") as error:
        run(lose_the_disk, [7, 8], tmp_path)
    assert error.value.errno == errno.ENOSPC and errors.is_temporary(error.value)


@pytest.mark.parametrize("name", ["00000", "00000.answer"])
def test_only_what_this_run_wrote_is_unpickled(name, tmp_path, monkeypatch):
    """A program that can write to the folder of the tasks runs no code, on a worker or here."""
    write, witness = files.writing, tmp_path / "witness"

    @contextlib.contextmanager
    def replaced(path):
        with write(path) as f:
            yield f
        if path.name == name:
            path.write_bytes(bytes(32) + pickle.dumps(Planted(witness)))

    monkeypatch.setattr(files, "writing", replaced)
    with pytest.raises(Exception, match=f"{name} is not what this run wrote"):
        run(process, [7], tmp_path / "tasks")
    assert not witness.exists()


def test_a_task_is_not_taken_for_another(tmp_path):
    one, other = tmp_path / "0", tmp_path / "1"
    for place in (one, other):
        beam_runner._write(b"key", place, place.name)
    assert beam_runner._read(b"key", one) == "0"
    one.write_bytes(other.read_bytes())
    with pytest.raises(RuntimeError, match="0 is not what this run wrote"):
        beam_runner._read(b"key", one)
    with pytest.raises(RuntimeError, match="1 is not what this run wrote"):
        beam_runner._read(b"another", other)


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
        beam_runner.pipeline(options)
    assert f"--beam {options!r}: " in str(error.value) and words in str(error.value)
    assert not any(capfd.readouterr())


def test_options_of_a_job_server_are_not_checked():
    beam_runner.pipeline("--runner=FlinkRunner --flink_master=http://host:8081 --of_flink_alone=3")


def test_beam_that_is_not_installed_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(ModuleNotFoundError) as error:
        beam_runner.pipeline(WORKERS)
    assert error.value.name == "apache_beam"  # Of which aslx.cli makes a line.
