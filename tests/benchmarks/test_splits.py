"""Several splits of one data set, by the command itself."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

ROOT = pathlib.Path(__file__).parents[2]


def splits(*args: object) -> subprocess.CompletedProcess:
    words = [sys.executable, "-m", "benchmarks.splits", *map(str, args)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True)


def test_more_jobs_than_cores_are_refused(tmp_path):
    many = len(os.sched_getaffinity(0)) + 1
    data = ("--kind", "image_folder", "--source", tmp_path, "--out", tmp_path)
    done = splits("--config", "configs/asl_alphabet_cnn.py", *data, "--jobs", many)
    assert done.returncode == 2 and f"--jobs {many} is not between" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core")
def test_splits_side_by_side_are_told_in_order_with_their_mean(tmp_path):
    rng = np.random.default_rng(0)
    for name, top in {"even": 120, "split": 240}.items():
        (tmp_path / "source" / name).mkdir(parents=True)
        for i in range(15):
            pixels = np.repeat(np.array([120, top]), 20)[:, None] + rng.normal(0, 9, (40, 40))
            picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).convert("RGB")
            picture.save(tmp_path / "source" / name / f"{i}.png")
    data = ("--kind", "image_folder", "--source", tmp_path / "source", "--out", tmp_path / "out")
    small = [x for name in ("height", "width", "size") for x in (f"--features.{name}", 16)]
    prepare = "--prepare=--size 16 --validation 0 --cutouts"
    train = ("--task.classes", 2, *small, "--epochs", 20, "--eval-every", 10)
    config = ("--config", "configs/asl_alphabet_cnn_few.py")
    done = splits(*config, *data, "--splits", 3, "--jobs", 2, prepare, "--", *train)
    assert done.returncode == 0, done.stderr
    *rows, last = map(json.loads, done.stdout.splitlines())
    assert [row["seed"] for row in rows] == [0, 1, 2]
    assert all(row["clips"] == 6 for row in rows)
    mean = np.mean([row["accuracy"] for row in rows])
    np.testing.assert_allclose(last["accuracy"], mean, atol=1e-4)
    assert last["splits"] == 3 and mean > 0.9
