"""Real data, through the very commands: prepare, train, evaluate, predict, export."""

import pytest

from tests import processes


@pytest.mark.slow
def test_real_landmarks_go_the_whole_way_and_can_be_learnt_by_heart(shared, tmp_path):
    source, data, work = shared / "fingerspelling_sample", tmp_path / "data", tmp_path / "run"
    processes.ran("prepare", "fingerspelling", "--source", source, "--out", data).last()
    # Few clips: more epochs, a small warm-up, no average that lags behind.
    options = ("--epochs", 300, "--eval-every", 100, "--ema-decay", 0, "--model.dropout", 0)
    paths = ("--workdir", work, "--data.path", data)
    processes.ran("train", "--config", "configs/quickstart.py", *paths, *options).last()
    scores = processes.ran("evaluate", "--workdir", work, "--split", "train").last()
    assert scores["score"] >= 0.9
    parquet = source / "train_landmarks" / "5414471.parquet"
    read = processes.ran("predict", "--workdir", work, parquet).lines()
    assert len(read) == 16 and all("text" in line for line in read)
    report = processes.ran("export", "--workdir", work, "--split", "train").last()
    assert report["same_text"] == 1.0 and report["score"] == report["score_jax"]
