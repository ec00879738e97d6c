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


@pytest.mark.parametrize("name", COMMANDS)
def test_a_benchmark_prints_its_options_without_extras(name, run, monkeypatch):
    for package in ("psutil", "websockets", "keras", "tensorflow", "ai_edge_litert"):
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"benchmarks.{name}", raising=False)
    module = importlib.import_module(f"benchmarks.{name}")
    assert "usage: " in run(module, "--help").succeeded()


def test_the_torch_peers_name_the_benchmark_that_runs_them():
    done = processes.run(processes.python("-m", "benchmarks.torch_peers", "--help"))
    assert done.status == 2 and done.err.count("\n") == 1
    assert "python -m benchmarks.train_step" in done.err
