"""The benchmark that trains on several splits of one data set."""

import os

import numpy as np
import pytest

from tests import processes, tiny


def splits(*args: object) -> processes.Done:
    return processes.run(processes.python("-m", "benchmarks.splits", *args))


def test_more_jobs_than_cores_are_refused(tmp_path):
    many = len(os.sched_getaffinity(0)) + 1
    data = ("--kind", "image_folder", "--source", tmp_path, "--out", tmp_path)
    done = splits("--config", "configs/asl_alphabet_cnn.py", *data, "--jobs", many)
    assert f"--jobs {many} is not between" in done.refusal()


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core")
def test_splits_that_run_at_the_same_time_are_printed_in_order_with_their_mean(tmp_path):
    tiny.pictures(tmp_path / "source", {"even": (120, 120), "split": (120, 240)}, 15)
    data = ("--kind", "image_folder", "--source", tmp_path / "source", "--out", tmp_path / "out")
    small = [x for name in ("height", "width", "size") for x in (f"--features.{name}", 16)]
    prepare = "--prepare=--size 16 --validation 0 --cutouts"
    train = ("--task.classes", 2, *small, "--epochs", 20, "--eval-every", 10)
    config = ("--config", "configs/asl_alphabet_cnn_few.py")
    done = splits(*config, *data, "--splits", 3, "--jobs", 2, prepare, "--", *train)
    *rows, last = done.lines()
    assert [row["seed"] for row in rows] == [0, 1, 2]
    assert all(row["clips"] == 6 for row in rows)
    mean = np.mean([row["accuracy"] for row in rows])
    np.testing.assert_allclose(last["accuracy"], mean, atol=1e-4)
    assert last["splits"] == 3 and mean > 0.9
