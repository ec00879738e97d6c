"""The process pool gives every answer, and ends with its parent and at the first error."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from aslx import errors
from aslx.prepare import workers

ROOT = pathlib.Path(__file__).parents[2]


def square(x):
    return x * x


def refuse(x):
    raise ValueError(f"not {x}")


def die(x):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("processes", [1, 2])
def test_every_task_is_answered_once_with_its_place(processes):
    answers = dict(workers.run(square, [(i,) for i in range(5)], processes))
    assert answers == {i: i * i for i in range(5)}


@pytest.mark.parametrize("processes", [1, 2])
def test_a_failing_task_raises_its_error(processes):
    with pytest.raises(ValueError, match="not 7"):
        list(workers.run(refuse, [(7,), (7,)], processes))


def test_a_killed_worker_is_a_fault_of_the_machine_that_says_what_to_try():
    with pytest.raises(OSError, match="try fewer --processes") as error:
        list(workers.run(die, [(1,), (2,)], 2))
    assert errors.is_temporary(error.value)


def test_readers_import_neither_tensorflow_nor_jax():
    code = "import sys; from aslx.prepare import spool; print(*sorted(sys.modules))"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {"tensorflow", "tensorflow_datasets", "jax", "matplotlib", "pandas"} & set(
        ran.stdout.split()
    )


PARENT = """
import sys, pathlib, time, os
from aslx.prepare import workers

def wait(folder):
    (pathlib.Path(folder) / str(os.getpid())).touch()
    time.sleep(600)

if __name__ == "__mp_main__" and sys.argv[2] == "importing":
    wait(sys.argv[1])
if __name__ == "__main__":
    list(workers.run(wait, [(sys.argv[1],)] * 2, 2))
"""


@pytest.fixture
def family(tmp_path):
    """Starts a parent of two workers and waits until these are working, or still importing:
    (parent, pids of the workers)."""
    script, folder = tmp_path / "parent.py", tmp_path / "pids"
    script.write_text(PARENT)
    folder.mkdir()

    def start(state):
        parent = subprocess.Popen(
            [sys.executable, script, folder, state],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        until(lambda: len(list(folder.iterdir())) == 2)
        return parent, [int(path.name) for path in folder.iterdir()]

    return start


def test_workers_end_with_a_killed_parent(family):
    parent, pids = family("working")
    parent.kill()
    until(lambda: not any(map(alive, pids)))
    parent.communicate(timeout=60)


@pytest.mark.parametrize("state", ["importing", "working"])
def test_an_interrupt_ends_the_workers_and_they_say_nothing(family, state):
    parent, pids = family(state)
    for pid in [*pids, parent.pid]:  # As a terminal does: to all of them.
        os.kill(pid, signal.SIGINT)
        time.sleep(0.3)
    said = parent.communicate(timeout=60)[1]
    until(lambda: not any(map(alive, pids)))
    assert said.count("Traceback") == 1  # The parent's.


def until(condition):
    """Waits for a minute at most."""
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail("the condition never held")


def alive(pid):
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
