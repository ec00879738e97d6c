"""The help of every benchmark."""

import importlib
import sys

import pytest

from tests import processes

COMMANDS = [
    path.stem
    for path in sorted((processes.ROOT / "benchmarks").glob("*.py"))
    if "cli.run(main)" in path.read_text()
]
OTHERS = ("batches", "keras_peers", "linear_reader", "machine", "torch_peers", "turns")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_benchmark_prints_its_options_without_extras(name, run, monkeypatch):
    for package in ("psutil", "websockets", "keras", "tensorflow", "ai_edge_litert"):
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"benchmarks.{name}", raising=False)
    module = importlib.import_module(f"benchmarks.{name}")
    assert "usage: " in run(module, "--help").succeeded()


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.long
def test_a_module_that_is_no_command_names_in_one_line_a_benchmark_that_uses_it(name):
    done = processes.run(processes.python("-m", f"benchmarks.{name}", "--help"))
    assert done.status == 2 and done.err.count("\n") == 1 and not done.out
    assert "not a command: python -m benchmarks." in done.err


def test_every_benchmark_is_a_command_or_says_that_it_is_none():
    names = {path.stem for path in (processes.ROOT / "benchmarks").glob("[a-z]*.py")}
    assert names == {*COMMANDS, *OTHERS}
