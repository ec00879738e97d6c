"""Real data, through the very commands: prepare, train, evaluate, predict, export."""

import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent


def run(module: str, *args: object) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", f"aslx.{module}", *map(str, args)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_real_landmarks_go_the_whole_way_and_can_be_learnt_by_heart(shared, tmp_path):
    source, data, work = shared / "fingerspelling_sample", tmp_path / "data", tmp_path / "run"
    run("prepare", "fingerspelling", "--source", source, "--out", data)
    # Few clips: more epochs, a small warm-up, no average that lags behind.
    options = ("--epochs", 300, "--eval-every", 100, "--ema-decay", 0, "--model.dropout", 0)
    paths = ("--workdir", work, "--data.path", data)
    run("train", "--config", "configs/quickstart.py", *paths, *options)
    scores = json.loads(run("evaluate", "--workdir", work, "--split", "train")[-1])
    assert scores["score"] >= 0.9
    read = run("predict", "--workdir", work, source / "train_landmarks" / "5414471.parquet")
    assert len(read) == 16 and all("text" in json.loads(line) for line in read)
    report = json.loads(run("export", "--workdir", work, "--split", "train")[-1])
    assert report["same_text"] == 1.0 and report["score"] == report["score_jax"]
