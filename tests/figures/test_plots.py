"""Figures of an evaluation: of what there is, and of nothing."""

import pathlib

import numpy as np
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


@pytest.fixture
def drawn(monkeypatch) -> dict:
    """The figures that are saved, by the name of their file."""
    figures = {}
    monkeypatch.setattr(plots, "save", lambda figure, path: figures.update({path.stem: figure}))
    return figures


def legend(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def scored(*intervals: tuple[float, float, float]) -> list[dict]:
    names = ("step", "score", "score_low", "score_high")
    return [dict(zip(names, (i, *each), strict=True)) for i, each in enumerate(intervals, 1)]


def test_the_score_is_drawn_with_its_interval_and_without_one_in_the_whole_range(drawn):
    folder = pathlib.Path("plots")
    plots.curves(scored((0.5, 0.4, 0.6), (0.8, 0.7, 0.9)), folder)
    (axes,) = drawn["score"].axes
    (band,) = axes.collections
    assert legend(axes) == ["score", "95 % interval"]
    assert {0.4, 0.6, 0.7, 0.9} <= set(band.get_paths()[0].vertices[:, 1])
    # An interval over one signer is no interval, and pretraining has none.
    for lines in (scored((0.5, 0.5, 0.5), (0.8, 0.8, 0.8)), [{"step": 1, "score": 0.5}]):
        plots.curves(lines, folder)
        (axes,) = drawn["score"].axes
        assert legend(axes) == ["score"] and not axes.collections and axes.get_ylim() == (0, 1)
    assert "accuracy" not in drawn


def test_many_readings_of_the_loss_are_faint_beside_their_mean(drawn):
    values = [1.0, 3.0] * 100 + [float("nan")]
    lines = [{"step": 10 * i, "loss": x} for i, x in enumerate(values, 1)]
    plots.curves([*lines, {"step": 500, "eval_loss": 2.5}], pathlib.Path("plots"))
    (axes,) = drawn["loss"].axes
    assert legend(axes) == ["training", "training, mean of 11 readings", "evaluation"]
    readings, mean, _ = axes.lines
    assert readings.get_alpha() < 0.5 and mean.get_alpha() is None
    assert np.abs(np.asarray(mean.get_ydata()) - 2).max() < 0.35
    plots.curves(lines[:20], pathlib.Path("plots"))
    assert legend(drawn["loss"].axes[0]) == ["training"]


def test_the_letters_of_an_axis_stand_upright_and_clips_are_called_clips(drawn):
    rows = test_metrics.examples((0, 10, "a- b", "a-c"), (1, 0, "c", "b"))
    plots.transcription(metrics.analysis(rows) | {"score": 0.5}, pathlib.Path("plots"))
    *letters, dropped = drawn["characters"].axes[0].get_xticklabels()
    assert [letter.get_text() for letter in letters] == ["␣", "-", "a", "b", "c"]
    assert {letter.get_rotation() for letter in letters} == {0}
    assert dropped.get_text() == "dropped"
    of_characters, of_clips = map(legend, drawn["calibration"].axes)
    assert any(words.startswith("how many characters") for words in of_characters)
    assert any(words.startswith("how many clips") for words in of_clips)


def test_errors_are_told_in_words():
    rows = [
        {"written": " ", "read": "a"},
        {"written": "b", "read": ""},
        {"written": "", "read": "c"},
    ]
    assert [plots.words(row) for row in rows] == ["space read as a", "b dropped", "c added"]
