"""Random batches in the form of the loader's, without a data set."""

import numpy as np
import pytest

from aslx import config
from benchmarks import batches


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("fingerspelling_transformer", {"landmarks": (2, 9, 52, 3), "tokens": (2, 62)}),
        ("keypoint_lstm", {"keypoints": (2, 9, 1662), "label": (2,)}),
        ("asl_alphabet_cnn", {"image": (2, 100, 100, 3), "label": (2,)}),
        ("asl_alphabet_cnn_few", {"image": (2, 100, 100, 7), "label": (2,)}),
    ],
)
def test_noise_has_the_arrays_of_the_loader_for_every_kind_of_input(name, shapes):
    cfg = config.load(f"configs/{name}.py")
    batch = batches.noise(cfg, np.array([5, 9]))
    assert {k: batch[k].shape for k in shapes} == shapes
    assert batch["weight"].tolist() == [1, 1] and batch["id"].tolist() == [0, 1]
    if "length" in batch:
        assert batch["length"].tolist() == [5, 9]
    large = batch[next(iter(cfg.features.source.reads))]
    assert len(np.unique(large)) > 100
