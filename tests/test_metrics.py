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
