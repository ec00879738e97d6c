"""Scores, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aslx import metrics

words = st.text("abc", max_size=6)


@given(st.lists(st.tuples(words, words), min_size=1, max_size=8))
def test_the_score_is_kaggles_over_all_characters(pairs):
    def edits(a, b):
        if not a or not b:
            return len(a) + len(b)
        if a[0] == b[0]:
            return edits(a[1:], b[1:])
        return 1 + min(edits(a[1:], b), edits(a, b[1:]), edits(a[1:], b[1:]))

    targets, predictions = zip(*pairs, strict=True)
    n, d = sum(map(len, targets)), sum(edits(a, b) for a, b in pairs)
    found = metrics.transcription(targets, predictions, np.zeros(len(pairs)))
    assert found["score"] == pytest.approx((n - d) / n if n else 0.0)
    assert found["exact"] == np.mean([a == b for a, b in pairs])


def test_a_long_phrase_weighs_more_in_the_score_than_in_the_seeds_mean():
    found = metrics.transcription(["abcdefghij", "a"], ["abcdefghij", "b"], np.zeros(2))
    assert found["score"] == pytest.approx(10 / 11) and found["mean_edit_distance"] == 0.5


def test_the_interval_draws_signers_and_not_clips():
    lengths, distance = np.full(100, 10), np.repeat([0, 10], 50)
    one_signer_each = metrics.bootstrap(lengths, distance, np.arange(100))
    two_signers = metrics.bootstrap(lengths, distance, np.repeat([0, 1], 50))
    assert two_signers == (0.0, 1.0)
    assert 0.35 < one_signer_each[0] < 0.5 < one_signer_each[1] < 0.65


def test_classification_counts_each_class_and_the_first_five():
    targets = np.array([0, 0, 1, 2])
    probabilities = np.eye(7)[[0, 1, 1, 6]] + np.linspace(0.1, 0, 7)
    scores = metrics.classification(targets, probabilities, np.array([-1, -1, -1, -1]), top=5)
    assert scores["score"] == 0.5 and scores["top5"] == 1.0 and scores["signers"] == 0
    assert scores["score_low"] < 0.5 < scores["score_high"]
    table = metrics.by_class(targets, probabilities.argmax(1), 7)
    assert [row["recall"] for row in table[:3]] == [0.5, 1.0, 0.0]
    assert [row["precision"] for row in table[:3]] == [1.0, 0.5, 0.0]
    assert metrics.confusion(targets, probabilities.argmax(1), 7)[2, 6] == 1
