"""A batch without a finite gradient does not lower the score of a run."""

import pytest

from aslx import config
from aslx.train import loop, setup
from tests import processes
from tests.train import runs

OPTIONS = ("--epochs", "5", "--eval-every", "5", "--ema-decay", "0.9", "--log-every", "20")
SMALL = ("--model.dim", "64", "--model.num-layers", "2", "--optim.peak-lr", "4e-3")


@pytest.mark.slow
def test_a_batch_without_a_finite_gradient_costs_no_score(tmp_path, capsys):
    data = ("--data.path", str(tmp_path / "data"))
    size = ("--sequences", 3000, "--whole-hands")
    processes.ran("prepare", "synthetic", "--out", tmp_path / "data", *size).succeeded()
    clean = {}
    for seed in range(3):
        cfg = config.load("quickstart", (*data, "--seed", str(seed), *OPTIONS, *SMALL))
        clean[cfg] = loop.run(cfg, tmp_path / str(seed))[0]["score"]
    # The median run: one that differs from it by a single step stays within the range.
    cfg = sorted(clean, key=clean.__getitem__)[1]
    capsys.readouterr()
    # A late batch: after an early one the run would be a fourth independent draw, which lies
    # outside the range of the three others half of the time.
    s = setup.of(cfg)
    records = tuple(s.plan(0)[s.steps * 3 // 4].records.tolist())
    found, _ = loop.run(runs.poisoned(cfg, batches=(records,)), tmp_path / "bad")
    assert "1 steps skipped" in capsys.readouterr().out
    print(f"clean {sorted(clean.values())}, with a bad batch {found['score']}")
    assert min(clean.values()) <= found["score"] <= max(clean.values())
