"""Signals that end a training, sent to processes."""

import signal
import time

import pytest

from tests import processes

# Runs for ever in C, where no handler of Python runs, and then in steps.
LOOP = """
import hashlib, sys, time
from aslx.train import stopping
with stopping.Signals() as stop:
    print("begun", flush=True)
    if sys.argv[1] == "starts":
        hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
    stop._stepping = True
    print("steps", flush=True)
    while stop.told is None or sys.argv[1] == "hangs":
        time.sleep(0.01)
    print("saved", flush=True)
    sys.exit(stop.status)
"""


@pytest.fixture
def begin():
    """A function that starts the loop and waits until it prints a line."""
    begun = []

    def begin(how: str, line: str) -> processes.Started:
        process = processes.start(processes.python("-c", LOOP, how))
        begun.append(process)
        while processes.output(process).readline() != f"{line}\n":
            assert process.poll() is None
        return process

    yield begin
    for process in begun:
        process.kill()


@pytest.mark.parametrize("number, name", [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])
def test_before_the_first_step_a_signal_ends_the_training_at_once_with_one_line(
    begin, number, name
):
    process = begin("starts", "begun")
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number and out == ""
    assert err == f"error: {name} before the first step: there is nothing to save\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_after_the_first_step_a_signal_lets_the_training_save(begin, number):
    process = begin("steps", "steps")
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number and out == "saved\n"
    assert "ending after this step, with all saved; Ctrl-C again: at once" in err


def test_a_second_ctrl_c_ends_the_training_at_once_and_an_echo_of_the_first_does_not(begin):
    process = begin("hangs", "steps")
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    for _ in range(3):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.splitlines()[-1].startswith("error: Ctrl-C again: ended at once")
