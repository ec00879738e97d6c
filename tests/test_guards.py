"""A run that meets a batch without a finite gradient ends as well as one that does not."""

import pathlib
import subprocess
import sys

import pytest

from aslx import config
from aslx.train import loop, setup
from tests.train import runs

ROOT = pathlib.Path(__file__).parent.parent
OPTIONS = ("--epochs", "5", "--eval-every", "5", "--ema-decay", "0.9", "--log-every", "20")
SMALL = ("--model.dim", "64", "--model.num-layers", "2", "--optim.peak-lr", "4e-3")


@pytest.mark.slow
def test_a_batch_without_a_finite_gradient_costs_no_score(tmp_path, capsys):
    data = tmp_path / "data"
    command = [sys.executable, "-m", "aslx.prepare", "synthetic", "--out", str(data)]
    subprocess.run([*command, "--sequences", "3000", "--whole-hands"], cwd=ROOT, check=True)
    clean = {}
    for seed in range(3):
        cfg = config.load(
            ROOT / "configs" / "quickstart.py",
            ("--data.path", str(data), "--seed", str(seed), *OPTIONS, *SMALL),
        )
        clean[cfg] = loop.run(cfg, tmp_path / str(seed))[0]["score"]
    # The middle one: a run that differs from it by one step need not leave the range.
    cfg = sorted(clean, key=clean.__getitem__)[1]
    capsys.readouterr()
    # Late: a run that departs from it early is one more draw, and of four draws the last lies
    # outside the range of the others every second time.
    s = setup.of(cfg)
    records = tuple(s.plan(0)[s.steps * 3 // 4].records.tolist())
    found, _ = loop.run(runs.poisoned(cfg, batches=(records,)), tmp_path / "bad")
    assert "1 steps skipped" in capsys.readouterr().out
    print(f"clean {sorted(clean.values())}, with a bad batch {found['score']}")
    assert min(clean.values()) <= found["score"] <= max(clean.values())
