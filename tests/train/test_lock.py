"""Only one process trains in a run directory."""

import os
import subprocess
from collections.abc import Mapping

import pytest

from aslx import errors
from aslx.train import lock
from tests import processes

HOLD = """
import sys
from etils import epath
from aslx import cli
from aslx.train import lock
def main():
    lock.BEAT = 0.4
    with lock.held(epath.Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.read()
cli.run(main)
"""


def holder(workdir: object, env: Mapping[str, str] | None = None) -> processes.Started:
    """Starts a process that takes the lock, and holds it until its standard input ends."""
    words = processes.python("-c", HOLD, workdir)
    return processes.start(words, env=env, stdin=subprocess.PIPE)


def holds(process: processes.Started) -> bool:
    """Waits until a holder has the lock or is refused; whether it has the lock."""
    return processes.output(process).readline() == "held\n"


def test_a_second_process_is_told_of_the_first_and_a_killed_one_leaves_no_lock(tmp_path):
    workdir = tmp_path / "runs" / "run"
    first = holder(workdir)
    assert holds(first)
    host = os.uname().nodename
    named = f"{workdir} is trained in already, by process {first.pid} on {host} since 2"
    with pytest.raises(errors.BadInput, match=named), lock.held(workdir):
        pass
    first.kill()
    first.wait()
    with lock.held(workdir):
        assert (workdir / lock.NAME).exists()
    assert workdir.exists() and not any(workdir.iterdir())  # The first process made it.


def test_a_new_directory_that_stays_empty_is_removed_and_one_with_files_stays(tmp_path):
    with lock.held(tmp_path / "run"):
        pass
    assert not (tmp_path / "run").exists()
    with lock.held(tmp_path / "run"):
        (tmp_path / "run" / "config.json").touch()
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["config.json"]


def test_a_planted_link_is_not_followed(tmp_path):
    victim = tmp_path / "thesis.tex"
    victim.write_text("years")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / lock.NAME).symlink_to(victim)
    with pytest.raises(errors.BadInput), lock.held(tmp_path / "run"):
        pass
    assert victim.read_text() == "years"


def test_a_file_is_no_run_directory(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(errors.BadInput, match="is a file"), lock.held(tmp_path / "file"):
        pass
