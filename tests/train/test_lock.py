"""One trainer a run directory."""

import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Mapping

import pytest

from aslx import errors
from aslx.train import lock

ROOT = pathlib.Path(__file__).parent.parent.parent
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


def holder(workdir: object, environment: Mapping[str, str] | None = None) -> subprocess.Popen:
    """A process that takes the lock, and holds it until its standard input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(workdir)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def holds(process: subprocess.Popen) -> bool:
    """Whether it has the lock, once it knows."""
    assert process.stdout is not None
    return process.stdout.readline() == "held\n"


def test_a_second_process_is_told_of_the_first_and_of_a_killed_one_nothing_stays(tmp_path):
    workdir = tmp_path / "runs" / "run"
    first = holder(workdir)
    assert holds(first)
    host = os.uname().nodename
    named = f"{workdir} is trained in already, by process {first.pid} on {host} since 2"
    with pytest.raises(errors.BadInput, match=named), lock.held(workdir):
        pass
    first.send_signal(signal.SIGKILL)
    first.wait()
    with lock.held(workdir):
        assert (workdir / lock.NAME).exists()
    assert workdir.exists() and not any(workdir.iterdir())  # The first one made it.


def test_a_directory_that_was_made_for_nothing_goes_and_one_that_is_used_stays(tmp_path):
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
