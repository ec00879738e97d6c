"""Figures of an evaluation: of what there is, and of nothing."""

import pytest
from PIL import Image

from aslx.figures import plots
from aslx.tasks import metrics
from tests.tasks import test_metrics


@pytest.mark.parametrize(
    "rows",
    [
        test_metrics.SPELLED,
        test_metrics.examples((0, 10, "ab", "ab")),
        test_metrics.examples((0, 10, "ab", ""), (1, 0, "", "xxxx")),
        test_metrics.examples(*((i, i, "abc", "abd") for i in range(94))),
    ],
    ids=["some", "nothing wrong", "nothing right", "many signers"],
)
def test_every_analysis_can_be_drawn(rows, tmp_path):
    plots.transcription(metrics.analysis(rows) | {"score": 0.5}, tmp_path)
    for name in ("scores", "characters", "calibration"):
        with Image.open(tmp_path / f"{name}.png") as image:
            assert min(image.size) > 300


def test_errors_are_told_in_words():
    rows = [
        {"written": " ", "read": "a"},
        {"written": "b", "read": ""},
        {"written": "", "read": "c"},
    ]
    assert [plots.words(row) for row in rows] == ["space read as a", "b dropped", "c added"]
