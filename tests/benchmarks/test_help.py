"""What every benchmark says of itself."""

import importlib
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent
COMMANDS = [
    path.stem
    for path in sorted((ROOT / "benchmarks").glob("*.py"))
    if "cli.run(main)" in path.read_text()
]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_benchmark_tells_its_options_with_no_extra_installed(name, run, monkeypatch):
    for package in ("psutil", "websockets", "keras", "tensorflow", "ai_edge_litert"):
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"benchmarks.{name}", raising=False)
    done = run(importlib.import_module(f"benchmarks.{name}"), "--help")
    assert done.status == 0 and "usage: " in done.out


def test_the_torch_peers_say_that_they_are_no_command():
    command = [sys.executable, "-m", "benchmarks.torch_peers", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "python -m benchmarks.train_step" in done.stderr
